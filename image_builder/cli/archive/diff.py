"""image-builder archive diff: two runs held against each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import click

from image_builder.archive.comparing.compare import Bounds, Changed, Comparison, Failure, Grown, compare
from image_builder.archive.comparing.likely import Likely
from image_builder.archive.comparing.reading import ended
from image_builder.archive.model import Key
from image_builder.archive.words import duration
from image_builder.cli.archive.context import Opened, archive_options

SHOWN = 20  # packages of each list, unless all are asked for
PERCENT = click.IntRange(0, 1000)


@click.command()
@click.argument("first", metavar="RUN1")
@click.argument("second", metavar="RUN2")
@click.option("--slower", type=PERCENT, default=25, show_default=True, metavar="PERCENT", help="Tell from here on.")
@click.option("--larger", type=PERCENT, default=5, show_default=True, metavar="PERCENT", help="Tell from here on.")
@click.option("--all", "every", is_flag=True, help=f"Show all packages, not only {SHOWN} of each list.")
@archive_options
def diff(opened: Opened, first: str, second: str, slower: int, larger: int, every: bool) -> None:
    """What is different in RUN2: failures by likely cause, what was mended, slower, larger, other dependencies.

    RUN1 and RUN2 are names of runs, or stages, of which the newest run counts. Times are told from half a minute on,
    sizes from 16 KiB on; both vary a little whatever one does.
    """
    one, two = opened.run_called(first), opened.run_called(second)
    bounds = Bounds(slower=1 + slower / 100, larger=1 + larger / 100)
    found = compare(ended(opened.database, one), ended(opened.database, two), bounds)
    opened.print(
        {"first": one.name, "second": two.name, **_plain(found)},
        _lines(one.name, two.name, found, None if every else SHOWN),
    )


def _lines(first: str, second: str, found: Comparison, shown: int | None) -> Iterator[str]:
    new = sum(one.new for one in found.failures)
    yield f"{second}, against {first}"
    yield (
        f"  {new} newly failing, {len(found.fixed)} fixed, {len(found.failures) - new} failing before, too,"
        f" {found.same} built in both, {len(found.open)} not done yet"
    )
    if found.unknown:
        yield f"  sizes and dependencies of {found.unknown} are not known: their results are gone, or another run's"
    yield from _failures("newly failing", found.groups(new=True), shown)
    yield from _failures("failing before, too", found.groups(new=False), shown)
    yield from _listed("fixed", map(_name, found.fixed), shown)
    yield from _listed("slower", map(_slower, found.slower), shown)
    yield from _listed("larger", map(_larger, found.larger), shown)
    yield from _listed("other dependencies", map(_changed, found.dependencies), shown)
    versions = (f"{_name(key)}: {after}, was {before}" for key, before, after in found.other_versions)
    yield from _listed("another version", versions, shown)
    yield from _listed(f"only in {first}", map(_name, found.only_first), shown)
    yield from _listed(f"only in {second}", map(_name, found.only_second), shown)


def _failures(title: str, groups: Sequence[tuple[Likely, list[Failure]]], shown: int | None) -> Iterator[str]:
    if groups:
        yield f"{title}, by likely cause:"
    for cause, failures in groups:
        yield f"  {cause.words}{f': {cause.what}' if cause.what else ''} ({len(failures)})"
        for one in failures[:shown]:
            said = f": {one.line}" if one.line else ""
            yield f"    {one.key.source} {one.version} ({one.key.suite} {one.key.architecture}){said}"
        yield from _more(len(failures), shown, "    ")


def _listed(title: str, lines: Iterable[str], shown: int | None) -> Iterator[str]:
    found = list(lines)
    if found:
        yield f"{title}:"
    yield from (f"  {line}" for line in found[:shown])
    yield from _more(len(found), shown, "  ")


def _more(count: int, shown: int | None, indent: str) -> Iterator[str]:
    if shown is not None and count > shown:
        yield f"{indent}and {count - shown} more: --all shows them"


def _name(key: Key) -> str:
    return f"{key.source} ({key.suite} {key.architecture})"


def _slower(one: Grown) -> str:
    return f"{_name(one.key)}: {duration(one.after)}, was {duration(one.before)}{_percent(one)}"


def _larger(one: Grown) -> str:
    return f"{_name(one.key)}: {one.what} {_megabytes(one.after)}, was {_megabytes(one.before)}{_percent(one)}"


def _percent(one: Grown) -> str:
    return f" (+{100 * (one.after / one.before - 1):.0f} %)" if one.before else ""


def _megabytes(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:.2f} MB"


def _changed(one: Changed) -> str:
    signed = [f"+ {text}" for text in one.new] + [f"- {text}" for text in one.gone]
    return f"{_name(one.key)}: {f'{one.binary} ' if one.binary else ''}{one.field}: {'; '.join(signed)}"


def _plain(found: Comparison) -> dict[str, Any]:
    return {
        "failures": [
            {**_key(one.key), "version": one.version, "new": one.new, "cause": one.likely.name, "what": one.likely.what,
             "words": one.likely.words, "line": one.line}
            for one in found.failures
        ],
        "fixed": [_key(key) for key in found.fixed],
        "slower": [{**_key(one.key), "before": one.before, "after": one.after} for one in found.slower],
        "larger": [
            {**_key(one.key), "what": one.what, "before": one.before, "after": one.after} for one in found.larger
        ],
        "dependencies": [
            {**_key(one.key), "binary": one.binary, "field": one.field, "gone": one.gone, "new": one.new}
            for one in found.dependencies
        ],
        "other_versions": [
            {**_key(key), "before": before, "after": after} for key, before, after in found.other_versions
        ],
        "only_first": [_key(key) for key in found.only_first],
        "only_second": [_key(key) for key in found.only_second],
        "open": [_key(key) for key in found.open],
        "built_in_both": found.same,
        "not_known": found.unknown,
    }  # fmt: skip


def _key(key: Key) -> dict[str, str]:
    return asdict(key)
