"""Which InRelease an instant is given, by an archive that changes over time and a snapshot service that remembers."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import local_archive
import pytest
import snapshot_service

from image_builder.errors import PipelineError, SurroundingsError
from proxy.archive import services
from proxy.archive.freeze import blobs, freeze
from proxy.archive.history import History
from proxy.archive.resolve import Resolved, resolve
from proxy.archive.sources import Source
from proxy.archive.stamp import Stamp

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@dataclass
class World:
    """An archive at a time, and somebody who asks."""

    archive: local_archive.LocalArchive
    uri: str
    key: local_archive.Key
    cache: Path
    start: datetime
    configured: tuple[services.Service, ...] = ()

    def publish(self, hours: float, **options: Any) -> str:
        """A new state, signed so many hours after the start; returns the InRelease's hash."""
        name = f"news{hours}"
        self.archive.add(name)
        path = self.archive.publish(date=self.start + hours * HOUR, **options)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def ask(self, hours: float | None, *, clock: float, suite: str = "stable", **options: Any) -> Resolved:
        """hours after the start; None: now. clock: what time it is."""
        now = self.start + clock * HOUR
        stamp = Stamp(now, is_now=True) if hours is None else Stamp(self.start + hours * HOUR)
        source = options.pop("source", Source(self.uri, suite, ("main",), ("amd64",)))
        options = {"configured": self.configured, **options}
        (found,) = resolve([source], stamp, keyring=self.key.keyring, cache=self.cache, now=now, **options)
        return found

    def forget(self) -> None:
        """Another machine."""
        shutil.rmtree(self.cache)


@pytest.fixture
def world(served: str, archive: Any, key: Any, now: datetime, tmp_path: Path) -> World:
    return World(archive, served, key, tmp_path / "cache", now)


@pytest.fixture
def service(world: World, tmp_path: Path) -> Iterator[snapshot_service.SnapshotService]:
    with snapshot_service.running(tmp_path / "states") as running:
        world.configured = (services.parse(running.pattern),)
        yield running


def said(found: Resolved) -> dict[str, str]:
    return {step.provider: step.said for step in found.steps if not step.ok}


def test_now_is_what_the_mirror_has(world: World) -> None:
    sha256 = world.publish(1)
    found = world.ask(None, clock=2)
    assert found.pin is not None
    assert (found.provider, found.pin.inrelease_sha256) == ("mirror", sha256)
    assert (found.pin.date, found.pin.stamp) == (world.start + HOUR, world.start + 2 * HOUR)
    assert found.pin.signer == world.key.fingerprint


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        pytest.param(3, True, id="after it was signed"),
        pytest.param(1, True, id="the second it was signed"),
        pytest.param(1 - 1 / 3600, False, id="a second before"),
    ],
)
def test_the_mirrors_own_is_right_unless_it_is_of_later(hours: float, expected: bool, world: World) -> None:
    world.publish(1)
    found = world.ask(hours, clock=4)
    assert (found.pin is not None) is expected
    if not expected:
        assert "has the one of 2026-03-01 13:00:00 UTC by now" in said(found)["mirror"]


def test_what_was_seen_is_known_without_asking(world: World) -> None:
    before = world.publish(1)
    world.ask(None, clock=5)
    shutil.rmtree(world.archive.folder)
    for hours in (1, 3, 5):
        found = world.ask(hours, clock=9)
        assert found.pin is not None
        assert (found.provider, found.pin.inrelease_sha256) == ("store", before)
        assert len(found.steps) == 1


def test_what_was_kept_is_not_right_for_later(world: World) -> None:
    """Monday's InRelease is here, Tuesday's is nowhere, Wednesday is asked for."""
    world.publish(0)
    world.ask(None, clock=1)
    world.publish(24)
    world.publish(72)
    found = world.ask(48, clock=73)
    assert found.pin is None
    assert "nobody saw whether it was still the newest after 2026-03-01 13:00:00 UTC" in said(found)["store"]
    assert list(said(found)) == ["store", "mirror", "by-hash", "snapshot service"]


