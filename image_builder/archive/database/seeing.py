"""What people look at: counts, the book of moves, the history of builds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, or_, select

from image_builder.archive.database.records import HistoryEntry, Run, Transaction
from image_builder.archive.database.tables import history, packages, runs, transactions
from image_builder.archive.model import Base, Key, Outcome
from image_builder.archive.states import Cause, State

Place = tuple[int, str, str]  # run, suite, architecture
_STATES = {state.value: state for state in State}


def run_of(row: Any) -> Run:
    """A row of `runs`."""
    identity, *values = row
    words = dict(zip(runs.c.keys()[1:], values, strict=True))
    return Run(identity=identity, **{**words, "base": Base(words["base"])})


def counts(connection: Connection, run: int | None) -> dict[Place, dict[State, int]]:
    """How many packages are in each state."""
    columns = (packages.c.run, packages.c.suite, packages.c.architecture, packages.c.state)
    query = select(*columns, func.count()).group_by(*columns)
    if run is not None:
        query = query.where(packages.c.run == run)
    found: dict[Place, dict[State, int]] = {}
    for identity, suite, architecture, state, number in connection.execute(query):
        found.setdefault((identity, suite, architecture), {})[_STATES[state]] = number
    return found


def cause_counts(connection: Connection, run: int) -> dict[tuple[State, Cause], int]:
    """How many packages have each reason beside their state."""
    columns = (packages.c.state, packages.c.cause)
    query = select(*columns, func.count()).where(packages.c.run == run, packages.c.cause != "").group_by(*columns)
    return {(_STATES[state], Cause(cause)): number for state, cause, number in connection.execute(query)}


def book(
    connection: Connection, run: int | None, key: Key | None, since: float, after: int | None, limit: int | None
) -> list[Transaction]:
    """Moves, newest first."""
    recent = transactions.c.time >= since
    query = select(transactions).where(recent if after is None else or_(recent, transactions.c.id > after))
    if run is not None:
        # SQLite would take the index of runs, and look at everything a run ever did to find what is new.
        of_run = transactions.c.run + 0 if key is None and since > 0 else transactions.c.run
        query = query.where(of_run == run)
    if key is not None:
        query = query.where(
            transactions.c.suite == key.suite,
            transactions.c.architecture == key.architecture,
            transactions.c.source == key.source,
        )
    return [move_of(row) for row in connection.execute(query.order_by(transactions.c.id.desc()).limit(limit))]


def move_of(row: Any) -> Transaction:
    """A row of `transactions`."""
    return Transaction(
        run=row.run,
        key=Key(row.suite, row.architecture, row.source),
        version=row.version,
        action=row.action,
        previous_state=_STATES.get(row.previous_state),
        state=_STATES.get(row.state),
        user=row.user,
        real_user=row.real_user,
        time=row.time,
        override=row.override,
        message=row.message,
    )


def builds(
    connection: Connection, source: str | None, suite: str | None, architecture: str | None, limit: int | None
) -> list[HistoryEntry]:
    """Builds, newest first."""
    query = select(history)
    for column, value in ((history.c.source, source), (history.c.suite, suite), (history.c.architecture, architecture)):
        if value is not None:
            query = query.where(column == value)
    return [entry_of(row) for row in connection.execute(query.order_by(history.c.id.desc()).limit(limit))]


def last_builds(connection: Connection, architecture: str) -> dict[str, HistoryEntry]:
    """The newest build of each source that succeeded."""
    newest = (
        select(func.max(history.c.id))
        .where(history.c.architecture == architecture, history.c.outcome == Outcome.SUCCEEDED.value)
        .group_by(history.c.source)
    )
    return {row.source: entry_of(row) for row in connection.execute(select(history).where(history.c.id.in_(newest)))}


def entry_of(row: Any) -> HistoryEntry:
    """A row of `history`."""
    _, *values = row
    words = dict(zip(history.c.keys()[1:], values, strict=True))
    return HistoryEntry(**{**words, "outcome": Outcome(words["outcome"])})
