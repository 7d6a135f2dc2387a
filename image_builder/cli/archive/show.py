"""image-builder archive show: all that is known of a package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from image_builder.archive.database.records import AttemptRecord, Transaction
from image_builder.archive.priority import calculated_priority
from image_builder.archive.states import Package
from image_builder.archive.words import duration, moment
from image_builder.cli.archive.context import Opened, archive_options, one_package
from image_builder.cli.store import readable

_NAMES = {
    "builder": "taken by",
    "installed_version": "installed",
    "depends": "waits for",
    "bd_problem": "not installable",
    "failed": "failed",
    "old_failed": "failed before",
    "extra_depends": "extra depends",
    "extra_conflicts": "extra conflicts",
    "binary_nmu_changelog": "binary NMU for",
    "notes": "notes",
    "section": "section",
    "priority": "priority",
    "component": "component",
    "binaries": "makes",
    "priority_once": "build priority",
    "priority_permanent": "permanent priority",
}


@click.command()
@click.argument("package", metavar="PACKAGE")
@click.option("--suite", help="Where there are several.")
@click.option("--architecture", help="Where there are several.")
@archive_options
def show(opened: Opened, package: str, suite: str | None, architecture: str | None) -> None:
    """All that is known of a package: its state and why, attempts with their logs, moves."""
    found = one_package(opened, package, suite, architecture)
    plain: list[dict[str, Any]] = []
    lines: list[str] = []
    for one in found:
        attempts = opened.database.attempts(opened.run.identity, one.key)
        book = opened.database.transactions(opened.run.identity, key=one.key)
        urgency = calculated_priority(one, opened.now(), opened.database.weights)
        plain.append(_plain(one, urgency, attempts, book))
        lines += [*([""] if lines else []), *_lines(one, urgency, attempts, book)]
    opened.print(plain, lines)


def _lines(package: Package, urgency: int, attempts: list[AttemptRecord], book: list[Transaction]) -> Iterator[str]:
    key = package.key
    yield f"{key.source} {package.full_version} ({key.suite} {key.architecture})"
    cause = f" ({package.cause}: {package.reason})" if package.cause else ""
    yield f"  {package.state} since {moment(package.state_change)}{cause}"
    if package.not_before:
        yield f"  {'not before:':<20} {moment(package.not_before)}"
    for field, name in _NAMES.items():
        value = str(getattr(package, field) or "")
        if value and value != "0":
            first, *rest = value.splitlines()
            yield f"  {name + ':':<20} {first}"
            yield from (f"  {'':<20} {line}" for line in rest)
    yield f"  {'urgency:':<20} {urgency} by wanna-build's formula; {duration(package.remaining_seconds)} of path"
    if attempts:
        yield "  attempts:"
    for record in attempts:
        yield f"    {_attempt(record)}"
    yield "  moves, newest first:"
    for entry in book:
        before = f"{entry.previous_state} → " if entry.previous_state else ""
        said = f": {entry.message.splitlines()[0]}" if entry.message else ""
        after = entry.state or "deleted"
        yield f"    {moment(entry.time)}  {entry.action}: {before}{after}, by {entry.user}{said}"


def _attempt(record: AttemptRecord) -> str:
    ended = "is being built" if record.outcome is None else f"{record.outcome} after {duration(record.seconds)}"
    words = [f"{record.attempt.identity}: {moment(record.started)}, {record.machine or record.worker}, {ended}"]
    words += [f"{readable(record.memory_bytes)} of memory"] if record.memory_bytes else []
    words += ["alone on its machine"] if record.alone else []
    words += ["its token is worth nothing any more"] if record.state == "void" else []
    words += [record.reason] if record.reason else []
    words += [f"log: {record.log}"] if record.log else []
    return ", ".join(words)


def _plain(package: Package, urgency: int, attempts: list[AttemptRecord], book: list[Transaction]) -> dict[str, Any]:
    row = asdict(package)
    row |= row.pop("key")
    return {
        **row,
        "full_version": package.full_version,
        "calculated_priority": urgency,
        "attempts": [_plain_attempt(record) for record in attempts],
        "moves": [plain_move(entry) for entry in book],
    }


def _plain_attempt(record: AttemptRecord) -> dict[str, Any]:
    row = asdict(record)
    attempt = row.pop("attempt")
    return {"id": attempt["identity"], "version": attempt["version"], **row}  # not the token: it is the worker's


def plain_move(entry: Transaction) -> dict[str, Any]:
    """A line of the book for programs."""
    row = asdict(entry)
    return {**row, **row.pop("key")}