def test_what_was_kept_is_right_when_the_mirror_still_has_it(world: World) -> None:
    monday = world.publish(0)
    world.ask(None, clock=1)
    found = world.ask(48, clock=73)
    assert found.pin is not None
    assert (found.provider, found.pin.inrelease_sha256) == ("mirror", monday)


def test_by_hash_is_the_mirrors_recent_history(world: World) -> None:
    hashes = [world.publish(hours, history=True) for hours in range(5)]
    for hours, expected in [(0, 0), (2, 2), (2.5, 2), (3.99, 3)]:
        world.forget() if world.cache.exists() else None
        found = world.ask(hours, clock=6)
        assert found.pin is not None, found.refusal()
        assert (found.provider, found.pin.inrelease_sha256) == ("by-hash", hashes[expected])
        assert "/by-hash/SHA256/" in found.pin.from_
        assert world.ask(hours, clock=7).provider == "store"


def test_by_hash_knows_nothing_before_its_oldest(world: World) -> None:
    world.publish(0, history=True)
    kept = world.publish(1, history=True)
    world.publish(2, history=True)
    world.archive.prune(keep=[kept])
    assert world.ask(1.5, clock=3).provider == "by-hash"
    found = world.ask(0.5, clock=3)
    assert found.pin is None
    assert said(found)["by-hash"] == "no InRelease so old is there any more"


def test_by_hash_files_of_strangers_are_not_taken(world: World, stranger: Any) -> None:
    right = world.publish(1, history=True)
    forger = local_archive.LocalArchive(world.archive.folder, stranger)
    forger.publish(date=world.start + 2 * HOUR, history=True)
    world.publish(3, history=True)
    found = world.ask(2.5, clock=4)
    assert found.pin is not None
    assert found.pin.inrelease_sha256 == right
    assert "no good signature" in said(found)["by-hash"]


def test_a_service_has_what_the_mirror_has_no_more(world: World, service: Any) -> None:
    old = world.publish(1)
    service.take(world.archive.folder, world.start + 1.2 * HOUR)
    world.publish(20)
    service.take(world.archive.folder, world.start + 20.2 * HOUR)
    found = world.ask(10, clock=21)
    assert found.pin is not None, found.refusal()
    assert found.pin.inrelease_sha256 == old
    assert found.provider == found.pin.service == service.pattern.format(stamp="20260301T220000Z")
    assert service.asked[0] == "/archive/20260301T220000Z/dists/stable/InRelease"
    asked = len(service.asked)
    assert world.ask(10, clock=22).provider == "store"
    assert len(service.asked) == asked


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        pytest.param(lambda path: path.unlink(), "no such file", id="has not this suite"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-50]), "no good signature", id="cut off"),
        pytest.param(
            lambda path: path.write_bytes(path.read_bytes().replace(b"Suite: stable", b"Suite: stabel")),
            "no good signature",
            id="changed",
        ),
    ],
)
def test_a_service_is_not_believed(break_it: Any, reason: str, world: World, service: Any, tmp_path: Path) -> None:
    world.publish(1)
    service.take(world.archive.folder, world.start + HOUR)
    break_it(next((tmp_path / "states").glob("*/dists/stable/InRelease")))
    world.publish(20)
    found = world.ask(10, clock=21)
    assert found.pin is None
    assert reason in list(said(found).values())[-1]


def test_a_service_that_gives_a_later_state_is_refused(world: World, service: Any) -> None:
    world.publish(20)
    service.take(world.archive.folder, world.start)
    found = world.ask(10, clock=21)
    assert found.pin is None
    assert "signed at 2026-03-02 08:00:00 UTC, after 2026-03-01 22:00:00 UTC" in list(said(found).values())[-1]


