"""Following suites: what record keeps is what resolve finds, long after the archive has forgotten it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import local_archive
import pytest

from image_builder.errors import SurroundingsError
from proxy.archive.freeze import thaw
from proxy.archive.history import History
from proxy.archive.resolve import Resolved, resolve
from proxy.archive.sources import Source
from proxy.archive.stamp import Stamp
from proxy.record import Poll, follow, followed_for, poll, recording

MINUTE = timedelta(minutes=1)


@dataclass
class Recorded:
    """An archive, polled at minutes after the start."""

    archive: local_archive.LocalArchive
    source: Source
    key: local_archive.Key
    cache: Path
    start: datetime

    def publish(self, minute: int, **options: Any) -> bytes:
        self.archive.add(f"news{minute}")
        return self.archive.publish(date=self.start + minute * MINUTE, **options).read_bytes()

    def poll(self, minute: int) -> Poll:
        now = self.start + minute * MINUTE
        return poll(self.source, keyring=self.key.keyring, cache=self.cache, now=now, interval_s=600)

    def at(self, minute: float) -> Resolved:
        """What is known later, when the archive is gone."""
        gone = Stamp(self.start + minute * MINUTE)
        (found,) = resolve([self.source], gone, keyring=self.key.keyring, cache=self.cache, now=self.start)
        return found

    def date(self, minute: float) -> float | None:
        """The minute in which the InRelease of another minute was signed; None: nobody knows."""
        pin = self.at(minute).pin
        return (pin.date - self.start) / MINUTE if pin else None

    def disappear(self) -> None:
        shutil.rmtree(self.archive.folder / "dists")


@pytest.fixture
def recorded(served: str, archive: Any, key: Any, now: datetime, tmp_path: Path) -> Recorded:
    return Recorded(archive, Source(served, "stable", ("main",), ("amd64",)), key, tmp_path / "cache", now)


def test_a_followed_suite_has_a_history(recorded: Recorded) -> None:
    for minute in range(0, 100, 10):
        if minute in (20, 50):
            recorded.publish(minute - 5)
        assert recorded.poll(minute).new is (minute in (0, 20, 50))
    recorded.disappear()
    assert [recorded.date(minute) for minute in (0, 14, 15, 44, 45, 90)] == [0, 0, 15, 15, 45, 45]
    assert recorded.date(91) is None, "nobody has looked since"
    assert recorded.date(-1) is None


def test_what_it_keeps_can_be_frozen_without_the_archive(recorded: Recorded) -> None:
    recorded.poll(0)
    recorded.archive.remove("library")
    recorded.publish(5)
    recorded.poll(10)
    recorded.disappear()
    pin = recorded.at(4).pin
    assert pin is not None
    (suite,) = thaw([pin], [recorded.source], keyring=recorded.key.keyring, cache=recorded.cache)
    assert list(suite.indices) == ["main/binary-amd64/Packages"]


def test_a_gap_is_not_filled_by_guessing(recorded: Recorded) -> None:
    recorded.poll(0)
    recorded.publish(60)
    recorded.publish(110)
    recorded.poll(120)
    recorded.disappear()
    assert [recorded.date(minute) for minute in (0, 1, 59, 60, 109, 110, 120)] == [0, None, None, None, None, 110, 110]


def test_a_gap_is_filled_from_the_mirrors_by_hash_folder(recorded: Recorded) -> None:
    recorded.publish(0, history=True)
    recorded.poll(0)
    recorded.publish(60, history=True)
    recorded.publish(110, history=True)
    recorded.poll(120)
    recorded.disappear()
    assert [recorded.date(minute) for minute in (0, 1, 59, 60, 109, 110, 120)] == [0, 0, 0, 60, 60, 110, 110]


def test_a_by_hash_folder_that_was_pruned_does_not_fill_it(recorded: Recorded) -> None:
    recorded.publish(0, history=True)
    recorded.poll(0)
    recorded.publish(60, history=True)
    recorded.publish(110, history=True)
    recorded.archive.prune()
    recorded.poll(120)
    recorded.disappear()
    assert [recorded.date(minute) for minute in (1, 59, 60, 110)] == [None, None, None, 110]


def test_one_failed_poll_is_no_gap() -> None:
    assert followed_for(600) == timedelta(minutes=30)
    assert followed_for(86400) == timedelta(hours=1)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda archive: shutil.rmtree(archive.folder / "dists"), "no such file", id="suite gone"),
        pytest.param(
            lambda archive: (archive.folder / "dists/stable/InRelease").write_bytes(b"Date: now"),
            "no good signature",
            id="not signed",
        ),
        pytest.param(
            lambda archive: (
                [path.unlink() for path in archive.folder.rglob("Packages.xz")]
                + [shutil.rmtree(path) for path in archive.folder.rglob("by-hash")]
            ),
            "not yet, or no longer, the indices",
            id="in the middle of an update",
        ),
    ],
)
def test_what_is_not_whole_is_not_history(spoil: Any, said: str, recorded: Recorded) -> None:
    recorded.poll(0)
    recorded.publish(5)
    spoil(recorded.archive)
    found = recorded.poll(10)
    assert found.error is not None
    assert said in str(found.error)
    assert [one.date for one in History(recorded.cache, recorded.source.uri, "stable").known()] == [recorded.start]
    recorded.publish(5)
    assert recorded.poll(20).new
    assert recorded.date(4) == 0


def test_expired_ones_prove_nothing(recorded: Recorded) -> None:
    recorded.publish(0, valid_for=timedelta(minutes=15))
    recorded.poll(10)
    assert "not valid since" in str(recorded.poll(20).error)
    recorded.disappear()
    assert (recorded.date(10), recorded.date(14)) == (0, None)


def test_a_mirror_that_goes_back_is_said_and_proves_nothing(recorded: Recorded) -> None:
    old = recorded.publish(0)
    recorded.publish(5)
    recorded.poll(10)
    (recorded.archive.folder / "dists/stable/InRelease").write_bytes(old)
    found = recorded.poll(20)
    assert "the mirror went back" in found.warning
    assert not found.new
    recorded.disappear()
    assert (recorded.date(10), recorded.date(15), recorded.date(1)) == (5, None, None)


def test_what_resolve_has_seen_gets_its_indices(recorded: Recorded) -> None:
    now = recorded.start
    resolve([recorded.source], Stamp(now, True), keyring=recorded.key.keyring, cache=recorded.cache, now=now)
    recorded.poll(1)
    recorded.disappear()
    pin = recorded.at(1).pin
    assert pin is not None
    assert thaw([pin], [recorded.source], keyring=recorded.key.keyring, cache=recorded.cache)


def test_sources_are_kept_where_they_are_wanted(recorded: Recorded) -> None:
    """A suite without Sources, as this one, is recorded all the same."""
    recorded.source = Source(recorded.source.uri, "stable", ("main",), ("amd64",), source_packages=True)
    assert recorded.poll(0).error is None


def test_one_at_a_time(recorded: Recorded) -> None:
    with (
        recording([recorded.source], recorded.cache),
        pytest.raises(SurroundingsError, match=f"process {os.getpid()} records it already"),
        recording([recorded.source], recorded.cache),
    ):
        pass
    with recording([recorded.source], recorded.cache):
        pass


def test_it_goes_on_through_trouble_until_it_is_stopped(recorded: Recorded) -> None:
    stop, polls = Event(), list[Poll]()
    minutes = iter(range(0, 1000, 10))

    def report(one: Poll) -> None:
        polls.append(one)
        if len(polls) == 1:
            recorded.disappear()
        elif len(polls) == 2:
            recorded.publish(15)
        elif len(polls) == 4:
            stop.set()

    good = follow(
        [recorded.source], report, keyring=recorded.key.keyring, cache=recorded.cache, interval_s=0.01, stop=stop,
        clock=lambda: recorded.start + next(minutes) * MINUTE,
    )  # fmt: skip
    assert good
    assert [(one.new, one.error is None) for one in polls] == [
        (True, True),
        (False, False),
        (True, True),
        (False, True),
    ]


def test_the_command_goes_on_after_sigkill(recorded: Recorded) -> None:
    line = f"deb [arch=amd64 signed-by={recorded.key.keyring}] {recorded.source.uri} stable main"
    command = [sys.executable, "-m", "proxy", "record", line, "--store", recorded.cache, "--interval", "1"]

    def started() -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        if not (recorded.cache / "history").exists():
            return process, process.stdout.readline()
        return process, ""

    first, line_said = started()
    assert line_said.rstrip().endswith("new")
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 3
    assert f"process {first.pid} records it already" in second.stderr
    first.send_signal(signal.SIGKILL)
    first.wait()
    again, _ = started()
    history = History(recorded.cache, recorded.source.uri, "stable")
    before = history.known()[-1].until
    for _ in range(600):
        if history.known()[-1].until != before:
            break
        time.sleep(0.1)
    else:
        raise AssertionError("it does not go on")
    again.send_signal(signal.SIGTERM)
    assert again.wait() == 130
    for process in (first, again):
        assert process.stdout is not None
        process.stdout.close()
