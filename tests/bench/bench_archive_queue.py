"""The database of a rebuild, 35,000 packages in the queue: the next job, counts, what changes thousands at once."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

from command import main
from ground import Ground
from report import Cost, Report, Row, in_process

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from postgresql_server import Server

from image_builder.archive.database.open import open_database
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Found, Status, Verdict
from image_builder.archive.model import Base, Key
from image_builder.archive.priority import DAY, Order
from image_builder.archive.requests import Action, Request

PACKAGES, CHANGED, TIMES = 35_000, 5_000, 20
NOW = 1e9
PLACE = ("trixie", "amd64")


def bench(ground: Ground, quick: bool) -> Report:
    packages = 2_000 if quick else PACKAGES
    rows = _rows("SQLite", str(ground.folder / "archive.sqlite"), packages)
    with Server.running() as server:
        rows += _rows("PostgreSQL", server.new_database(), packages)
    notes = [
        f"{packages} packages, all in state Needs-Build, with different priorities, paths and ages",
        f"the bounds of next job and counts are {TIMES} times 50 ms; that of the check is 1 s",
        "each change is on the disk before the call returns (PostgreSQL: not, its server runs without fsync)",
    ]
    return Report("Archive rebuild: the queue", rows, notes)


def _rows(name: str, address: str, packages: int) -> list[Row]:
    dice = random.Random(1)
    names = [f"source-{number:05}" for number in range(packages)]
    found = []
    for one in names:
        section, priority = dice.choice(["libs", "net"]), dice.choice(["optional", "required"])
        found.append(Found(one, "1.0-1", Status.UNCOMPILED, None, section, priority))
    changed = dice.sample(names, min(CHANGED, packages))
    with open_database(address) as db:
        run = db.add_run("bench", 0, Base.OLD, NOW).identity

        def judge(verdict: Verdict, which: list[str], at: float) -> Callable[[], object]:
            return lambda: db.judge(run, *PLACE, dict.fromkeys(which, verdict), {}, at)

        rows = [Row(f"{name}: import, the first", in_process(lambda: db.merge(run, *PLACE, found, NOW)))]
        rows.append(Row(f"{name}: check, all of them installable", in_process(judge(Verdict(), names, NOW))))
        for number, which in enumerate(names[i::7] for i in range(7)):  # of different ages
            db.judge(run, *PLACE, dict.fromkeys(which, Verdict("x")), {}, NOW)
            db.judge(run, *PLACE, dict.fromkeys(which, Verdict()), {}, NOW + number * DAY)
        paths = {name: dice.random() * 1e6 for name in names}
        rows.append(Row(f"{name}: longest paths of all stored", in_process(lambda: db.set_paths(run, *PLACE, paths))))
        for one in dice.sample(names, 50):
            db.move(run, Key(*PLACE, one), Request(Action.PRIORITY, user="me", number=dice.randrange(9)), NOW)
        rows += [
            Row(f"{name}: next job by {order}, {TIMES} times", _next(db, run, order), bound=1.0) for order in Order
        ]
        rows.append(Row(f"{name}: counts by state, {TIMES} times", _times(lambda: db.counts(run)), bound=1.0))
        broken = Verdict("needs libfoo-dev (>= 2), but there is only libfoo-dev 1", '[{"kind": "missing"}]' * 20)
        rows.append(Row(f"{name}: check, {len(changed)} broken", in_process(judge(broken, changed, NOW)), bound=1.0))
        rows.append(Row(f"{name}: check, {len(changed)} mended", in_process(judge(Verdict(), changed, NOW)), bound=1.0))
    return rows


def _next(db: Database, run: int, order: Order) -> Cost:
    def one() -> None:
        assert len(db.next_jobs(run, *PLACE, NOW + 8 * DAY, order=order)) == 1

    return _times(one)


def _times(call: Callable[[], object]) -> Cost:
    call()  # the first one compiles the statement

    def all_of_them() -> None:
        for _ in range(TIMES):
            call()

    return in_process(all_of_them)


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