def test_without_the_mirror_a_service_is_asked(world: World, service: Any) -> None:
    world.publish(1)
    service.take(world.archive.folder, world.start + HOUR)
    gone = Source("http://127.0.0.1:1/x", "stable", ("main",), ("amd64",))
    found = world.ask(2, clock=3, source=gone)
    assert found.pin is not None
    assert found.pin.from_.startswith("http://127.0.0.1:")
    assert "refused" in said(found)["mirror"]


def test_now_is_no_question_for_a_service(world: World, service: Any) -> None:
    service.take(world.archive.folder, world.start)
    gone = Source("http://127.0.0.1:1/x", "stable", ("main",), ("amd64",))
    found = world.ask(None, clock=3, source=gone)
    assert found.pin is None
    assert [step.provider for step in found.steps] == ["mirror"]
    assert isinstance(found.refusal(), SurroundingsError)
    assert service.asked == []


def test_nobody_asked_is_not_no(world: World) -> None:
    world.configured = (services.parse("http://127.0.0.1:1/{stamp}"),)
    world.publish(20)
    assert isinstance(world.ask(10, clock=21).refusal(), SurroundingsError)
    world.configured = ()
    refusal = world.ask(10, clock=21).refusal()
    assert not isinstance(refusal, SurroundingsError)
    assert "snapshot-proxy record" in str(refusal)


def test_the_lock_is_asked_first(world: World) -> None:
    old = world.publish(1)
    (pin,) = freeze(
        [Source(world.uri, "stable", ("main",), ("amd64",))],
        keyring=world.key.keyring, cache=world.cache, now=world.start + 5 * HOUR,
    )  # fmt: skip
    History(world.cache, world.uri, "stable").path.unlink()
    world.publish(6)
    found = world.ask(3, clock=7, pins=[pin])
    assert found.pin is not None
    assert (found.provider, found.pin.inrelease_sha256) == ("lock", old)
    assert found.pin.stamp == world.start + 3 * HOUR
    later = world.ask(6.5, clock=7, pins=[pin])
    assert later.provider == "mirror"
    assert "another instant" in said(later)["lock"]


@pytest.mark.parametrize(
    ("hours", "clock", "good"),
    [
        pytest.param(10, 1000, True, id="judged at the instant, not by the clock"),
        pytest.param(168 - 1 / 3600, 1000, True, id="its last second"),
        pytest.param(168, 1000, False, id="the second it ends"),
        pytest.param(200, 1000, False, id="too late"),
        pytest.param(None, 167, True, id="now, in time"),
        pytest.param(None, 169, False, id="now, too late"),
    ],
)
def test_valid_until_at_the_instant(hours: float | None, clock: float, good: bool, world: World) -> None:
    world.publish(0, valid_for=timedelta(days=7))
    found = world.ask(hours, clock=clock)
    assert (found.pin is not None) is good
    if not good:
        assert "not valid since 2026-03-08 12:00:00 UTC" in said(found)["mirror"]
        assert world.ask(hours, clock=clock, allow_expired=True).pin is not None


def test_another_suite_under_the_name_is_refused_everywhere(world: World, service: Any) -> None:
    """Mix and match: good signature, right date, wrong suite."""
    world.publish(1)
    (world.archive.folder / "dists/testing").symlink_to("stable")
    service.take(world.archive.folder, world.start + HOUR)
    found = world.ask(2, clock=3, suite="testing")
    assert found.pin is None
    assert [reason for reason in said(found).values() if "this is stable, not testing" in reason] == [
        said(found)["mirror"],
        list(said(found).values())[-1],
    ]


def test_a_suite_may_be_asked_by_codename_or_suite(world: World) -> None:
    world.archive.publish("trixie", date=world.start, codename="trixie", extra="")
    path = world.archive.folder / "dists/trixie/InRelease"
    assert b"Suite: trixie" in path.read_bytes()
    assert world.ask(1, clock=2, suite="trixie").pin is not None


