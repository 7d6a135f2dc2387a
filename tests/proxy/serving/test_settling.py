"""Files that came get onto the disk together, and nobody who has to wait waits longer than he must."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest
from frozen_archive import Frozen, frozen_archive, serving
from local_archive import Key, LocalArchive

from proxy.blobs import Blobs
from proxy.serving import settling
from proxy.serving.settling import Settling
from proxy.store.coming import Part

DATA = b"some bytes"
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "sha256", shared=())


def part_of(store: Blobs, data: bytes, sha256: str = "") -> Part:
    part = store.claim(sha256 or hashlib.sha256(data).hexdigest(), len(data))
    assert part is not None
    part.write(data)
    return part


def test_several_are_committed_in_one_go(store: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "PAUSE_S", 60.0)
    monkeypatch.setattr(settling, "LONGEST_S", 60.0)
    monkeypatch.setattr(settling, "BATCH_FILES", 3)
    made, done = Settling(), threading.Semaphore(0)
    pieces = [b"1", b"2", b"3"]
    for number, data in enumerate(pieces):
        assert not any(store.has(hashlib.sha256(piece).hexdigest()) for piece in pieces), number
        made.add(part_of(store, data), done.release)
    for _ in pieces:
        assert done.acquire(timeout=20)
    assert all(store.has(hashlib.sha256(piece).hexdigest()) for piece in pieces)
    assert all(store.wait(hashlib.sha256(piece).hexdigest(), 0) for piece in pieces), "claims are given back"


def test_what_comes_after_the_end_is_committed_by_who_brings_it(store: Blobs) -> None:
    made, done = Settling(), threading.Event()
    assert made.close(20)
    made.add(part_of(store, DATA), done.set)
    assert done.is_set()
    assert store.read(SHA) == DATA


def test_what_is_in_memory_can_soon_be_read_along(store: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "PAUSE_S", 60.0)
    monkeypatch.setattr(settling, "LONGEST_S", 60.0)
    made, written = Settling(), threading.Semaphore(0)
    for data in (b"1", b"2"):
        part = store.claim(hashlib.sha256(data).hexdigest(), len(data))
        assert part is not None
        part.gather()
        part.write(data)
        made.add(part, lambda: None, written=written.release)
        assert written.acquire(timeout=20)
        assert store.part_path(part.sha256).read_bytes() == data
        assert not store.has(part.sha256)


def test_files_that_never_stop_coming_are_committed_too(store: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "PAUSE_S", 60.0)
    monkeypatch.setattr(settling, "LONGEST_S", 0.2)
    made, done = Settling(), threading.Event()
    made.add(part_of(store, DATA), done.set)
    number, until = 0, time.monotonic() + 30
    while not done.is_set() and time.monotonic() < until:
        number += 1
        made.add(part_of(store, str(number).encode()), lambda: None)
        time.sleep(0.01)
    assert store.read(SHA) == DATA
    assert made.close(30)


def test_nothing_is_committed_while_more_comes(store: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "PAUSE_S", 0.05)
    made, done = Settling(), threading.Event()
    made.add(part_of(store, DATA), done.set)
    assert not store.has(SHA)
    assert done.wait(30), "and it is when nothing does"
    assert store.read(SHA) == DATA


@pytest.mark.parametrize("way", ["now", "hurry", "close"])
def test_who_waits_is_not_kept_waiting(way: str, store: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "PAUSE_S", 60.0)
    monkeypatch.setattr(settling, "LONGEST_S", 60.0)
    made, done = Settling(), threading.Event()
    began = time.monotonic()
    made.add(part_of(store, DATA), done.set, now=way == "now")
    if way == "hurry":
        made.hurry()
    if way == "close":
        assert made.close()
        assert done.is_set()
    assert done.wait(30)
    assert time.monotonic() - began < 30
    assert store.read(SHA) == DATA


def test_a_part_that_cannot_be_committed_ends_too(store: Blobs) -> None:
    made, done = Settling(), threading.Event()
    made.add(part_of(store, DATA, "0" * 64), done.set, now=True)
    assert done.wait(30)
    assert not store.has("0" * 64)
    made.add(part_of(store, DATA), done.set)
    assert made.close(30)
    assert store.read(SHA) == DATA


def test_a_part_that_was_gathered_is_written_when_it_is_due(store: Blobs) -> None:
    part = store.claim(SHA, len(DATA))
    assert part is not None
    with part:
        part.gather()
        part.write(DATA[:4])
        part.write(DATA[4:])
        assert (part.gathered, part.path.exists()) == (DATA, False)
        part.write_back()
        assert (part.gathered, part.path.read_bytes()) == (None, DATA)
        part.commit()
    assert store.read(SHA) == DATA


def test_a_build_does_not_wait_for_the_disk_of_another_one(
    key: Key, archive: LocalArchive, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What that one has brought and not yet committed is looked at, and given."""
    monkeypatch.setattr(settling, "PAUSE_S", 600.0)
    monkeypatch.setattr(settling, "LONGEST_S", 600.0)
    frozen: Frozen = frozen_archive(served, key, tmp_path / "cache")
    right = (archive.folder / "pool/program_1.0_all.deb").read_bytes()
    url = f"{served}/pool/program_1.0_all.deb"
    with serving(frozen, tmp_path / "1.log") as first, serving(frozen, tmp_path / "2.log") as second:
        assert first.get(url)[:2] == (200, right)
        assert not frozen.store.has(hashlib.sha256(right).hexdigest())
        assert first.get(url)[:2] == (200, right)
        assert second.get(url)[:2] == (200, right)
        # in the order in which they were written, which is not that in which they were asked
        told = sorted(line.source.partition(":")[0] for line in first.lines(2))
        assert (told, second.lines()[0].source) == (["fetched", "store"], "other")
        monkeypatch.undo()
    assert frozen.store.read(hashlib.sha256(right).hexdigest()) == right
