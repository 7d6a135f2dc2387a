"""A rebuild with something in every state, with names and logs that mean harm: for tests of the web view."""

from __future__ import annotations

import lzma
from pathlib import Path

from image_builder.archive.database.open import open_database
from image_builder.archive.database.records import Result as Said
from image_builder.archive.database.records import Run
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Found, Status, Verdict
from image_builder.archive.installability.reasons import Missing, Step, to_json
from image_builder.archive.model import Attempt, Base, Key, Outcome
from image_builder.archive.requests import Action, Moved, Request
from image_builder.archive.results import Result, Results
from image_builder.archive.stages import stage_folder

NOW = 1_800_000_000.0
SUITE = "trixie"
EVIL = '"><img src=x onerror=alert(1)>\u202egnp.exe'
LOG = """\
Checking foo
gcc -c foo.c
foo.c:3:1: error: expected ';' before '<script>alert(2)</script>'
make: *** [Makefile:2: foo.o] Error 1
\x1b[31mdone\x1b[0m \x00 and \u202eturned
"""
SOURCES = ("acl", "bar", "baz", "building", "failed", "hello", "libfoo", "nothere", "timed", EVIL)


class Seen:
    """The rebuild: two runs, of which the second has everything."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.results = folder, folder / "results"
        self.address = str(folder / "archive.sqlite")
        self.now = NOW
        self.logs: dict[str, int] = {}  # source → the attempt that has a log

    def make(self) -> Seen:
        """Fill database and results."""
        (self.folder / "archive.yaml").write_text("sources: [deb http://archive.example/ trixie main]\n")
        with open_database(self.address, durable=False) as db:
            before = self.begin(db, 0, Base.OLD, ("hello",))
            self.install(db, before, "hello")
            db.finish_run(before.identity, self.tick())
            run = self.begin(db, 1, Base.BOTH, SOURCES)
            db.merge(run.identity, SUITE, "all", [Found("hello", "2.10-3", Status.UNCOMPILED)], self.tick())
            self.install(db, run, "hello")
            self.fail(db, run, "acl", Outcome.ATTEMPTED, "the compiler refused the source")
            self.fail(db, run, "timed", Outcome.TIMEOUT, "the time limit was reached")
            self.fail(db, run, EVIL, Outcome.ATTEMPTED, EVIL, message=EVIL)
            self.fail(db, run, "failed", Outcome.ATTEMPTED, "its tests failed")
            self.move(db, run, "failed", Request(Action.FAILED, user="w1", message=f"see <b>bug</b>\n{EVIL}"))
            self.move(db, run, "nothere", Request(Action.NO_BUILD, user="me", message="too large"))
            self.move(db, run, "baz", Request(Action.DEP_WAIT, user="me", message="libbar-dev (>= 2)"))
            step = Step("source---libfoo", "1-1", "libbar-dev (>= 2)")
            broken = Verdict("needs libbar-dev (>= 2), but there is only libbar-dev 1", to_json([Missing((step,))]))
            db.judge(run.identity, SUITE, "amd64", {"libfoo": broken}, {}, self.tick())
            self.move(db, run, "bar", Request(Action.PRIORITY, user="me", number=7))
            self.start(db, run, "building")
        return self

    def tick(self) -> float:
        self.now += 60
        return self.now

    def begin(self, db: Database, stage: int, base: Base, sources: tuple[str, ...]) -> Run:
        """A run with these sources in the queue; each X makes X and libX-dev."""
        run = db.add_run("gcc-15", stage, base, self.tick(), toolchain="ab" * 32)
        found = [Found(one, "2.10-3", Status.UNCOMPILED, binaries=(one, f"lib{one}-dev")) for one in sources]
        db.merge(run.identity, SUITE, "amd64", found, self.tick())
        db.judge(run.identity, SUITE, "amd64", {one: Verdict() for one in sources}, {}, self.tick())
        return run

    def start(self, db: Database, run: Run, source: str) -> Attempt:
        key = Key(SUITE, "amd64", source)
        attempt = db.start(run.identity, key, "w1", self.tick(), lease_seconds=600, time_limit_seconds=3600)
        assert isinstance(attempt, Attempt), attempt
        return attempt

    def move(self, db: Database, run: Run, source: str, request: Request) -> None:
        answer = db.move(run.identity, Key(SUITE, "amd64", source), request, self.tick())
        assert isinstance(answer, Moved), answer

    def install(self, db: Database, run: Run, source: str) -> None:
        attempt = self.start(db, run, source)
        requests = [Request(one, user="w1") for one in (Action.BUILT, Action.UPLOADED, Action.INSTALLED)]
        said = Said(Outcome.SUCCEEDED, "2.10-3", 42.0, 1 << 20, 1 << 21)
        answer = db.finish(attempt.identity, attempt.token, said, requests, self.tick())
        assert isinstance(answer, Moved), answer

    def fail(self, db: Database, run: Run, source: str, outcome: Outcome, reason: str, *, message: str = "") -> None:
        """An attempt that came to nothing, with its log among the results."""
        attempt = self.start(db, run, source)
        self.keep(run, attempt, outcome, LOG)
        said = Said(outcome, "2.10-3", 61.0, 3 << 20, 1 << 21, reason=reason)
        request = Request(Action.ATTEMPTED, user="w1", message=message)
        answer = db.finish(attempt.identity, attempt.token, said, request, self.tick())
        assert isinstance(answer, Moved), answer

    def keep(self, run: Run, attempt: Attempt, outcome: Outcome, log: str) -> None:
        delivered = self.folder / f"delivered-{attempt.identity}"
        delivered.mkdir()
        (delivered / "x_2.10-3_amd64.log.xz").write_bytes(lzma.compress(log.encode()))
        (delivered / "x_2.10-3_amd64.short.log").write_text("\n".join(log.splitlines()[1:3]) + "\n")
        key = attempt.key
        result = Result(
            key.suite, key.source, attempt.version, attempt.version, key.architecture, run.name, run.stage,
            attempt.identity, attempt.token, outcome,
        )  # fmt: skip
        Results(stage_folder(self.results, run.stage)).keep(result, delivered)
        self.logs[key.source] = attempt.identity
