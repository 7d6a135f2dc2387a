"""A rebuild driven by a process of its own, which a test can kill: real database, scheduler, executor and jobs.

python scheduler_program.py FOLDER [DATABASE JOBS] ends with status 0 when every package has come to its end. What was
taken in lies in FOLDER/taken, a file SOURCE.ATTEMPT for each result. DATABASE: an address; JOBS: a folder, as of
another machine.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from small_world import archive

from image_builder.archive.database.open import open_database
from image_builder.archive.importing import INSTALLABLE, Found, Status
from image_builder.archive.model import Attempt, Base
from image_builder.archive.schedule.clock import SystemClock
from image_builder.archive.schedule.gate import Gate
from image_builder.archive.schedule.passes import plan_pass
from image_builder.archive.schedule.policy import Limits
from image_builder.archive.schedule.scheduler import Scheduler
from image_builder.archive.schedule.seams import Lane, Seams, Settings, by_exit, reference
from image_builder.archive.schedule.trigger import RepositoryTrigger
from image_builder.errors import ConfigError, PipelineError
from image_builder.files import write_whole
from image_builder.jobs.interface import Finished, Job
from image_builder.jobs.local import Local

PACKAGES = 24
LANE = Lane("s", "amd64", "amd64")
SETTINGS = Settings(
    limits=Limits(delay_seconds={}, alone=False), lease_seconds=30.0, trigger_seconds=0.5, trigger_least_seconds=0.1,
    claim_seconds=1.0,
)  # fmt: skip


def main(folder: Path, database_at: str, jobs: Path) -> None:
    sources, binaries = archive(PACKAGES, 1, width=4, cycles=2)
    taken = folder / "taken"
    taken.mkdir(exist_ok=True)
    plan = plan_pass(sources, binaries, architecture="amd64", base=Base.BOTH, seconds={})
    clock = SystemClock()

    def order(attempt: Attempt, *, alone: bool) -> Job:
        command = ("sh", "-c", f"sleep 0.2; echo {attempt.key.source} > result")
        return Job(reference(attempt), attempt.key.source, "amd64", command, {}, 1, 1, 60.0, alone=alone)

    def accept(attempt: Attempt, finished: Finished) -> None:
        text = Path(finished.folder, "result").read_text()
        write_whole(taken / f"{attempt.key.source}.{attempt.identity}", text)

    with ExitStack() as stack:
        database = stack.enter_context(open_database(database_at))
        with suppress(PipelineError):  # another one began it, before or just now
            database.add_run("kills", 0, Base.BOTH, clock.now())
        (run,) = database.runs()
        found = [Found(one.name, one.version, Status.UNCOMPILED) for one in sources]
        database.merge(run.identity, LANE.suite, LANE.architecture, found, clock.now())
        trigger = RepositoryTrigger(
            database, run, {LANE: Gate(plan.graph, plan.base)}, publish=lambda now: None,  # noqa: ARG005
            check=lambda lane, asked: dict.fromkeys(plan.graph.sources if asked is None else asked, INSTALLABLE),  # noqa: ARG005
            waits=lambda lane: {},  # noqa: ARG005
        )  # fmt: skip
        executor = stack.enter_context(
            Local(jobs, architectures=["amd64"], slots=4, memory_bytes=1 << 40, disk_bytes=1 << 40,
                  lease_seconds=30.0, heartbeat_seconds=0.2)
        )  # fmt: skip
        seams = Seams(order, lambda attempt, finished: by_exit(finished), accept, trigger)  # noqa: ARG005
        scheduler = Scheduler(database, run, [LANE], executor, clock, seams, SETTINGS)
        while True:
            try:
                scheduler.start()
                break
            except ConfigError:  # the claim of the one that was killed
                time.sleep(0.1)
        while scheduler.step(0.5):
            pass
        scheduler.close()


if __name__ == "__main__":
    top, *further = sys.argv[1:]
    main(Path(top), *((further[0], Path(further[1])) if further else (f"{top}/archive.sqlite", Path(top, "jobs"))))
