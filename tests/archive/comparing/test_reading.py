"""What a comparison reads of real databases and results."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from rebuild_rows import ARCHITECTURE, LEASE, NOW, SUITE, key, queue, start
from rebuilt import changes, deb

from image_builder.archive.comparing.facts import Binary, End, Ended
from image_builder.archive.comparing.reading import OWN, ended
from image_builder.archive.database import records
from image_builder.archive.database.open import open_database
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Verdict
from image_builder.archive.model import Attempt, Base, Outcome
from image_builder.archive.requests import Action, Request
from image_builder.archive.results import Result, Results
from image_builder.archive.stages import stage_folder
from image_builder.archive.states import State

LOG = "cc -c x.c\nx.c:1:10: fatal error: zlib.h: No such file or directory\n"


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return open_database(tmp_path / "archive.sqlite", durable=False)


def begun(db: Database, folder: Path, stage: int, *sources: str) -> records.Run:
    configuration = json.dumps({"results": str(folder / "results")})
    run = db.add_run("test", stage, Base.BOTH, NOW, configuration=configuration)
    queue(db, run, sources)
    return run


def record(run: records.Run, attempt: Attempt, outcome: Outcome) -> Result:
    return Result(SUITE, attempt.key.source, attempt.version, attempt.version, ARCHITECTURE, run=run.name,
                  stage=run.stage, attempt=attempt.identity, token=attempt.token, outcome=outcome)  # fmt: skip


def succeed(db: Database, folder: Path, run: records.Run, source: str, **fields: str) -> None:
    attempt = start(db, run, source)
    with tempfile.TemporaryDirectory() as temporary:
        delivered = Path(temporary)
        deb(delivered, source, attempt.version, ARCHITECTURE, Installed_Size="7", **fields)
        changes(delivered, source, attempt.version, ARCHITECTURE)
        Results(stage_folder(folder / "results", run.stage)).accept(record(run, attempt, Outcome.SUCCEEDED), delivered)
    result = records.Result(Outcome.SUCCEEDED, attempt.version, 42.0)
    requests = (Request(Action.BUILT, "w1"), Request(Action.UPLOADED, "w1", version=attempt.version))
    db.finish(attempt.identity, attempt.token, result, requests, NOW + 50)


def fail(db: Database, folder: Path, run: records.Run, source: str) -> None:
    attempt = start(db, run, source)
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / f"{source}_1.0-1_amd64.short.log").write_text(LOG)
        results = Results(stage_folder(folder / "results", run.stage))
        kept = results.keep(record(run, attempt, Outcome.ATTEMPTED), Path(temporary))
    result = records.Result(Outcome.ATTEMPTED, attempt.version, 9.0, log=str(kept), reason="a header is missing")
    db.finish(attempt.identity, attempt.token, result, Request(Action.ATTEMPTED, "w1"), NOW + 50)


def test_how_each_package_ended(db: Database, tmp_path: Path) -> None:
    run = begun(db, tmp_path, 1, "good", "bad", "waits", "lacks")
    succeed(db, tmp_path, run, "good", Depends="libc6 (>= 2.36),  good-data (= 1.0-1)", Suggests="doc")
    fail(db, tmp_path, run, "bad")
    db.judge(run.identity, SUITE, ARCHITECTURE, {"lacks": Verdict("needs libfoo")}, {}, NOW)
    found = ended(db, run)
    assert found.keys() == {key("good"), key("bad"), key("waits"), key("lacks")}
    good = found[key("good")]
    assert (good.end, good.seconds, good.log, good.outcome) == (End.GOOD, 42.0, "", Outcome.SUCCEEDED)
    assert good.binaries is not None
    ((name, made),) = good.binaries.items()
    relations = {"Depends": frozenset({"libc6 (>= 2.36)", f"good-data {OWN}"}), "Suggests": frozenset({"doc"})}
    assert (name, made) == ("good", Binary(made.size_bytes, 7 << 10, relations))
    assert made.size_bytes > 500
    bad = found[key("bad")]
    assert (bad.end, bad.seconds, bad.log, bad.binaries) == (End.BAD, None, LOG, None)
    assert bad.reason == "a header is missing"
    assert found[key("waits")] == Ended("1.0-1", State.NEEDS_BUILD)
    assert found[key("lacks")] == Ended("1.0-1", State.BD_UNINSTALLABLE, problem="needs libfoo")


def test_the_last_attempt_counts(db: Database, tmp_path: Path) -> None:
    run = begun(db, tmp_path, 1, "acl")
    fail(db, tmp_path, run, "acl")
    db.move(run.identity, key("acl"), Request(Action.GIVE_BACK, "w1"), NOW)
    db.judge(run.identity, SUITE, ARCHITECTURE, {"acl": Verdict()}, {}, NOW)
    succeed(db, tmp_path, run, "acl")
    assert ended(db, run)[key("acl")].outcome is Outcome.SUCCEEDED
    # One that is under way says nothing yet.
    db.move(run.identity, key("acl"), Request(Action.WANT, "me"), NOW)
    db.judge(run.identity, SUITE, ARCHITECTURE, {"acl": Verdict()}, {}, NOW)
    db.start(run.identity, key("acl"), "w", NOW, lease_seconds=LEASE, time_limit_seconds=9)
    building = ended(db, run)[key("acl")]
    assert (building.end, building.outcome, building.seconds) == (End.OPEN, Outcome.SUCCEEDED, None)


def test_runs_of_one_rebuild_have_results_of_their_own(db: Database, tmp_path: Path) -> None:
    one, two = begun(db, tmp_path, 0, "acl"), begun(db, tmp_path, 1, "acl")
    succeed(db, tmp_path, one, "acl", Depends="x")
    succeed(db, tmp_path, two, "acl", Depends="y")
    asks = []
    for run in (one, two):
        binaries = ended(db, run)[key("acl")].binaries
        assert binaries is not None
        asks.append(binaries["acl"].relations["Depends"])
    assert asks == [{"x"}, {"y"}]


def test_results_that_are_gone_or_anothers_are_not_known(db: Database, tmp_path: Path) -> None:
    run = begun(db, tmp_path, 1, "acl")
    succeed(db, tmp_path, run, "acl")
    results = Results(stage_folder(tmp_path / "results", 1))
    there = results.read(SUITE, ARCHITECTURE, "acl")
    assert there is not None
    results.put(replace(there, run="another stage 1"), results.place(SUITE, ARCHITECTURE, "acl"), "")
    assert ended(db, run)[key("acl")].binaries is None
    results.remove(SUITE, ARCHITECTURE, "acl")
    assert ended(db, run)[key("acl")].binaries is None


def test_a_run_that_does_not_say_where_its_results_are(db: Database) -> None:
    run = db.add_run("test", 1, Base.BOTH, NOW)
    queue(db, run, ["acl"])
    assert ended(db, run)[key("acl")] == Ended("1.0-1", State.NEEDS_BUILD)
