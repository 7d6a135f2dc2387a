"""The executor of this machine, with real processes; no root needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from image_builder.errors import ConfigError
from image_builder.jobs.interface import Exit, Finished, Heartbeat, Job, Started
from image_builder.jobs.local import Local
from image_builder.jobs.processes import marked

PATIENCE = 60.0  # never waited for in full, but on a machine that is very busy


@contextmanager
def local(folder: Path, **words: Any) -> Iterator[Local]:
    words = {"slots": 4, "memory_bytes": 1 << 40, "disk_bytes": 1 << 50, "heartbeat_seconds": 0.2, **words}
    with Local(folder, architectures=["amd64"], worker="here", **words) as found:
        yield found


def job(name: str, script: str, **words: Any) -> Job:
    values: dict[str, Any] = {
        "environment": {},
        "memory_bytes": 1,
        "disk_bytes": 1,
        "time_limit_seconds": 600.0,
        **words,
    }
    return Job(reference=name, name=name, architecture="amd64", command=("sh", "-c", script), **values)


def until_finished(executor: Local, *names: str) -> dict[str, Finished]:
    found: dict[str, Finished] = {}
    deadline = time.monotonic() + PATIENCE
    while not found.keys() >= set(names):
        assert time.monotonic() < deadline, f"only {sorted(found)} of {names}"
        found |= {one.reference: one for one in executor.events(1.0) if isinstance(one, Finished)}
    return found


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def has(path: Path) -> Callable[[], bool]:
    return lambda: path.exists() and path.stat().st_size > 0


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_a_job_is_run_in_a_folder_of_its_own_and_leaves_its_artefacts(tmp_path: Path) -> None:
    with local(tmp_path / "jobs") as executor:
        executor.submit(job("one", 'echo said; mkdir d; echo "$WORD" > d/a; echo b > b; : > "$TMPDIR/no"',
                            environment={"WORD": "word"}))  # fmt: skip
        assert isinstance(executor.events(0.0)[0], Started)
        done = until_finished(executor, "one")["one"]
        assert (done.exit, done.exit_status, done.worker) == (Exit.ENDED, 0, "here")
        assert done.artifacts == ("b", "d/a")
        assert Path(done.folder, "d/a").read_text() == "word\n"
        assert (tmp_path / "jobs/one/output.log").read_text() == "said\n"
        executor.forget("one")
        assert not (tmp_path / "jobs/one").exists()


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("kill -TERM $$", 128 + signal.SIGTERM)])
def test_the_exit_status_is_the_commands(tmp_path: Path, script: str, status: int) -> None:
    with local(tmp_path) as executor:
        executor.submit(job("one", script))
        done = until_finished(executor, "one")["one"]
        assert (done.exit, done.exit_status) == (Exit.ENDED, status)


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with local(tmp_path) as executor:
        executor.submit(Job("one", "one", "amd64", ("no-such-program",), {}, 1, 1, 60.0))
        done = until_finished(executor, "one")["one"]
        assert (done.exit, done.exit_status) == (Exit.NOT_STARTED, None)
        assert "no-such-program is not installed" in done.reason


DAEMONS = """
echo $$ > pids
(setsid sh -c 'echo $$ >> pids; (sleep 1000 & echo $! >> pids) ; exec env -i sleep 1000' &)
setsid env -i sh -c 'echo $$ >> pids; exec sleep 1000' &
while [ "$(wc -l < pids)" -lt 4 ]; do sleep 0.05; done
"""


def pids(folder: Path) -> list[int]:
    return [int(word) for word in (folder / "work/pids").read_text().split()]


@pytest.mark.parametrize("end", ["by itself", "timeout", "cancel", "close"])
def test_every_process_ends_with_its_job(tmp_path: Path, end: str) -> None:
    script = DAEMONS + ("exit 0" if end == "by itself" else "touch ready; sleep 1000")
    with local(tmp_path) as executor:
        executor.submit(job("one", script, time_limit_seconds=5.0 if end == "timeout" else 600.0))
        executor.events(0.0)
        if end in ("cancel", "close"):
            wait_for((tmp_path / "one/work/ready").exists)
        if end == "cancel":
            executor.cancel("one")
        if end != "close":
            done = until_finished(executor, "one")["one"]
            expected = {"by itself": Exit.ENDED, "timeout": Exit.TIMEOUT, "cancel": Exit.CANCELLED}
            assert done.exit is expected[end]
            assert [pid for pid in pids(tmp_path / "one") if is_alive(pid)] == []
    assert len(pids(tmp_path / "one")) == 4
    assert [pid for pid in pids(tmp_path / "one") if is_alive(pid)] == []


def test_a_job_that_takes_more_memory_than_it_may_is_ended(tmp_path: Path) -> None:
    script = f"exec {sys.executable} -c 'import time; x = bytearray(200_000_000); time.sleep(1000)'"
    with local(tmp_path) as executor:
        executor.submit(job("one", script, memory_limit_bytes=100_000_000))
        done = until_finished(executor, "one")["one"]
        assert (done.exit, done.memory_bytes > 100_000_000) == (Exit.OUT_OF_MEMORY, True)


def test_what_a_job_used_is_told(tmp_path: Path) -> None:
    script = (
        f'exec {sys.executable} -c \'x = bytearray(80_000_000); open("f", "wb").write(x); import time; time.sleep(1)\''
    )
    with local(tmp_path) as executor:
        executor.submit(job("one", script))
        done = until_finished(executor, "one")["one"]
        assert done.memory_bytes > 80_000_000
        assert done.disk_bytes >= 80_000_000
        assert done.seconds >= 1.0


def test_heartbeats_come_while_it_runs_and_while_it_waits(tmp_path: Path) -> None:
    with local(tmp_path, slots=1) as executor:
        for name in ("runs", "waits"):
            executor.submit(job(name, "sleep 1000"))
        heard: set[str] = set()
        deadline = time.monotonic() + PATIENCE
        while heard != {"runs", "waits"}:
            assert time.monotonic() < deadline
            heard |= {one.reference for one in executor.events(1.0) if isinstance(one, Heartbeat)}
        assert executor.capacity()["amd64"].free == 0


def test_no_more_at_once_than_the_budget_allows(tmp_path: Path) -> None:
    """Each job notes how many others it sees."""
    seen = tmp_path / "seen"
    seen.mkdir()
    script = f"touch {seen}/$$; ls {seen} | wc -l > count; sleep 0.3; rm {seen}/$$"
    with local(tmp_path / "jobs", slots=9, memory_bytes=100) as executor:
        for number in range(6):
            executor.submit(job(f"j{number}", script, memory_bytes=50))
        done = until_finished(executor, *(f"j{n}" for n in range(6)))
        counts = {int(Path(one.folder, "count").read_text()) for one in done.values()}
    assert counts <= {1, 2}


def test_a_machine_that_rests_starts_nothing(tmp_path: Path) -> None:
    with local(tmp_path) as executor:
        executor.rest("another", 1000.0)
        assert executor.capacity()["amd64"].free == 4
        executor.rest("here", 1000.0)
        executor.submit(job("one", "true"))
        assert executor.capacity()["amd64"].free == 0
        assert not any(isinstance(one, Started) for one in executor.events(0.3))


def test_the_same_reference_is_the_same_job(tmp_path: Path) -> None:
    with local(tmp_path / "jobs") as executor:
        for _ in range(2):
            executor.submit(job("one", f"echo x >> {tmp_path}/ran"))
        until_finished(executor, "one")
        executor.submit(job("one", f"echo x >> {tmp_path}/ran"))
        assert not any(isinstance(one, Started) for one in executor.events(0.3))
    assert (tmp_path / "ran").read_text() == "x\n"


@pytest.mark.parametrize("reference", ["", "../up", "a/b", ".hidden", "a b", "x" * 300])
def test_a_reference_that_is_no_file_name_is_refused(tmp_path: Path, reference: str) -> None:
    with local(tmp_path) as executor, pytest.raises(ConfigError):
        executor.submit(job(reference, "true"))


def test_a_job_for_another_architecture_is_refused(tmp_path: Path) -> None:
    with local(tmp_path) as executor, pytest.raises(ConfigError, match="builds for amd64"):
        executor.submit(Job("one", "one", "armhf", ("true",), {}, 1, 1, 60.0))


def test_two_in_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        local(tmp_path),
        pytest.raises(ConfigError, match=f"another process works here.*{os.getpid()}"),
        local(tmp_path),
    ):
        pass


def start_program(folder: Path, script: str, *, lease_seconds: float = 600.0) -> subprocess.Popen[bytes]:
    """Another process with an executor of its own, which hands out one job and listens."""
    program = f"""
