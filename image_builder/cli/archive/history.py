"""image-builder archive history: moves, or builds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from image_builder.archive.database.records import HistoryEntry, Transaction
from image_builder.archive.words import duration, moment
from image_builder.cli.archive.context import Opened, archive_options, one_package
from image_builder.cli.archive.show import plain_move


@click.command()
@click.argument("package", required=False, metavar="[PACKAGE]")
@click.option("--builds", is_flag=True, help="Builds of all runs, with their times, instead of moves.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="So many at most.")
@archive_options
def history(opened: Opened, package: str | None, builds: bool, limit: int) -> None:
    """The moves that were made, of one package or all; or its builds. Newest first."""
    if builds:
        entries = opened.database.history(package, limit=limit)
        opened.print([asdict(entry) for entry in entries], _builds(entries))
        return
    if package is None:
        book = opened.database.transactions(opened.run.identity, limit=limit)
    else:
        found = one_package(opened, package, None, None)
        each = (opened.database.transactions(opened.run.identity, key=one.key, limit=limit) for one in found)
        book = sorted((entry for one in each for entry in one), key=lambda e: e.time, reverse=True)[:limit]
    opened.print([plain_move(entry) for entry in book], _moves(book))


def _moves(book: list[Transaction]) -> Iterator[str]:
    for entry in book:
        before = f"{entry.previous_state} → " if entry.previous_state else ""
        said = f": {entry.message.splitlines()[0]}" if entry.message else ""
        by = entry.user if entry.user == entry.real_user else f"{entry.user} ({entry.real_user})"
        name = f"{entry.key.source} {entry.version} ({entry.key.suite} {entry.key.architecture})"
        after = entry.state or "deleted"
        yield f"{moment(entry.time)}  {name} {entry.action}: {before}{after}, by {by}{said}"


def _builds(entries: list[HistoryEntry]) -> Iterator[str]:
    for entry in entries:
        name = f"{entry.source} {entry.version} ({entry.suite} {entry.architecture})"
        yield f"{moment(entry.time)}  {name} {entry.outcome}: {duration(entry.seconds)}, {entry.worker}, {entry.run}"
