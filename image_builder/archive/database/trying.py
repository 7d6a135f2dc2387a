"""Attempts: who builds what, until when, and whose result is taken."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, literal_column, select, update

from image_builder.archive.database.moving import clean, line, move, storable, unknown, write, write_down
from image_builder.archive.database.records import AttemptRecord, Finish, Result, Run, Start
from image_builder.archive.database.rows import load
from image_builder.archive.database.tables import attempts, history, packages, runs
from image_builder.archive.model import Attempt, Key, Outcome
from image_builder.archive.moves import decide
from image_builder.archive.priority import Weights
from image_builder.archive.requests import Action, Answer, Moved, Refusal, Request
from image_builder.archive.states import Cause, Package, State, binary_nmu_version

_add = insert(attempts)
_columns = [*attempts.c, runs.c.name.label("run_name")]
everything = select(*_columns).join(runs, runs.c.id == attempts.c.run)
_one = everything.where(attempts.c.id == bindparam("identity"))
SETTLED = (State.INSTALLED, State.FAILED, State.NOT_FOR_US, State.AUTO_NOT_FOR_US)
_COUNTED = (attempts.c.outcome.is_not(None), attempts.c.forgiven.is_(False))
LIVE = attempts.c.state == literal_column("'live'")  # as it stands in the indices
_close = update(attempts).where(attempts.c.id == bindparam("identity"))
_renew = update(attempts).where(attempts.c.id == bindparam("identity"))
_add_history = insert(history)


def start(
    connection: Connection,
    run: Run,
    wanted: Start,
    worker: str,
    now: float,
    weights: Weights,
    *,
    lease_seconds: float,
) -> Attempt | Refusal:
    """Take a package for a worker, and open an attempt."""
    key = wanted.key
    answer = move(connection, run, key, Request(Action.TAKE, user=worker), now, weights)
    if isinstance(answer, Refusal):
        return answer
    if not answer.changed:
        return Refusal(f"{key.source}: {worker} is building it already")
    package = answer.package
    attempt = Attempt(
        identity=0,
        token=secrets.token_hex(16),
        run=run.name,
        key=key,
        version=package.version,
        binary_nmu=package.binary_nmu,
        memory_bytes=package.memory_bytes,
        disk_bytes=package.disk_bytes,
        expected_seconds=package.expected_seconds,
        time_limit_seconds=wanted.time_limit_seconds,
    )
    added = connection.execute(
        _add,
        {
            "token": attempt.token,
            "run": run.identity,
            "suite": key.suite,
            "architecture": key.architecture,
            "source": key.source,
            "version": package.version,
            "binary_nmu": package.binary_nmu,
            "worker": worker,
            "machine": "",
            "started": now,
            "heartbeat": now,
            "lease_until": now + lease_seconds,
            "time_limit_seconds": wanted.time_limit_seconds,
            "expected_seconds": package.expected_seconds,
            "expected_memory_bytes": package.memory_bytes,
            "expected_disk_bytes": package.disk_bytes,
            "alone": wanted.alone,
            "forgiven": False,
            "state": "live",
            "seconds": 0.0,
            "memory_bytes": 0,
            "disk_bytes": 0,
            "log": "",
            "reason": "",
        },
    )
    assert added.inserted_primary_key is not None
    return replace(attempt, identity=added.inserted_primary_key[0])


def find(connection: Connection, identity: int) -> AttemptRecord | None:
    """Read one attempt."""
    row = connection.execute(_one, {"identity": identity}).first()
    return None if row is None else record_of(row)


def finish(
    connection: Connection,
    run: Run,
    record: AttemptRecord,
    asked: Finish,
    now: float,
    weights: Weights,
) -> Answer:
    """Take a result, if its token is live and its version the one that is wanted; make the moves that follow."""
    key, result = record.attempt.key, asked.result
    package = load(connection, run.identity, key)
    answer = _followed(package, record, asked, now, run)
    if isinstance(answer, Refusal):
        seen = package or Package(key=key, version=record.attempt.version, state=State.BUILDING)
        refused = Request(Action.BUILT, user=record.worker, message=storable(answer.what))
        write_down(connection, [line(run.identity, seen, package, "refused-result", refused, now)])
        return answer
    assert package is not None
    _end(connection, record, "finished", result, now)
    _remember(connection, run, record, result, now)
    moves = [(replace(moved, package=_timed(connection, moved.package, record, result)), r) for moved, r in answer]
    write(connection, run.identity, package, moves, now, weights)
    return moves[-1][0]


def _followed(
    package: Package | None, record: AttemptRecord, asked: Finish, now: float, run: Run
) -> list[tuple[Moved, Request]] | Refusal:
    """The moves that follow a result; or why it is not taken."""
    name = f"{record.attempt.key.source}: the result of attempt {record.attempt.identity} by {record.worker}"
    if not hmac.compare_digest(asked.token.encode("utf-8", "replace"), record.attempt.token.encode()):
        return Refusal(f"{name} has another token")
    if record.state == "finished":
        return Refusal(f"{name} was delivered before")
    if record.state != "live":
        return Refusal(f"{name} comes too late: {record.reason}")
    if package is None:
        return unknown(record.attempt.key, run)
    result = asked.result
    built = binary_nmu_version(record.attempt.version, record.attempt.binary_nmu)
    if result.outcome is Outcome.SUCCEEDED and result.version != built:
        return Refusal(f"{name} is version {result.version}, not {built}")
    if package.state is not State.BUILDING or package.full_version != built:
        return Refusal(f"{name} is not wanted: the package is {package.state} in version {package.full_version}")
    moves: list[tuple[Moved, Request]] = []
    for request in map(clean, asked.requests):
        answer = decide(package, request, now, auto_dep_wait=run.auto_dep_wait)
        if isinstance(answer, Refusal):
            return answer
        moves.append((answer, request))
        package = answer.package
    return moves


def expire(
    connection: Connection, run: Run, record: AttemptRecord, now: float, not_before: float, weights: Weights
) -> Answer:
    """Give back the package of a worker that was not heard of for too long."""
    name = record.attempt.key.source
    if record.state != "live":
        return Refusal(f"{name}: attempt {record.attempt.identity} has ended already")
    if record.lease_until >= now:
        return Refusal(f"{name}: {record.worker} was heard of again")
    reason = f"{record.worker} was not heard of for {now - record.heartbeat:.0f} s"
    result = Result(Outcome.BUILDER_FAULT, record.attempt.version, now - record.started, reason=reason)
    _end(connection, record, "void", result, now)
    request = Request(
        Action.GIVE_BACK,
        user=record.worker,
        cause=Cause.BUILDER_FAULT,
        message=storable(reason),
        not_before=not_before,
    )
    return move(connection, run, record.attempt.key, request, now, weights)


def beat(connection: Connection, live: Iterable[tuple[int, str]], now: float, lease_seconds: float) -> set[int]:
    """Renew leases; return the identities of those that are live still."""
    tokens = dict(live)
    rows = connection.execute(select(attempts.c.id, attempts.c.token).where(attempts.c.state == "live"))
    known = {
        identity for identity, token in rows if hmac.compare_digest(tokens.get(identity, "").encode(), token.encode())
    }
    # One whose end is being written this very moment is left alone; to wait for it could be to wait for each other.
    free = connection.execute(select(attempts.c.id).where(LIVE).with_for_update(skip_locked=True)).scalars()
    renewed = [{"identity": identity} for identity in free if identity in known]
    if renewed:
        connection.execute(_renew.values(heartbeat=now, lease_until=now + lease_seconds), renewed)
    return known


def listed(connection: Connection, *conditions: Any) -> list[AttemptRecord]:
    """Read the attempts that meet conditions on the table `attempts`, oldest first."""
    return [record_of(row) for row in connection.execute(everything.where(*conditions).order_by(attempts.c.id))]


def unsettled(connection: Connection, run: int) -> list[AttemptRecord]:
    """The attempts that have ended at the version still wanted, of packages whose end is open."""
    query = (
        everything.join(
            packages,
            and_(
                attempts.c.run == packages.c.run,
                attempts.c.suite == packages.c.suite,
                attempts.c.architecture == packages.c.architecture,
                attempts.c.source == packages.c.source,
                attempts.c.version == packages.c.version,
            ),
        )
        .where(attempts.c.run == run, *_COUNTED)
        .where(packages.c.state.not_in([state.value for state in SETTLED]))
        .order_by(attempts.c.id)
    )
    return [record_of(row) for row in connection.execute(query)]


def last_ended(run: int) -> Any:
    """The condition for the attempt at each package of a run that ended last."""
    of_each = (attempts.c.suite, attempts.c.architecture, attempts.c.source)
    last = select(func.max(attempts.c.id)).where(attempts.c.run == run, attempts.c.outcome.is_not(None))
    return attempts.c.id.in_(last.group_by(*of_each))


def of_package(run: int, key: Key) -> tuple[Any, ...]:
    """The condition for attempts at one package."""
    return (
        attempts.c.run == run,
        attempts.c.suite == key.suite,
        attempts.c.architecture == key.architecture,
        attempts.c.source == key.source,
    )


def forgive(connection: Connection, run: int, key: Key) -> None:
    """Count the attempts at a package no more: somebody wants it to be tried as if for the first time."""
    connection.execute(update(attempts).where(*of_package(run, key)).values(forgiven=True))


def counts(connection: Connection, run: int, key: Key, version: str) -> dict[Outcome, int]:
    """How often each outcome has happened to one version of a package since somebody last asked for another try."""
    query = (
        select(attempts.c.outcome, func.count())
        .where(*of_package(run, key), attempts.c.version == version, *_COUNTED)
        .group_by(attempts.c.outcome)
    )
    return {Outcome(outcome): number for outcome, number in connection.execute(query)}


def ended(connection: Connection, run: int, begin: float, end: float) -> int:
    """Count the attempts that ended between two moments."""
    query = select(func.count()).where(
        attempts.c.run == run, attempts.c.finished > begin, attempts.c.finished <= end, attempts.c.state == "finished"
    )
    return connection.execute(query).scalar_one()


def _end(connection: Connection, record: AttemptRecord, state: str, result: Result, now: float) -> None:
    values = {
        "state": state,
        "finished": now,
        "outcome": result.outcome.value,
        "seconds": result.seconds,
        "memory_bytes": result.memory_bytes,
        "disk_bytes": result.disk_bytes,
        "log": storable(result.log),
        "machine": storable(result.worker),
        "reason": storable(result.reason),
    }
    connection.execute(_close.values(values), {"identity": record.attempt.identity})


def _remember(connection: Connection, run: Run, record: AttemptRecord, result: Result, now: float) -> None:
    key = record.attempt.key
    entry = {
        "source": key.source,
        "suite": key.suite,
        "architecture": key.architecture,
        "version": result.version,
        "run": run.name,
        "outcome": result.outcome.value,
        "seconds": result.seconds,
        "memory_bytes": result.memory_bytes,
        "disk_bytes": result.disk_bytes,
        "worker": storable(result.worker) or record.worker,
        "time": now,
    }
    connection.execute(_add_history, entry)


def _timed(connection: Connection, package: Package, record: AttemptRecord, result: Result) -> Package:
    """The package with the time the formula reckons with: the longer of the last build and the last that succeeded."""
    if result.outcome not in {Outcome.SUCCEEDED, Outcome.ATTEMPTED, Outcome.TIMEOUT}:
        return package
    seconds = result.seconds
    if result.outcome is not Outcome.SUCCEEDED:
        key = record.attempt.key
        last = (
            select(history.c.seconds)
            .where(
                history.c.architecture == key.architecture,
                history.c.source == key.source,
                history.c.suite == key.suite,
                history.c.outcome == Outcome.SUCCEEDED.value,
            )
            .order_by(history.c.id.desc())
            .limit(1)
        )
        seconds = max(seconds, connection.execute(last).scalar() or 0.0)
    return replace(package, last_build_seconds=seconds)


def record_of(row: Any) -> AttemptRecord:
    """A row of `everything`."""
    attempt = Attempt(
        identity=row.id,
        token=row.token,
        run=row.run_name,
        key=Key(row.suite, row.architecture, row.source),
        version=row.version,
        binary_nmu=row.binary_nmu,
        memory_bytes=row.expected_memory_bytes,
        disk_bytes=row.expected_disk_bytes,
        expected_seconds=row.expected_seconds,
        time_limit_seconds=row.time_limit_seconds,
    )
    return AttemptRecord(
        attempt=attempt,
        run=row.run,
        worker=row.worker,
        machine=row.machine,
        started=row.started,
        heartbeat=row.heartbeat,
        lease_until=row.lease_until,
        alone=row.alone,
        state=row.state,
        finished=row.finished,
        outcome=Outcome(row.outcome) if row.outcome else None,
        seconds=row.seconds,
        memory_bytes=row.memory_bytes,
        disk_bytes=row.disk_bytes,
        log=row.log,
        reason=row.reason,
    )
