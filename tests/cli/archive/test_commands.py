"""image-builder archive: steering and seeing a rebuild from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rebuild_rows import ARCHITECTURE, SUITE, begin, deliver, key, start
from rebuilt import deliver as built

from image_builder.archive.database.open import open_database
from image_builder.archive.database.records import Result
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Verdict
from image_builder.archive.installability.reasons import Missing, Step, to_json
from image_builder.archive.model import Outcome
from image_builder.archive.requests import Action, Request
from image_builder.archive.results import Results
from image_builder.archive.states import State
from image_builder.archive.words import duration
from image_builder.cli import cli
from image_builder.cli.archive.table import TABLE
from image_builder.errors import ConfigError, PipelineError

Archive = Callable[..., tuple[int, str, str]]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Archive:
    """Run `image-builder archive` in a folder with a configuration: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUDO_USER", "ann")
    monkeypatch.delenv("IMAGE_BUILDER_ARCHIVE_DATABASE", raising=False)
    Path("archive.yaml").write_text("sources: [deb http://deb.debian.org/debian trixie main]\n")

    def archive(*arguments: str) -> tuple[int, str, str]:
        status = 0
        try:
            cli.main(["archive", *arguments], standalone_mode=False)
        except SystemExit as e:
            status = int(e.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return archive


@pytest.fixture
def db(tmp_path: Path) -> Database:
    """The database the configuration names."""
    return open_database(tmp_path / "archive.sqlite", durable=False)


def states(db: Database) -> dict[str, State]:
    return {p.key.source: p.state for p in db.packages(db.runs()[-1].identity)}


def test_every_command_says_what_it_is_for(archive: Archive) -> None:
    _, overview, _ = archive("--help")
    for name in TABLE:
        _, text, _ = archive(name, "--help")
        assert text.startswith("Usage: "), name
        assert f"\n  {name} " in overview


MOVES: list[tuple[list[str], State, State]] = [
    (["take"], State.NEEDS_BUILD, State.BUILDING),
    (["built"], State.BUILDING, State.BUILT),
    (["attempted"], State.BUILDING, State.BUILD_ATTEMPTED),
    (["uploaded"], State.BUILDING, State.UPLOADED),
    (["failed", "-m", "no"], State.BUILDING, State.FAILED),
    (["dep-wait", "-m", "libfoo (>= 2)"], State.BUILDING, State.DEP_WAIT),
    (["give-back"], State.BUILDING, State.BD_UNINSTALLABLE),
    (["no-build"], State.BUILDING, State.NOT_FOR_US),
    (["cancel"], State.BUILDING, State.BUILD_ATTEMPTED),
    (["build", "--override"], State.BUILDING, State.BD_UNINSTALLABLE),
    (["clean", "--override"], State.BUILDING, State.BD_UNINSTALLABLE),
    (["priority", "--to", "-5"], State.BUILDING, State.BUILDING),
    (["permanent-priority", "--to", "7"], State.BUILDING, State.BUILDING),
    (["extra-depends", "--to", "libfoo (>= 2)"], State.BUILDING, State.BUILDING),
    (["extra-conflicts", "--to", "libfoo (<< 2)"], State.BUILDING, State.BUILDING),
]


@pytest.mark.parametrize(("words", "before", "after"), MOVES, ids=[words[0] for words, _, _ in MOVES])
def test_each_move(archive: Archive, db: Database, words: list[str], before: State, after: State) -> None:
    run = begin(db)
    if before is State.BUILDING:
        db.move(run.identity, key("hello"), Request(Action.TAKE, user="ann"), 1.0)
    status, out, err = archive(*words, "hello", "--dry-run")
    assert (status, err) == (0, "")
    assert out == f"hello 1.0-1 (trixie amd64): would be {after}\n"
    assert states(db) == {"acl": State.NEEDS_BUILD, "hello": before}
    status, out, _ = archive(*words, "hello_1.0-1")
    assert (status, out) == (0, f"hello 1.0-1 (trixie amd64): is {after}\n")
    assert states(db) == {"acl": State.NEEDS_BUILD, "hello": after}
    line = db.transactions(run.identity, limit=1)[0]
    assert (line.user, line.real_user) == ("ann", "ann")


def test_binnmu(archive: Archive, db: Database) -> None:
    run = begin(db)
    deliver(db, start(db, run))
    db.move(run.identity, key("hello"), Request(Action.INSTALLED, user="repository"), 1.0)
    assert archive("binnmu", "-n", "1", "-m", "perl", "hello")[1] == (
        "hello 1.0-1+b1 (trixie amd64): is BD-Uninstallable\n"
    )
    assert archive("binnmu", "-n", "0", "hello")[1] == "hello 1.0-1 (trixie amd64): is Installed\n"


def test_clean_deletes_what_was_built_and_nothing_else(archive: Archive, db: Database) -> None:
    begin(db)
    results = Results(Path("results/stage-1").absolute())
    for source in ("acl", "hello"):
        built(results, source, ARCHITECTURE, [f"{source}_1_amd64.deb"], 1, SUITE)
    archive("clean", "hello", "--dry-run")
    assert results.sources(SUITE, ARCHITECTURE) == ["acl", "hello"]
    assert archive("clean", "hello", "nobody")[0] == 1
    assert results.sources(SUITE, ARCHITECTURE) == ["acl"]


def test_many_by_pattern_each_refused_with_its_reason(archive: Archive, db: Database) -> None:
    run = begin(db, ["acl", "attr", "hello"])
    start(db, run, "acl", worker="w1")
    status, out, err = archive("take", "a*", "helo", "x*", "hello_9")
    assert status == 1
    assert out == "attr 1.0-1 (trixie amd64): is Building\nhello 9 (trixie amd64): is Building\n"
    assert err.splitlines() == [
        "helo: not known in test stage 1",
        "  hint: did you mean 'hello'?",
        "x*: no package matches",
        "acl: already taken by w1, in version 1.0-1",
    ]


def test_only_those_in_a_state(archive: Archive, db: Database) -> None:
    run = begin(db, ["acl", "attr", "hello"])
    start(db, run, "attr")
    status, out, err = archive("no-build", "*", "--state", "Building", "-m", "enough")
    assert (status, out, err) == (0, "attr 1.0-1 (trixie amd64): is Not-For-Us\n", "")
    status, _, err = archive("no-build", "acl", "--state", "Building")
    assert (status, err) == (1, "acl: not in state Building\n")
    assert archive("no-build", "*", "--architecture", "arm64") == (1, "", "*: no package matches\n")


def test_on_behalf_of_a_builder(archive: Archive, db: Database) -> None:
    run = begin(db)
    start(db, run, worker="buildd_amd64-host1")
    status, _, err = archive("give-back", "hello")
    assert (status, err.splitlines()[0]) == (1, "hello: not taken by ann, but by buildd_amd64-host1")
    assert archive("give-back", "hello", "--user", "buildd_amd64")[0] == 0
    line = db.transactions(run.identity, limit=1)[0]
    assert (line.user, line.real_user) == ("buildd_amd64", "ann")


def test_answers_for_programs(archive: Archive, db: Database) -> None:
    begin(db)
    status, out, err = archive("take", "hello", "nobody", "--json")
    assert (status, err) == (1, "")
    taken, refused = sorted(json.loads(out), key=lambda answer: "refused" in answer)
    assert (taken["source"], taken["state"], taken["previous_state"], taken["changed"]) == (
        "hello",
        "Building",
        "Needs-Build",
        True,
    )
    assert refused == {"refused": "nobody: not known in test stage 1", "hint": ""}
    assert json.loads(archive("take", "hello", "--json")[1])[0]["changed"] is False


def broken(needs: str) -> Verdict:
    return Verdict(f"needs {needs}", to_json([Missing((Step("acl", "1.0-1", needs),))]))


class TestSeeing:
    def test_status(self, archive: Archive, db: Database) -> None:
        run = begin(db, ["a1", "b2", "c3"])
        start(db, run, "a1")
        db.move(run.identity, key("b2"), Request(Action.NO_BUILD, user="x"), 1.0)
        _, out, _ = archive("status")
        lines = [" ".join(line.split()) for line in out.splitlines()]
        assert lines[0].startswith("test stage 1 (against both archives), begun 1970-01-12")
        assert lines[1:] == [
            "trixie amd64: 3 packages",
            "Needs-Build 1",
            "Building 1",
            "Not-For-Us 1",
            "building: a1",
        ]

    def test_status_for_programs_with_rate_and_time_left(
        self, archive: Archive, db: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = begin(db, ["a1", "b2", "c3", "d4"])
        now = run.started + 1800
        for name in ("a1", "b2"):
            deliver(db, start(db, run, name, now=now - 100), now=now - 60)
        start(db, run, "c3", now=now)
        monkeypatch.setattr("image_builder.cli.archive.context.time.time", lambda: now)
        (seen,) = json.loads(archive("status", "--json")[1])
        assert (seen["builds_per_hour"], seen["open"], seen["seconds_left"]) == (4.0, 2, 1800.0)
        assert seen["packages"][0]["states"] == {"Built": 2, "Building": 1, "Needs-Build": 1}
        assert seen["building"] == [{"source": "c3", "suite": SUITE, "architecture": ARCHITECTURE}]
        assert "4.0 builds an hour, 30 min left for the 2 in the queue" in archive("status")[1]

    def test_all_runs_or_one(self, archive: Archive, db: Database) -> None:
        begin(db, stage=0)
        begin(db, ["x1"], stage=1)
        names = [run["run"] for run in json.loads(archive("status", "--all", "--json")[1])]
        assert names == ["test stage 0", "test stage 1"]
        for word in ("0", "test stage 0"):
            assert archive("status", "--run", word)[1].startswith("test stage 0")
        assert archive("show", "hello", "--run", "0")[0] == 0
        with pytest.raises(PipelineError, match="no run of stage 7 was begun"):
            archive("status", "--run", "7")

    def test_show(self, archive: Archive, db: Database) -> None:
        run = begin(db)
        attempt = start(db, run)
        failed = Result(Outcome.ATTEMPTED, "1.0-1", 75.0, 3 << 30, 1, "logs/hello.zst", "exit 2", "host7")
        db.finish(attempt.identity, attempt.token, failed, Request(Action.ATTEMPTED, user="w1"), 1e6 + 80)
        _, out, _ = archive("show", "hello")
        assert "hello 1.0-1 (trixie amd64)\n  Build-Attempted since 1970-01-12 13:48:00\n" in out
        assert "attempted after 1 min 15 s, 3.0 GiB of memory, exit 2, log: logs/hello.zst" in out
        assert "host7" in out
        assert "take: Needs-Build → Building, by w1" in out
        plain = archive("show", "hello", "--json")[1]
        (row,) = json.loads(plain)
        assert (row["source"], row["state"], row["attempts"][0]["outcome"]) == ("hello", "Build-Attempted", "attempted")
        assert attempt.token not in plain + out

    def test_why_both_ways(self, archive: Archive, db: Database) -> None:
        run = begin(db, ["acl", "hello", "zlib"])
        db.judge(run.identity, SUITE, ARCHITECTURE, {"acl": broken("libhello (>= 2) | libnone")}, {}, 1e6)
        db.move(run.identity, key("zlib"), Request(Action.DEP_WAIT, user="x", message="libhello:any (>= 3)"), 1e6)
        _, out, _ = archive("why", "acl")
        assert out.splitlines() == [
            "acl 1.0-1 (trixie amd64) is BD-Uninstallable",
            "  needs libhello (>= 2) | libnone",
            "  libhello: made by hello 1.0-1, which is Needs-Build",
            "  libnone: no source of this run makes it",
            "  nothing waits for it",
        ]
        _, out, _ = archive("why", "hello")
        assert out.splitlines()[1:] == ["  it is number 1 in the queue", "  2 wait for it:", "    acl", "    zlib"]
        (row,) = json.loads(archive("why", "zlib", "--json")[1])
        assert (row["needs"], row["needed_by"], row["place"]) == (
            [{"package": "libhello", "made_by": "hello", "state": "Needs-Build"}],
            [],
            None,
        )

    def test_history_of_moves_and_builds(self, archive: Archive, db: Database) -> None:
        run = begin(db)
        deliver(db, start(db, run))
        lines = archive("history", "hello", "--limit", "2")[1].splitlines()
        assert lines == [
            "1970-01-12 13:47:40  hello 1.0-1 (trixie amd64) built: Building → Built, by w1",
            "1970-01-12 13:46:40  hello 1.0-1 (trixie amd64) take: Needs-Build → Building, by w1",
        ]
        assert archive("history", "--builds")[1] == (
            "1970-01-12 13:47:40  hello 1.0-1 (trixie amd64) succeeded: 42 s, w1, test stage 1\n"
        )
        assert len(json.loads(archive("history", "--json")[1])) == 6

    def test_a_package_nobody_knows(self, archive: Archive, db: Database) -> None:
        begin(db)
        with pytest.raises(PipelineError, match="did you mean 'hello'"):
            archive("show", "helo")
        with pytest.raises(PipelineError, match="is not known"):
            archive("why", "h*")


def test_export_and_import(archive: Archive, db: Database, tmp_path: Path) -> None:
    run = begin(db)
    start(db, run)
    assert archive("export", "all.jsonl") == (0, "", "9 rows\n")
    assert archive("export")[1] == Path("all.jsonl").read_text()
    status, out, _ = archive("import-state", "all.jsonl", "--database", "other.sqlite", "--json")
    assert (status, json.loads(out)) == (0, {"rows": 9})
    assert archive("export", "--database", "other.sqlite")[1] == Path("all.jsonl").read_text()
    assert sorted(path.name for path in tmp_path.iterdir() if ".part" in path.name) == []
    with pytest.raises(PipelineError, match="is not empty"):
        archive("import-state", "all.jsonl")


@pytest.mark.parametrize("words", [["status"], ["show", "x"], ["take", "x"], ["serve"], ["export"]], ids=" ".join)
def test_nothing_begun(words: list[str], archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="is not there"):
        archive(*words)
    assert [path.name for path in tmp_path.iterdir()] == ["archive.yaml"], "who asks makes no database"


def test_no_run_begun(archive: Archive, db: Database) -> None:
    assert db.runs() == []
    with pytest.raises(PipelineError, match="no run was begun"):
        archive("status")


def test_a_wrong_configuration_is_not_needed_for_a_database_that_is_named(archive: Archive, db: Database) -> None:
    begin(db)
    Path("archive.yaml").unlink()
    with pytest.raises(ConfigError, match="--config names another file"):
        archive("status")
    assert archive("status", "--database", "archive.sqlite")[0] == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (93600, "1 d 2 h"),
        (90000.0, "1 d 1 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
