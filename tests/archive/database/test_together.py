"""Several programs at one database, and programs that are killed: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from postgresql_server import Server
from rebuild_rows import ARCHITECTURE, NOW, SUITE, begin, deliver, key, start

from image_builder.archive.database.store import Database
from image_builder.archive.importing import Verdict
from image_builder.archive.model import Outcome
from image_builder.archive.requests import Moved
from image_builder.archive.states import State

WORKER = Path(__file__).parents[2] / "support" / "queue_worker.py"


def workers(address: str, number: int) -> list[subprocess.Popen[str]]:
    """Programs that build what is in the queue until it is empty."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), str(WORKER.parent)])}
    return [
        subprocess.Popen([sys.executable, WORKER, address, f"w{n}"], stdout=subprocess.PIPE, text=True, env=environment)
        for n in range(number)
    ]


def test_two_workers_never_get_the_same(db: Database, address: str) -> None:
    run = begin(db, [f"p{number:02}" for number in range(40)])
    ended = [worker.communicate(timeout=120)[0].split() for worker in workers(address, 2)]
    assert sorted(ended[0] + ended[1]) == [f"p{number:02}" for number in range(40)]
    assert db.counts(run.identity)[run.identity, SUITE, ARCHITECTURE] == {State.INSTALLED: 40}
    assert Counter(entry.source for entry in db.history()) == Counter(ended[0] + ended[1])


def test_workers_that_are_killed_lose_and_double_nothing(db: Database, address: str) -> None:
    names = [f"p{number:03}" for number in range(80)]
    run = begin(db, names)
    dice = random.Random(1)
    for _ in range(2):
        started = workers(address, 2)
        time.sleep(0.6 + dice.random())
        for worker in started:
            worker.send_signal(signal.SIGKILL)
            worker.communicate(timeout=60)
    for record in db.live_attempts():  # what the dead had taken
        assert record.lease_until < time.time() + 3600
        assert isinstance(db.expire(record.attempt.identity, time.time() + 7200), Moved)
    everything = dict.fromkeys(names, Verdict())
    db.judge(run.identity, SUITE, ARCHITECTURE, everything, {}, NOW)
    for worker in workers(address, 2):
        worker.communicate(timeout=120)
    assert db.counts(run.identity)[run.identity, SUITE, ARCHITECTURE] == {State.INSTALLED: len(names)}
    assert Counter(entry.source for entry in db.history()) == dict.fromkeys(names, 1)
    for name in names:
        taken = [r for r in db.attempts(run.identity, key(name)) if r.outcome is Outcome.SUCCEEDED]
        assert len(taken) == 1


def test_a_power_failure_loses_nothing_that_was_answered(postgresql: Server, opened: Callable[..., Database]) -> None:
    db = opened(postgresql.new_database())
    run = begin(db)
    attempt = start(db, run)
    postgresql.stop()
    postgresql.start()
    assert [record.attempt for record in db.live_attempts()] == [attempt]
    assert isinstance(deliver(db, attempt), Moved)


def test_who_reads_does_not_wait_for_who_writes(db: Database) -> None:
    run = begin(db)
    with db.writing(SUITE, ARCHITECTURE):
        assert db.counts(run.identity)[run.identity, SUITE, ARCHITECTURE] == {State.NEEDS_BUILD: 2}
        assert len(db.next_jobs(run.identity, SUITE, ARCHITECTURE, NOW, limit=9)) == 2
