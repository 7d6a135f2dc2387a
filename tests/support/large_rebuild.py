"""A rebuild of as many packages as Debian has, with names like its own, in a database."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import islice
from typing import Any

from image_builder.archive.database.records import Finish, Result, Run, Start
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Found, Status, Verdict
from image_builder.archive.installability.reasons import Missing, Step, to_json
from image_builder.archive.model import Attempt, Base, Key, Outcome
from image_builder.archive.requests import Action, Request

SUITE, ARCHITECTURE = "trixie", "amd64"
BEGUN = 1_790_000_000.0
AT_ONCE = 1000
_HEADS = (*[""] * 3, *["lib"] * 2, "python-", "golang-github-", "node-", "haskell-", "r-cran-", "ruby-", "rust-")
_PARTS = (
    "ac",
    "bar",
    "con",
    "dex",
    "er",
    "fro",
    "gil",
    "han",
    "ix",
    "jo",
    "ket",
    "lum",
    "mo",
    "op",
    "qu",
    "ster",
    "tu",
)
_WHY = ("the compiler refused the source", "its tests failed", "the linker failed", "a header is missing")


def names(count: int) -> list[str]:
    """So many different names, in order."""
    dice = random.Random(1)
    found: set[str] = set()
    while len(found) < count:
        name = dice.choice(_HEADS) + "".join(dice.choice(_PARTS) for _ in range(dice.randrange(2, 5)))
        found.add(name if name not in found else f"{name}{dice.randrange(100)}")
    return sorted(found)


def found(sources: Sequence[str], status: Status) -> list[Found]:
    dice = random.Random(2)
    return [
        Found(one, f"{dice.randrange(1, 9)}.{dice.randrange(30)}.{dice.randrange(9)}-{dice.randrange(1, 7)}", status,
              binaries=(one, f"{one}-dev"))
        for one in sources
    ]  # fmt: skip


def installed(db: Database, count: int) -> Run:
    """A run in which everything was there before: rows, and nothing that happened to them. Takes seconds."""
    run = db.add_run("large", 0, Base.OLD, BEGUN)
    db.merge(run.identity, SUITE, ARCHITECTURE, found(names(count), Status.INSTALLED), BEGUN)
    return run


def built(db: Database, count: int, *, lacking: int = 800, failing: int = 900, waiting: int = 500) -> Run:
    """A run of a day in which all but some were built, attempt by attempt."""
    dice = random.Random(3)
    run = db.add_run("large", 1, Base.BOTH, BEGUN, toolchain="ab" * 32)
    sources = names(count)
    place = (run.identity, SUITE, ARCHITECTURE)
    db.merge(*place, found(sources, Status.UNCOMPILED), BEGUN)
    shuffled = dice.sample(sources, count)
    lack = shuffled[:lacking]
    verdicts = {one: Verdict() for one in sources}
    for one in lack:
        need = f"{dice.choice(shuffled[lacking:])}-dev (>= 9)"
        chain = to_json([Missing((Step(f"source---{one}", "1", need),))])
        verdicts[one] = Verdict(f"needs {need}, but there is only an older one", chain)
    db.judge(*place, verdicts, {}, BEGUN + 1)
    todo = iter(shuffled[lacking : count - waiting])
    failed, now = failing, BEGUN + 60
    while some := list(islice(todo, AT_ONCE)):
        starts = [Start(Key(SUITE, ARCHITECTURE, one), 3600) for one in some]
        attempts = db.start_many(run.identity, starts, "w1", now, lease_seconds=600)
        now += 1800 * dice.random()
        db.finish_many([_end(one, dice, fail=n < min(failed, 30)) for n, one in enumerate(attempts)], now)
        failed -= min(failed, 30)
    db.finish_run(run.identity, now)
    return run


def _end(attempt: Any, dice: random.Random, *, fail: bool) -> Finish:
    assert isinstance(attempt, Attempt), attempt
    seconds, memory = dice.lognormvariate(5, 1), dice.randrange(1 << 28, 1 << 32)
    if fail:
        said = Result(Outcome.ATTEMPTED, attempt.version, seconds, memory, reason=dice.choice(_WHY), worker="host7")
        return Finish(attempt.identity, attempt.token, said, (Request(Action.ATTEMPTED, user="w1"),))
    said = Result(Outcome.SUCCEEDED, attempt.version, seconds, memory, worker="host7")
    moves = tuple(Request(one, user="w1") for one in (Action.BUILT, Action.UPLOADED, Action.INSTALLED))
    return Finish(attempt.identity, attempt.token, said, moves)
