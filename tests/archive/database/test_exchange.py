"""The whole database as JSON lines, and back, into either database."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rebuild_rows import ARCHITECTURE, NOW, SUITE, begin, deliver, key, start

from image_builder.archive.database.exchange import export, import_state
from image_builder.archive.database.migrations import MIGRATIONS
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Verdict
from image_builder.archive.model import Base
from image_builder.archive.priority import Weights
from image_builder.archive.requests import Action, Moved, Request
from image_builder.errors import PipelineError


def filled(db: Database) -> Database:
    """A database with something in every table."""
    first = begin(db, ["acl", "hello", "ünder"])
    second = db.add_run("test", 2, Base.BUILT, NOW, follows=first.identity)
    db.finish_run(first.identity, NOW + 3)
    deliver(db, start(db, first))
    start(db, first, "acl")
    db.judge(first.identity, SUITE, ARCHITECTURE, {"ünder": Verdict("needs\nmuch", "[]")}, {}, NOW)
    db.move(first.identity, key("ünder"), Request(Action.PRIORITY, user="me", number=5), NOW)
    assert second.follows == first.identity
    return db


def text_of(db: Database) -> str:
    out = io.StringIO()
    export(db, out)
    return out.getvalue()


def test_comes_back_equal_in_the_other_database(
    db: Database, opened: Callable[..., Database], other_address: str
) -> None:
    text = text_of(filled(db))
    other = opened(other_address)
    assert import_state(other, io.StringIO(text)) == text.count("\n") - 1
    assert text_of(other) == text
    tables = {json.loads(line)["table"] for line in text.splitlines()[1:]}
    assert tables == {"runs", "packages", "bd_problems", "attempts", "transactions", "history"}


def test_work_goes_on_where_it_was(db: Database, opened: Callable[..., Database], other_address: str) -> None:
    filled(db)
    (live,) = db.live_attempts()
    other = opened(other_address)
    import_state(other, io.StringIO(text_of(db)))
    assert isinstance(deliver(other, live.attempt), Moved)
    run = other.run("test stage 1")
    other.judge(run.identity, SUITE, ARCHITECTURE, {"ünder": Verdict()}, {}, NOW)
    assert start(other, run, "ünder").identity > live.attempt.identity
    assert other.add_run("test", 3, Base.BUILT, NOW).identity > run.identity


def test_priorities_are_reckoned_by_the_weights_here(
    db: Database, opened: Callable[..., Database], other_address: str
) -> None:
    begin(db)
    heavy = opened(other_address, weights=Weights(notes={"uncompiled": 1000}))
    import_state(heavy, io.StringIO(text_of(db)))
    with heavy.reading() as connection:
        assert connection.exec_driver_sql("SELECT max(static_priority) FROM packages").scalar() == 998


def test_an_export_of_an_older_schema_grows_up(db: Database) -> None:
    run = {
        "id": 7,
        "name": "old stage 0",
        "rebuild": "old",
        "stage": 0,
        "base": "old",
        "started": 1.0,
        "finished": None,
        "toolchain": "",
        "follows": None,
        "auto_dep_wait": True,
        "configuration": "{}",
    }
    lines = [{"format": "image-builder archive", "schema": 1}, {"table": "runs", "row": run}]
    assert import_state(db, io.StringIO("\n".join(map(json.dumps, lines)))) == 1
    assert db.run("old stage 0").identity == 7
    assert db.history() == []
    deliver(db, start(db, begin(db)))
    assert len(db.history()) == 1


def test_only_into_an_empty_database(db: Database) -> None:
    text = text_of(filled(db))
    with pytest.raises(PipelineError, match="is not empty"):
        import_state(db, io.StringIO(text))
    assert text_of(db) == text


def header(**changes: Any) -> str:
    return json.dumps({"format": "image-builder archive", "schema": len(MIGRATIONS), **changes})


HISTORY = {
    "id": 1,
    "source": "hello",
    "suite": "trixie",
    "architecture": "amd64",
    "version": "1",
    "run": "x",
    "outcome": "succeeded",
    "seconds": 1.5,
    "memory_bytes": 1,
    "disk_bytes": 1,
    "worker": "w",
    "time": 1.0,
}


def line(**changes: Any) -> str:
    return json.dumps({"table": "history", "row": {**HISTORY, **changes}})


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "file:1: is no export"),
        (["[1]"], "file:1: is no JSON object"),
        (["{"], "file:1: is no JSON"),
        ([header(format="else")], "file:1: is no export"),
        ([header(schema=99)], "file:1: was written by a newer version"),
        ([header(schema="x")], "file:1: is no export"),
        ([header(), line(), json.dumps({"table": "passwords", "row": {}})], "file:3: names the table 'passwords'"),
        ([header(), json.dumps({"table": "history", "row": [1]})], "file:2: names the table"),
        ([header(), line(extra=1)], "file:2: has not the columns of history: extra"),
        ([header(), line(seconds="long")], "file:2: history.seconds cannot be 'long'"),
        ([header(), line(memory_bytes=1.5)], "file:2: history.memory_bytes cannot be 1.5"),
        ([header(), line(memory_bytes=True)], "file:2: history.memory_bytes cannot be True"),
        ([header(), line(source=None)], "file:2: history.source cannot be None"),
        ([header(), line(outcome="splendid")], "file:2: history.outcome cannot be 'splendid'"),
        ([header(), line(), line()], "database"),
    ],
)
def test_what_is_no_export_is_refused_and_nothing_of_it_taken(db: Database, lines: list[str], said: str) -> None:
    with pytest.raises(PipelineError) as caught:
        import_state(db, io.StringIO("\n".join(lines)), "file")
    assert str(caught.value).startswith(said)
    assert db.history() == []
    assert import_state(db, io.StringIO(header() + "\n" + line())) == 1
    assert len(db.history()) == 1
