"""A small rebuild in a database, for tests."""

from __future__ import annotations

from collections.abc import Iterable

from image_builder.archive.database.records import Result, Run
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Found, Status, Verdict
from image_builder.archive.model import Attempt, Base, Key, Outcome
from image_builder.archive.requests import Action, Answer, Request

SUITE, ARCHITECTURE = "trixie", "amd64"
NOW = 1_000_000.0
LEASE = 600.0


def key(source: str) -> Key:
    return Key(SUITE, ARCHITECTURE, source)


def begin(db: Database, sources: Iterable[str] = ("acl", "hello"), *, stage: int = 1) -> Run:
    """A run with these sources in the queue."""
    run = db.add_run("test", stage, Base.BOTH, NOW)
    queue(db, run, sources)
    return run


def queue(db: Database, run: Run, sources: Iterable[str], version: str = "1.0-1") -> None:
    """Let the importer see these sources, all of which can be built."""
    found = [Found(source, version, Status.UNCOMPILED, binaries=(f"lib{source}",)) for source in sources]
    db.merge(run.identity, SUITE, ARCHITECTURE, found, NOW)
    db.judge(run.identity, SUITE, ARCHITECTURE, {one.source: Verdict() for one in found}, {}, NOW)


def start(db: Database, run: Run, source: str = "hello", worker: str = "w1", now: float = NOW) -> Attempt:
    """Let a worker take a package."""
    attempt = db.start(run.identity, key(source), worker, now, lease_seconds=LEASE, time_limit_seconds=3600)
    assert isinstance(attempt, Attempt), attempt
    return attempt


def deliver(db: Database, attempt: Attempt, worker: str = "w1", now: float = NOW + 60, **words: str) -> Answer:
    """Deliver a build that succeeded. words: token, version; else the attempt's own."""
    result = Result(Outcome.SUCCEEDED, words.get("version", attempt.version), 42.0, 1 << 20, 1 << 21, "log.zst")
    return db.finish(
        attempt.identity, words.get("token", attempt.token), result, Request(Action.BUILT, user=worker), now
    )
