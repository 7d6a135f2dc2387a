"""image-builder archive diff, on a real database."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rebuild_rows import ARCHITECTURE, NOW, SUITE, begin, queue, start

from image_builder.archive.database.open import open_database
from image_builder.archive.database.records import Result, Run
from image_builder.archive.database.store import Database
from image_builder.archive.model import Base, Outcome
from image_builder.archive.requests import Action, Request
from image_builder.cli import cli
from image_builder.errors import PipelineError


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Two runs: in the second b fails, c is mended, a takes longer, d is not done."""
    monkeypatch.chdir(tmp_path)
    db = open_database(tmp_path / "archive.sqlite", durable=False)
    first = begin(db, ["a", "b", "c", "d"], stage=0)
    second = begin(db, ["a", "b", "c", "d"], stage=1)
    for run, source, outcome, seconds in (
        (first, "a", Outcome.SUCCEEDED, 60.0), (first, "b", Outcome.SUCCEEDED, 60.0),
        (first, "c", Outcome.ATTEMPTED, 5.0), (first, "d", Outcome.SUCCEEDED, 60.0),
        (second, "a", Outcome.SUCCEEDED, 7260.0), (second, "b", Outcome.ATTEMPTED, 5.0),
        (second, "c", Outcome.SUCCEEDED, 60.0),
    ):  # fmt: skip
        end(db, run, source, outcome, seconds)
    return db


def end(db: Database, run: Run, source: str, outcome: Outcome, seconds: float) -> None:
    attempt = start(db, run, source)
    action = Action.BUILT if outcome is Outcome.SUCCEEDED else Action.ATTEMPTED
    result = Result(outcome, attempt.version, seconds, reason="its tests failed")
    db.finish(attempt.identity, attempt.token, result, Request(action, user="w1"), NOW + 50)


def diff(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    cli.main(["archive", "diff", "--database", "archive.sqlite", *words], standalone_mode=False)
    return capsys.readouterr().out


@pytest.mark.usefixtures("db")
def test_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(capsys, "0", "1").splitlines() == [
        "test stage 1, against test stage 0",
        "  1 newly failing, 1 fixed, 0 failing before, too, 1 built in both, 1 not done yet",
        "  sizes and dependencies of 1 are not known: their results are gone, or another run's",
        "newly failing, by likely cause:",
        "  its tests failed (1)",
        "    b 1.0-1 (trixie amd64): its tests failed",
        "fixed:",
        "  c (trixie amd64)",
        "slower:",
        "  a (trixie amd64): 2 h 1 min, was 1 min (+12000 %)",
    ]


@pytest.mark.usefixtures("db")
def test_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(diff(capsys, "test stage 0", "test stage 1", "--json"))
    place = {"suite": SUITE, "architecture": ARCHITECTURE}
    assert (found["first"], found["second"]) == ("test stage 0", "test stage 1")
    assert found["failures"] == [
        {**place, "source": "b", "version": "1.0-1", "new": True, "cause": "tests", "what": "",
         "words": "its tests failed", "line": "its tests failed"},
    ]  # fmt: skip
    assert found["fixed"] == [{**place, "source": "c"}]
    assert found["slower"] == [{**place, "source": "a", "before": 60.0, "after": 7260.0}]
    assert found["open"] == [{**place, "source": "d"}]
    assert found["only_first"] == found["only_second"] == found["larger"] == found["dependencies"] == []
    back = json.loads(diff(capsys, "1", "0", "--json"))
    assert [(one["source"], one["new"]) for one in back["failures"]] == [("c", True)]
    assert back["slower"] == []


def test_bounds_and_how_much_is_shown(capsys: pytest.CaptureFixture[str], db: Database) -> None:
    queue(db, db.add_run("more", 7, Base.BOTH, NOW), [f"p{number:03}" for number in range(25)])
    text = diff(capsys, "0", "7")
    assert "only in more stage 7:" in text
    assert "  p019 (trixie amd64)\n  and 5 more: --all shows them\n" in text
    assert "  p024 (trixie amd64)\n" in diff(capsys, "0", "7", "--all")
    assert "slower:" in diff(capsys, "0", "1", "--slower", "1000")
    end(db, db.run("test stage 1"), "d", Outcome.SUCCEEDED, 95.0)
    assert "  d (trixie amd64): 1 min 35 s, was 1 min" in diff(capsys, "0", "1")
    assert "  d (trixie amd64): 1 min 35 s, was 1 min" not in diff(capsys, "0", "1", "--slower", "60")


@pytest.mark.usefixtures("db")
def test_a_run_that_was_never_begun(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PipelineError, match="no run of stage 9 was begun"):
        diff(capsys, "0", "9")
    with pytest.raises(PipelineError, match=r"no run 'test stage 2'; there are: test stage 0, test stage 1"):
        diff(capsys, "test stage 2", "1")