from pathlib import Path
from image_builder.jobs.interface import Job
from image_builder.jobs.local import Local
executor = Local(Path({str(folder)!r}), architectures=["amd64"], slots=4, memory_bytes=1 << 40, disk_bytes=1 << 50,
                 worker="here", lease_seconds={lease_seconds})
executor.submit(Job("one", "one", "amd64", ("sh", "-c", {script!r}), {{}}, 1, 1, 600.0))
while True:
    executor.events(1.0)
"""
    return subprocess.Popen([sys.executable, "-c", program])


def killed_after(condition: Callable[[], object], program: subprocess.Popen[bytes]) -> None:
    try:
        wait_for(condition)
    finally:
        program.kill()
        program.wait()


def test_a_job_goes_on_when_its_executor_is_killed_and_the_next_one_finds_it(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    gate = tmp_path / "gate"
    script = f"echo started >> log; while [ ! -e {gate} ]; do sleep 0.05; done; echo done >> log"
    killed_after(has(folder / "one/work/log"), start_program(folder, script))
    with local(folder) as executor:
        said = executor.reconcile(["one", "never-heard-of"])
        assert (said.running, said.finished, said.unknown) == ({"one"}, set(), {"never-heard-of"})
        gate.touch()
        done = until_finished(executor, "one")["one"]
        assert (done.exit, done.exit_status) == (Exit.ENDED, 0)
        assert Path(done.folder, "log").read_text() == "started\ndone\n"
    with local(folder) as executor:  # nobody has said that it was dealt with
        assert executor.reconcile(["one"]).finished == {"one"}
        assert until_finished(executor, "one")["one"] == done
    with local(folder) as executor:
        executor.reconcile([])
        assert not (folder / "one").exists()


def test_what_nobody_believes_in_any_more_is_ended(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    killed_after(has(folder / "one/work/pids"), start_program(folder, DAEMONS + "sleep 1000"))
    wait_for(lambda: len(pids(folder / "one")) == 4)
    running = pids(folder / "one")
    with local(folder) as executor:
        assert executor.reconcile([]).running == frozenset()
        wait_for(lambda: not any(is_alive(pid) for pid in running))
        until_finished(executor, "one")


def test_a_job_ends_when_nobody_takes_over_from_an_executor_that_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    program = start_program(folder, "echo $$ > pids; sleep 1000", lease_seconds=3.0)
    killed_after(has(folder / "one/work/pids"), program)
    (pid,) = pids(folder / "one")
    assert is_alive(pid)
    wait_for(lambda: not is_alive(pid))
    with local(folder) as executor:
        assert until_finished(executor, "one")["one"].exit is Exit.LOST


def test_a_supervisor_that_is_killed_takes_the_job_along_and_is_told_as_lost(tmp_path: Path) -> None:
    with local(tmp_path) as executor:
        executor.submit(job("one", "setsid sleep 1000 & echo $$ > pids; echo $! >> pids; sleep 1000"))
        executor.events(0.0)
        wait_for(lambda: has(tmp_path / "one/work/pids")() and len(pids(tmp_path / "one")) == 2)
        running = pids(tmp_path / "one")
        os.kill(int((tmp_path / "one/held").read_text()), signal.SIGKILL)
        done = until_finished(executor, "one")["one"]
        assert (done.exit, done.exit_status) == (Exit.LOST, None)
        assert not any(is_alive(pid) for pid in running)
        assert marked("one") == []


def test_a_job_that_was_accepted_and_never_begun_is_begun_after_a_restart(tmp_path: Path) -> None:
    with local(tmp_path) as executor:
        executor.rest("here", 1000.0)
        executor.submit(job("one", "echo done > log"))
        executor.close = lambda: None  # type: ignore[method-assign]
    executor._held.close()  # killed: nothing of what close() does was done
    with local(tmp_path) as executor:
        assert executor.reconcile(["one"]).running == {"one"}
        assert until_finished(executor, "one")["one"].exit_status == 0
