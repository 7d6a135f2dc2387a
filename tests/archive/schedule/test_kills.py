"""SIGKILL of a scheduler and of its builders, as processes, at moments nobody chose."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import scheduler_program
from postgresql_server import Server

from image_builder.archive.database.open import open_database
from image_builder.archive.model import Outcome
from image_builder.archive.states import State

TOP = Path(__file__).parents[3]
KILLS = 6
PATIENCE = 180.0


def start(folder: Path, *further: str) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(map(str, (TOP, TOP / "tests/support")))
    program = [sys.executable, scheduler_program.__file__, str(folder), *further]
    return subprocess.Popen(program, env={**os.environ, "PYTHONPATH": paths})


def kill_a_supervisor(folder: Path, chance: random.Random) -> bool:
    running = [p for p in folder.glob("jobs/*/held") if not (p.parent / "finished.json").exists()]
    for path in chance.sample(running, len(running)):
        with suppress(ValueError, ProcessLookupError, FileNotFoundError):  # not begun yet, or just over
            os.kill(int(path.read_text()), signal.SIGKILL)
            return True
    return False


def test_nothing_is_lost_and_nothing_is_taken_twice(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    supervisors = 2  # more would be the machine's fault, which then rests
    deadline = time.monotonic() + PATIENCE
    for _ in range(KILLS):
        program = start(tmp_path)
        moment = time.monotonic() + chance.uniform(0.5, 3.0)
        while time.monotonic() < moment and program.poll() is None:
            time.sleep(0.05)
            if supervisors and chance.random() < 0.05:
                supervisors -= kill_a_supervisor(tmp_path, chance)
        program.kill()
        program.wait()
    last = start(tmp_path)
    try:
        assert last.wait(deadline - time.monotonic()) == 0
    finally:
        last.kill()
        last.wait()
    taken = Counter(path.name.partition(".")[0] for path in (tmp_path / "taken").iterdir())
    with open_database(tmp_path / "archive.sqlite") as database:
        (run,) = database.runs()
        rows = database.packages(run.identity)
        assert {row.state for row in rows} == {State.INSTALLED}
        assert len(rows) == scheduler_program.PACKAGES == len(taken)
        for row in rows:
            attempts = database.attempts(run.identity, row.key)
            good = [one for one in attempts if one.outcome is Outcome.SUCCEEDED]
            assert len(good) == 1
            # Its files were taken in before the database was told, perhaps more than once; the accepted one is there.
            assert (
                tmp_path / f"taken/{row.key.source}.{good[0].attempt.identity}"
            ).read_text() == f"{row.key.source}\n"
        assert database.live_attempts() == []
    assert [path.name for path in (tmp_path / "jobs").iterdir() if path.is_dir()] == []


def test_two_processes_at_once_do_not_build_a_package_twice(tmp_path: Path) -> None:
    first, second = start(tmp_path), start(tmp_path)
    try:
        statuses = sorted([first.wait(PATIENCE), second.wait(PATIENCE)])
    finally:
        for program in (first, second):
            program.kill()
            program.wait()
    # The second finds the first at work, and says so; or comes when it has ended, and finds nothing to do.
    assert statuses in ([0, 0], [0, 1])
    with open_database(tmp_path / "archive.sqlite") as database:
        (run,) = database.runs()
        attempts = [database.attempts(run.identity, row.key) for row in database.packages(run.identity)]
    assert [len(one) for one in attempts] == [1] * scheduler_program.PACKAGES


def test_a_second_machine_takes_over_from_one_that_was_killed(tmp_path: Path) -> None:
    """Two schedulers, each with jobs of its own, on one PostgreSQL; the one that came first is killed half-way."""
    with Server.running() as server:
        address = server.new_database()
        programs = [start(tmp_path, address, str(tmp_path / f"jobs-{number}")) for number in range(2)]
        try:
            deadline = time.monotonic() + PATIENCE
            while len(list((tmp_path / "taken").glob("*"))) < scheduler_program.PACKAGES // 3:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            busy = [len(list(tmp_path.glob(f"jobs-{number}/*/job.json"))) for number in range(2)]
            assert sorted(busy)[0] == 0, "one at a time drives a run"
            first = busy.index(max(busy))
            programs[first].kill()
            assert programs[1 - first].wait(PATIENCE) == 0
        finally:
            for program in programs:
                program.kill()
                program.wait()
        with open_database(address) as database:
            (run,) = database.runs()
            rows = database.packages(run.identity)
            assert {row.state for row in rows} == {State.INSTALLED}
            assert len(rows) == scheduler_program.PACKAGES
            for row in rows:
                attempts = database.attempts(run.identity, row.key)
                good = [one.attempt.identity for one in attempts if one.outcome is Outcome.SUCCEEDED]
                assert len(good) == 1
                assert (tmp_path / f"taken/{row.key.source}.{good[0]}").read_text() == f"{row.key.source}\n"
            assert database.live_attempts() == []
