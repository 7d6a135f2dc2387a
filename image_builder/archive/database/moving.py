"""A move on the database: the row, the line in the book, and what becomes of the attempt that was under way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, update

from image_builder.archive.database.records import Run
from image_builder.archive.database.rows import key_values, load, save
from image_builder.archive.database.tables import attempts, transactions
from image_builder.archive.database.together import insert_rows
from image_builder.archive.model import Key, Outcome
from image_builder.archive.moves import decide
from image_builder.archive.priority import Weights
from image_builder.archive.requests import Answer, Moved, Refusal, Request
from image_builder.archive.states import Package, State

DELETED = "deleted"  # the state in the book of a package whose source left the suite

_void = (
    update(attempts)
    .where(
        attempts.c.run == bindparam("key_run"),
        attempts.c.suite == bindparam("key_suite"),
        attempts.c.architecture == bindparam("key_architecture"),
        attempts.c.source == bindparam("key_source"),
        attempts.c.state == "live",
    )
    .values(state="void", finished=bindparam("at"), outcome=Outcome.CANCELLED.value, reason=bindparam("why"))
)


def storable(text: str) -> str:
    """A text both databases take: logs hold NUL bytes and what is no UTF-8."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")


def clean(request: Request) -> Request:
    """The request with texts that can be stored."""
    message, user, real_user = (storable(t) for t in (request.message, request.user, request.real_user))
    return replace(request, message=message, user=user, real_user=real_user)


def move(
    connection: Connection, run: Run, key: Key, request: Request, now: float, weights: Weights, *, dry_run: bool = False
) -> Answer:
    """Decide on the package as it is now, and write down what follows."""
    package = load(connection, run.identity, key)
    if package is None:
        return unknown(key, run)
    answer = decide(package, request, now, auto_dep_wait=run.auto_dep_wait)
    if isinstance(answer, Moved) and answer.changed and not dry_run:
        write(connection, run.identity, package, [(answer, request)], now, weights)
    return answer


def unknown(key: Key, run: Run) -> Refusal:
    """The answer where there is no such package."""
    return Refusal(f"{key.source}: not known in {run.name} for {key.suite} {key.architecture}")


def write(
    connection: Connection,
    run: int,
    old: Package,
    moves: Sequence[tuple[Moved, Request]],
    now: float,
    weights: Weights,
) -> None:
    """Store a package after one or more moves in a row."""
    new = moves[-1][0].package
    save(connection, run, old, new, weights)
    void_left(connection, run, [(old, new)], now)
    lines, before = [], old
    for moved, request in moves:
        lines.append(line(run, before, moved.package, moved.action, request, now))
        before = moved.package
    write_down(connection, lines)


def write_down(connection: Connection, lines: Sequence[Mapping[str, Any]]) -> None:
    """Add lines to the book."""
    insert_rows(connection, transactions, lines)


def line(run: int, old: Package, new: Package | None, action: str, request: Request, now: float) -> dict[str, Any]:
    """A line of the book; new: None for a package that is deleted."""
    package = new if new is not None else old
    return {
        "run": run,
        "suite": package.key.suite,
        "architecture": package.key.architecture,
        "source": package.key.source,
        "version": package.full_version,
        "action": action,
        "previous_state": old.state.value if old.version else None,
        "state": new.state.value if new is not None else DELETED,
        "user": request.user,
        "real_user": request.real_user or request.user,
        "time": now,
        "override": request.override,
        "message": request.message or _number(request),
    }


def _number(request: Request) -> str:
    return str(request.number) if request.number else ""


def void_left(connection: Connection, run: int, pairs: Iterable[tuple[Package, Package | None]], now: float) -> None:
    """Make worthless the tokens of builds whose package is no longer being built, or by somebody else."""
    left = [
        {**key_values(run, old.key), "at": now, "why": storable(_why(old, new))}
        for old, new in pairs
        if old.state is State.BUILDING
        and (new is None or (new.state, new.builder, new.version) != (State.BUILDING, old.builder, old.version))
    ]
    if left:
        connection.execute(_void, left)


def _why(old: Package, new: Package | None) -> str:
    if new is None:
        return "the source left the suite"
    if new.version != old.version:
        return f"version {new.version} is wanted by now"
    if new.state is State.BUILDING:
        return f"taken over by {new.builder}"
    return f"the package is {new.state}" + (f": {new.reason}" if new.reason else "")
