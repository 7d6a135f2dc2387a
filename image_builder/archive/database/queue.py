"""Which package is next: the two orders, as queries that stay quick when everything waits."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, literal_column, select

from image_builder.archive.database.rows import load_named
from image_builder.archive.database.tables import packages
from image_builder.archive.priority import DAY, Order, Weights
from image_builder.archive.states import Package, State

# Written into the statement and not given as a parameter: only so do both databases use the indices made for it.
_NEEDS_BUILD = packages.c.state == literal_column(f"'{State.NEEDS_BUILD}'")


def next_jobs(
    connection: Connection,
    run: int,
    suite: str,
    architecture: str,
    now: float,
    weights: Weights,
    *,
    order: Order,
    limit: int,
    skip: Collection[str],
) -> list[Package]:
    """Read the packages that can be started, most urgent first. skip: sources that are not wanted."""
    query = (
        select(packages.c.source)
        .where(*_of(run, suite, architecture), packages.c.not_before <= now)
        .order_by(*_by(order, now, weights))
        .limit(limit + len(skip))
    )
    names = [name for name in connection.execute(query).scalars() if name not in skip][:limit]
    found = load_named(connection, run, suite, architecture, names)
    return [found[name] for name in names]


def next_moment(connection: Connection, run: int, suite: str, architecture: str, now: float) -> float | None:
    """When the first of those that wait for their time can be started; POSIX seconds."""
    query = select(func.min(packages.c.not_before)).where(*_of(run, suite, architecture), packages.c.not_before > now)
    moment = connection.execute(query).scalar()
    return None if moment is None else float(moment)


def _of(run: int, suite: str, architecture: str) -> tuple[ColumnElement[bool], ...]:
    table = packages.c
    return table.run == run, table.suite == suite, table.architecture == architecture, _NEEDS_BUILD


def _by(order: Order, now: float, weights: Weights) -> tuple[Any, ...]:
    table = packages.c
    if order is Order.PATH:
        return table.asked.desc(), table.remaining_seconds.desc(), table.source
    # "CWTn": days and time of day in the present state, one after the other, are the moment it began.
    days = case(*((table.state_change <= now - day * DAY, day) for day in range(weights.days_max, 0, -1)), else_=0)
    return (table.static_priority + weights.days_scale * days).desc(), table.state_change, table.source
