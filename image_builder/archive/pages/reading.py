"""What the pages read from the database: whole columns of a run at once, and all there is of a range of sources."""

from __future__ import annotations

import marshal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Select, func, null, select

from image_builder.archive.database import rows, seeing, trying
from image_builder.archive.database.records import AttemptRecord, HistoryEntry, Run, Transaction
from image_builder.archive.database.tables import attempts, history, packages, runs, transactions
from image_builder.archive.database.views import View
from image_builder.archive.states import Package, State, binary_nmu_version

BUILDS = 50  # of a source that are shown
_STATES = {state.value: state for state in State}
# What changes while a builder says that it lives, or is the worker's own.
_UNSEEN = ("token", "heartbeat", "lease_until")
_SEEN = [number for number, name in enumerate(trying.everything.selected_columns.keys()) if name not in _UNSEEN]


class Place(NamedTuple):
    """One suite and architecture of a run."""

    run: int
    suite: str
    architecture: str


class Row(NamedTuple):
    """A package in a list of thousands. seconds: of its last build."""

    source: str
    version: str  # full
    since: float  # POSIX seconds
    builder: str
    depends: str
    failed: str
    cause: str
    reason: str
    notes: str
    not_before: float
    asked: int
    remaining_seconds: float
    seconds: float | None
    problem: str
    chain: str


class Standing(NamedTuple):
    """A package in short."""

    source: str
    version: str  # full
    state: State
    binaries: str  # with blanks between


@dataclass
class Facts:
    """All that the database has of one source, as it has it."""

    packages: list[tuple[Run, Any]] = field(default_factory=list)
    attempts: list[Any] = field(default_factory=list)
    moves: list[Any] = field(default_factory=list)
    builds: list[Any] = field(default_factory=list)

    def stamp(self) -> bytes:
        """Changes when something does that is shown."""
        standing = [(run.identity, run.name, *row) for run, row in self.packages]
        tried = [tuple(row[number] for number in _SEEN) for row in self.attempts]
        rest = [tuple(row) for row in (*self.moves, *self.builds)]
        return marshal.dumps((standing, tried, rest), 2)  # 2: equal values give equal bytes

    def standing(self) -> list[tuple[Run, Package]]:
        return [(run, rows.package_of(row)) for run, row in self.packages]

    def tried(self) -> list[AttemptRecord]:
        return [trying.record_of(row) for row in self.attempts]

    def book(self) -> list[Transaction]:
        return [seeing.move_of(row) for row in self.moves]

    def built(self) -> list[HistoryEntry]:
        return [seeing.entry_of(row) for row in self.builds]


def stamp(view: View) -> tuple[Any, ...]:
    """Changes whenever a package, an attempt or a run does."""
    queries = (
        select(func.max(transactions.c.id)),
        select(func.max(attempts.c.id)),
        select(func.count(runs.c.id), func.count(runs.c.finished)),
    )
    with view.reading() as connection:
        return tuple(tuple(connection.execute(query).one()) for query in queries)


def places(view: View, run: Run) -> list[Place]:
    """Where a run has packages."""
    return sorted(Place(*one) for one in view.counts(run.identity))


def listed(view: View, place: Place, state: State) -> list[Row]:
    """The packages in one state, by name. Of those that are installed, only name and version: they are many."""
    of_state = (*_of(packages, place), packages.c.state == state.value)
    short = (packages.c.source, packages.c.version, packages.c.binary_nmu)
    if state is State.INSTALLED:
        with view.reading() as connection:
            found = connection.execute(select(*short).where(*of_state).order_by(packages.c.source))
            rest = Row("", "", 0.0, "", "", "", "", "", "", 0.0, 0, 0.0, None, "", "")[2:]
            return [Row(source, binary_nmu_version(version, number), *rest) for source, version, number in found]
    broken = state is State.BD_UNINSTALLABLE
    query = select(
        *short,
        packages.c.state_change,
        packages.c.builder,
        packages.c.depends,
        packages.c.failed,
        packages.c.cause,
        packages.c.reason,
        packages.c.notes,
        packages.c.not_before,
        packages.c.asked,
        packages.c.remaining_seconds,
        packages.c.last_build_seconds,
        *((rows.problem_column("problem"), rows.problem_column("chain")) if broken else (null(), null())),
    )
    with view.reading() as connection:
        return [
            Row._make((source, binary_nmu_version(version, number), *rest, problem or "", chain or ""))
            for source, version, number, *rest, problem, chain in connection.execute(
                query.where(*of_state).order_by(packages.c.source)
            )
        ]


