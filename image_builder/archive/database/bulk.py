"""What changes many packages at once: importer, installability, paths, and other weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, text

from image_builder.archive.database.moving import line, storable, void_left, write_down
from image_builder.archive.database.records import Expected, Merged, Run
from image_builder.archive.database.rows import (
    MANY,
    add_many,
    load_named,
    load_where,
    problem_column,
    remove,
    save_many,
    weigh,
)
from image_builder.archive.database.seeing import last_builds
from image_builder.archive.database.tables import packages, runs, settings
from image_builder.archive.database.together import update_rows
from image_builder.archive.importing import Found, Verdict, blacklist, judge, merge
from image_builder.archive.model import Key
from image_builder.archive.priority import Weights
from image_builder.archive.requests import Action, Request
from image_builder.archive.states import Package, State

FEW = 1000  # packages that are read whole, without a look at all of them
JUDGED = (State.NEEDS_BUILD, State.BD_UNINSTALLABLE, State.DEP_WAIT)
_BY_IMPORTER = Request(Action.INSTALLED, user="importer")
_BY_CHECKER = Request(Action.GIVE_BACK, user="installability")


def merge_all(
    connection: Connection,
    run: Run,
    suite: str,
    architecture: str,
    found: Iterable[Found],
    now: float,
    weights: Weights,
    *,
    landing: State,
    forget_missing: bool,
) -> Merged:
    """Let the importer see every source."""
    rows = {p.key.source: p for p in _all(connection, run, suite, architecture)}
    times = last_builds(connection, architecture) if not rows else {}
    added: list[Package] = []
    changed: list[tuple[Package, Package]] = []
    seen = set()
    landing = landing if run.auto_dep_wait else State.NEEDS_BUILD
    for one in found:
        seen.add(one.source)
        old = rows.get(one.source)
        new = merge(old, one, Key(suite, architecture, one.source), now, landing=landing)
        if new is None or new is old:
            continue
        if old is not None:
            changed.append((old, new))
            continue
        built = times.get(one.source)
        added.append(replace(new, last_build_seconds=built.seconds) if built else new)
    gone = [p for name, p in rows.items() if name not in seen] if forget_missing else []
    add_many(connection, run.identity, added, weights)
    nothing = {p.key: replace(p, version="") for p in added}
    _settle(connection, run, [*((nothing[p.key], p) for p in added), *changed], "merge", _BY_IMPORTER, now)
    save_many(connection, run.identity, changed, weights)
    void_left(connection, run.identity, ((p, None) for p in gone), now)
    write_down(connection, [line(run.identity, p, None, "merge: deleted", _BY_IMPORTER, now) for p in gone])
    remove(connection, run.identity, gone)
    if len(added) > MANY and connection.dialect.name != "sqlite":
        connection.execute(text("ANALYZE packages"))  # before it knows of them, it would read all to find one
    return Merged(len(added), len(changed), len(gone), len(rows) - len(changed) - len(gone))


def blacklist_all(
    connection: Connection,
    run: Run,
    suite: str,
    architecture: str,
    reasons: Mapping[str, str],
    now: float,
    weights: Weights,
) -> int:
    """Make the packages named Not-For-Us, and those no longer named wanted again. Return how many changed."""
    rows = _all(connection, run, suite, architecture)
    pairs = [(p, blacklist(p, reasons.get(p.key.source), now)) for p in rows]
    changed = [(old, new) for old, new in pairs if new is not old]
    save_many(connection, run.identity, changed, weights)
    _settle(connection, run, changed, "blacklist", Request(Action.NO_BUILD, user="configuration"), now)
    return len(changed)


def judge_all(
    connection: Connection,
    run: Run,
    suite: str,
    architecture: str,
    builds: Mapping[str, Verdict],
    dep_waits: Mapping[str, Verdict],
    now: float,
    weights: Weights,
) -> dict[str, State]:
    """Let the packages named take note of what can be installed. Return the states that changed."""
    if len(builds) + len(dep_waits) <= FEW:
        touched = {*builds, *dep_waits}
    else:
        touched = _news(connection, run, suite, architecture, builds, dep_waits)
    rows = load_named(connection, run.identity, suite, architecture, touched)
    changed = []
    for source, old in rows.items():
        build, wait = (_storable(v) for v in (builds.get(source), dep_waits.get(source)))
        new = judge(old, build, wait, now, auto_dep_wait=run.auto_dep_wait)
        if new is not old:
            changed.append((old, new))
    save_many(connection, run.identity, changed, weights)
    moved = [(old, new) for old, new in changed if old.state is not new.state]
    _settle(connection, run, moved, "installability", _BY_CHECKER, now)
    return {new.key.source: new.state for _, new in moved}


def _news(
    connection: Connection,
    run: Run,
    suite: str,
    architecture: str,
    builds: Mapping[str, Verdict],
    dep_waits: Mapping[str, Verdict],
) -> set[str]:
    """The packages of whom a verdict says something new.

    Most verdicts are what is known already: what they are held against is read without the rest of the row.
    """
    query = select(packages.c.source, packages.c.state, problem_column("problem"), problem_column("chain")).where(
        *_of(run, suite, architecture), packages.c.state.in_([state.value for state in JUDGED])
    )
    touched = set()
    for source, state, problem, chain in connection.execute(query):
        build = builds.get(source)
        if state == State.DEP_WAIT:
            if source in dep_waits and not dep_waits[source].problem:
                touched.add(source)
        elif build is not None and (build.problem, build.chain) != (problem or "", chain or ""):
            touched.add(source)
    return touched


def set_paths(connection: Connection, run: Run, suite: str, architecture: str, seconds: Mapping[str, float]) -> None:
    """Store the longest remaining path of each package named."""
    query = select(packages.c.source, packages.c.remaining_seconds).where(*_of(run, suite, architecture))
    place = _key(run, suite, architecture)
    changed = [
        {**place, "key_source": source, "remaining_seconds": seconds[source]}
        for source, known in connection.execute(query)
        if source in seconds and seconds[source] != known
    ]
    update_rows(connection, packages, changed)


def set_expected(
    connection: Connection, run: Run, suite: str, architecture: str, expected: Mapping[str, Expected]
) -> None:
    """Store what the build of each package named is expected to take."""
    place = _key(run, suite, architecture)
    rows = []
    for source, one in expected.items():
        values = {"expected_seconds": one.seconds, "memory_bytes": one.memory_bytes, "disk_bytes": one.disk_bytes}
        rows.append({**place, "key_source": source, **values})
    update_rows(connection, packages, rows)


def reweigh(connection: Connection, weights: Weights) -> bool:
    """Reckon the stored part of the formula anew, if it was reckoned by other weights; return whether it was."""
    wanted = json.dumps(asdict(weights), sort_keys=True)
    known = select(settings.c.value).where(settings.c.name == "weights")
    if connection.execute(known).scalar() == wanted:
        return False
    if connection.dialect.name != "sqlite":  # nobody else does the same, or changes what this reckons with
        connection.execute(text("LOCK TABLE packages, settings IN SHARE ROW EXCLUSIVE MODE"))
        if connection.execute(known).scalar() == wanted:
            return False
    connection.execute(delete(settings).where(settings.c.name == "weights"))
    connection.execute(insert(settings), {"name": "weights", "value": wanted})
    for identity in connection.execute(select(runs.c.id)).scalars().all():
        of_run = load_where(connection, packages.c.run == identity)
        weigh(connection, identity, of_run, weights)
    return True


def _all(connection: Connection, run: Run, suite: str, architecture: str) -> list[Package]:
    return load_where(connection, *_of(run, suite, architecture))


def _key(run: Run, suite: str, architecture: str) -> dict[str, Any]:
    return {"key_run": run.identity, "key_suite": suite, "key_architecture": architecture}


def _of(run: Run, suite: str, architecture: str) -> tuple[ColumnElement[bool], ...]:
    return packages.c.run == run.identity, packages.c.suite == suite, packages.c.architecture == architecture


def _storable(verdict: Verdict | None) -> Verdict | None:
    return verdict and Verdict(storable(verdict.problem), storable(verdict.chain))


def _settle(
    connection: Connection,
    run: Run,
    pairs: list[tuple[Package, Package]],
    action: str,
    request: Request,
    now: float,
) -> None:
    """Write the book, and end the attempts at what is no longer being built."""
    void_left(connection, run.identity, pairs, now)
    lines = []
    for old, new in pairs:
        what = f"{action}: {new.notes}" if action == "merge" and new.notes else action
        lines.append(line(run.identity, old, new, what, request, now))
    write_down(connection, lines)