def test_a_mirror_that_goes_back_does_not_take_us_along(world: World) -> None:
    world.publish(1)
    older = (world.archive.folder / "dists/stable/InRelease").read_bytes()
    newer = world.publish(2)
    world.ask(None, clock=3)
    (world.archive.folder / "dists/stable/InRelease").write_bytes(older)
    found = world.ask(None, clock=4)
    assert found.pin is not None
    assert (found.provider, found.pin.inrelease_sha256) == ("store", newer)
    assert "went back to the InRelease of 2026-03-01 13:00:00 UTC" in found.warnings[0]
    # It may not vouch for the time since, either: nobody has seen the newer one still there.
    assert world.ask(3.5, clock=5).provider == "store"
    assert "still the newest after 2026-03-01 15:00:00" in said(world.ask(3.5, clock=5))["store"]
    # For an instant before the newer one was signed, the older one is right.
    assert world.ask(1.5, clock=5).pin is not None


def test_clocks(world: World) -> None:
    world.publish(1)
    assert world.ask(None, clock=1 - 0.15).pin is not None, "nine minutes behind"
    found = world.ask(None, clock=0.5)
    assert "set this machine's clock" in str(found.refusal())


def test_removed_files_are_not_there(world: World) -> None:
    world.publish(1)
    found = world.ask(None, clock=2)
    assert found.pin is not None
    blobs(world.cache).path(found.pin.inrelease_sha256).unlink()
    world.publish(3)
    again = world.ask(1.5, clock=4)
    assert again.pin is None
    assert "was removed from it" in said(again)["store"]


def test_suites_of_one_archive_are_of_one_state(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mirror is updated after the first suite was read: both are asked again."""
    world.archive.publish("updates", date=world.start)
    world.publish(0)
    pages = world.archive.folder / "dists"
    first = {name: (pages / name / "InRelease").read_bytes() for name in ("stable", "updates")}
    later = {name: world.archive.publish(name, date=world.start + HOUR).read_bytes() for name in first}
    for name, data in first.items():
        (pages / name / "InRelease").write_bytes(data)
    asked: list[str] = []
    real = snapshot_service.http.server.SimpleHTTPRequestHandler.do_GET

    def get(handler: Any) -> None:
        if handler.path.endswith("InRelease"):
            asked.append(handler.path)
            real(handler)
            if len(asked) == 1:
                for name, data in later.items():
                    (pages / name / "InRelease").write_bytes(data)
            return
        real(handler)

    monkeypatch.setattr(local_archive._Quiet, "do_GET", get)
    monkeypatch.setattr("proxy.archive.resolve.JOBS", 1)
    sources = [Source(world.uri, name, ("main",), ("amd64",)) for name in first]
    now = world.start + 2 * HOUR
    found = resolve(sources, Stamp(now, is_now=True), keyring=world.key.keyring, cache=world.cache, now=now)
    assert [one.pin and one.pin.inrelease_sha256 for one in found] == [
        hashlib.sha256(later[name]).hexdigest() for name in first
    ]
    assert asked.count("/dists/stable/InRelease") > 1


def test_a_mirror_that_stands_still_is_said(world: World) -> None:
    world.publish(0, valid_for=timedelta(days=7))
    assert world.ask(24, clock=25).warnings == ()
    (warning,) = world.ask(100, clock=101).warnings
    assert "4 days old at that instant, more than half of the time it is valid" in warning


def test_freezing_at_an_instant_keeps_that_instants_packages(world: World) -> None:
    source = Source(world.uri, "stable", ("main",), ("amd64",))
    before = world.publish(1, history=True)
    world.archive.remove("library")
    world.publish(2, history=True)
    (pin,) = freeze(
        [source], keyring=world.key.keyring, cache=world.cache, now=world.start + 3 * HOUR,
        stamp=Stamp(world.start + 1.5 * HOUR),
    )  # fmt: skip
    assert pin.inrelease_sha256 == before
    world.archive.prune()
    with pytest.raises(PipelineError, match="no InRelease of that instant"):
        freeze(
            [replace(source, suite="other")], keyring=world.key.keyring, cache=world.cache, now=world.start + 3 * HOUR,
            stamp=Stamp(world.start),
        )  # fmt: skip