def last_attempts(view: View, place: Place, state: State) -> dict[str, AttemptRecord]:
    """The newest attempt at each package in one state."""
    newest = (
        select(func.max(attempts.c.id))
        .where(*_of(attempts, place))
        .where(
            attempts.c.source.in_(
                select(packages.c.source).where(*_of(packages, place), packages.c.state == state.value)
            )
        )
        .group_by(attempts.c.source)
    )
    with view.reading() as connection:
        found = connection.execute(trying.everything.where(attempts.c.id.in_(newest)))
        return {row.source: trying.record_of(row) for row in found}


def everybody(view: View, place: Place) -> list[Standing]:
    """All packages of a place in short, by name."""
    query = select(
        packages.c.source, packages.c.version, packages.c.binary_nmu, packages.c.state, packages.c.binaries
    ).where(*_of(packages, place))
    with view.reading() as connection:
        found = connection.execute(query.order_by(packages.c.source))
        return [
            Standing(source, binary_nmu_version(version, number), _STATES[state], binaries)
            for source, version, number, state, binaries in found
        ]


def moves_of(view: View, run: Run) -> list[tuple[float, State | None, State | None]]:
    """Every move of a run, for the graph: when, from where, to where."""
    query = select(transactions.c.time, transactions.c.previous_state, transactions.c.state)
    with view.reading() as connection:
        found = connection.execute(query.where(transactions.c.run == run.identity))
        return [(at, _STATES.get(before), _STATES.get(after)) for at, before, after in found]


def sources(view: View) -> list[str]:
    """All sources of all runs, by name."""
    with view.reading() as connection:
        return list(connection.execute(select(packages.c.source).distinct().order_by(packages.c.source)).scalars())


def attempts_of(view: View) -> Iterator[AttemptRecord]:
    """All attempts that have ended, oldest first, some at a time."""
    last = 0
    while True:
        query = trying.everything.where(attempts.c.id > last, attempts.c.finished.is_not(None))
        with view.reading() as connection:
            found = [trying.record_of(row) for row in connection.execute(query.order_by(attempts.c.id).limit(1000))]
        if not found:
            return
        yield from found
        last = found[-1].attempt.identity


def facts(view: View, everywhere: Sequence[tuple[Run, Place]], first: str, last: str) -> dict[str, Facts]:
    """All there is of the sources from the first name to the last. everywhere: the runs, newest first.

    Attempts and moves of a run newest first, its builds too.
    """
    found: defaultdict[str, Facts] = defaultdict(Facts)
    with view.reading() as connection:
        for run, place in everywhere:
            query = rows.everything.where(*_of(packages, place), *_between(packages.c.source, first, last))
            for row in connection.execute(query):
                found[row.source].packages.append((run, row))
            for table, question, add in (
                (attempts, trying.everything, "attempts"),
                (transactions, select(transactions), "moves"),
            ):
                of_these = question.where(*_of(table, place), *_between(table.c.source, first, last))
                for row in connection.execute(of_these.order_by(table.c.id.desc())):
                    if row.source in found:
                        getattr(found[row.source], add).append(row)
        for row in _builds(connection, {place.architecture for _, place in everywhere}, first, last):
            if row.source in found:
                found[row.source].builds.append(row)
    return dict(found)


def _builds(connection: Connection, architectures: Iterable[str], first: str, last: str) -> Iterator[Any]:
    for architecture in sorted(architectures):
        query: Select[Any] = select(history).where(history.c.architecture == architecture)
        query = query.where(*_between(history.c.source, first, last)).order_by(history.c.source, history.c.id.desc())
        number, source = 0, ""
        for row in connection.execute(query):
            number, source = (1, row.source) if row.source != source else (number + 1, source)
            if number <= BUILDS:
                yield row


def _of(table: Any, place: Place) -> tuple[Any, ...]:
    return table.c.run == place.run, table.c.suite == place.suite, table.c.architecture == place.architecture


def _between(column: Column[Any], first: str, last: str) -> tuple[Any, ...]:
    return column >= first, column <= last
