"""The packages in one state, in groups by what they have in common, as wanna-build's status pages have them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from image_builder.archive.database.records import AttemptRecord
from image_builder.archive.model import Outcome
from image_builder.archive.pages.addresses import prefix
from image_builder.archive.pages.reading import Row
from image_builder.archive.states import NOT_TESTED, State
from image_builder.archive.waiting import missing
from image_builder.archive.words import duration, moment

LONELY = 20  # groups of one; more of them are put together
_SHORT = 300  # characters of a reason in a list; its package's page has all of it


@dataclass(frozen=True, slots=True)
class Entry:
    """A package in a list. attempt: whose log says more."""

    source: str
    version: str
    detail: str = ""
    attempt: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Packages with something in common, which the title says. In lists of thousands, those of a letter."""

    title: str
    entries: Sequence[Entry]
    anchor: str = ""


def groups(state: State, rows: Sequence[Row], last: Mapping[str, AttemptRecord]) -> list[Group]:
    """last: the newest attempt at each. Large groups come first; the queue is in its order, what is done by letter."""
    if not rows:
        return []
    if state is State.NEEDS_BUILD:
        queue = sorted(rows, key=lambda row: (-row.asked, -row.remaining_seconds, row.source))
        return [Group("the most urgent first", [Entry(row.source, row.version, _queued(row)) for row in queue])]
    if state is State.BUILDING:
        return _by(rows, lambda row: f"taken by {row.builder}", lambda row: f"since {moment(row.since)}", last)
    if state is State.BD_UNINSTALLABLE:
        return _by(rows, lambda row: _lacking(state, row), lambda row: "" if row.problem == NOT_TESTED else row.problem)
    if state is State.DEP_WAIT:
        return _by(rows, lambda row: f"wait for {row.depends}", lambda row: f"since {moment(row.since)}", last)
    if state is State.BUILD_ATTEMPTED:
        return _by(rows, lambda row: _failure(row, last.get(row.source)), _ended, last)
    if state is State.FAILED:
        return _by(rows, lambda row: row.failed.partition("\n")[0], _ended, last)
    if state in (State.NOT_FOR_US, State.AUTO_NOT_FOR_US):
        return _by(rows, lambda row: row.reason or row.notes, lambda row: f"since {moment(row.since)}")
    if state is State.INSTALLED:
        return by_letter([Entry(row.source, row.version) for row in rows])
    return _by(rows, lambda row: f"by {row.builder}", lambda row: f"since {moment(row.since)}", last)


def by_letter(entries: Sequence[Entry]) -> list[Group]:
    """One group for each part of the archive's pool."""
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[prefix(entry.source)].append(entry)
    return [Group(letter, some, anchor=f"p-{letter}") for letter, some in sorted(found.items())]


def _by(
    rows: Sequence[Row],
    title: Callable[[Row], str],
    detail: Callable[[Row], str],
    last: Mapping[str, AttemptRecord] | None = None,
) -> list[Group]:
    found: defaultdict[str, list[Entry]] = defaultdict(list)
    for row in rows:
        record = (last or {}).get(row.source)
        attempt = record.attempt.identity if record is not None else None
        found[_cut(title(row)) or "no reason is known"].append(
            Entry(row.source, row.version, _cut(detail(row)), attempt)
        )
    alone = [words for words, some in found.items() if len(some) == 1]
    if len(alone) > LONELY:
        of_their_own = sorted(
            (replace(one, detail=_said(words, one.detail)) for words in alone for one in found.pop(words)),
            key=lambda one: one.source,
        )
    else:
        of_their_own = []
    made = [Group(words, some) for words, some in sorted(found.items(), key=lambda one: (-len(one[1]), one[0]))]
    return [*made, *([Group("each for a reason of its own", of_their_own)] if of_their_own else [])]


def _said(title: str, detail: str) -> str:
    return ", ".join(filter(None, (title, detail)))


def _queued(row: Row) -> str:
    words = [f"priority {row.asked}"] if row.asked else []
    words += [f"not before {moment(row.not_before)}"] if row.not_before else []
    words += [f"{duration(row.remaining_seconds)} of path"] if row.remaining_seconds else []
    return ", ".join([*words, *([row.cause] if row.cause else [])])


def _lacking(state: State, row: Row) -> str:
    if row.problem == NOT_TESTED:
        return NOT_TESTED
    names = missing(state, row.depends, row.chain)
    return f"lack {' and '.join(names)}" if names else "conflicts, and other reasons"


def _failure(row: Row, record: AttemptRecord | None) -> str:
    if row.reason:
        return f"{row.cause}: {row.reason}" if row.cause else row.reason
    if record is None:
        return row.cause
    outcome = "" if record.outcome in (None, Outcome.ATTEMPTED) else str(record.outcome)
    return ": ".join(filter(None, (outcome, record.reason)))


def _ended(row: Row) -> str:
    return moment(row.since) + (f", after {duration(row.seconds)}" if row.seconds else "")


def _cut(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"
