"""When a file of the store is hashed before it is given out."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.blobs import Blobs
from proxy.serving.stored import CHECKED, CHECKED_S, Stored

DATA = random.Random(7).randbytes(3 << 20)
PATIENCE_S = 60.0


@pytest.fixture
def store() -> Iterator[Blobs]:
    """On a disk: older kernels keep no attributes of files in memory."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Blobs(Path(folder) / "sha256", shared=())


def looked_at(store: Blobs, sha256: str) -> bool | None:
    """By a proxy that has just started: whether the file was right; None: it was not hashed."""
    opened = Stored(store).open(sha256)
    os.close(opened.descriptor)
    return None if opened.check is None else opened.check(PATIENCE_S)


def test_once_for_all_proxies(store: Blobs) -> None:
    sha256 = store.add(DATA)
    assert [looked_at(store, sha256) for _ in range(3)] == [True, None, None]


def test_what_was_hashed_as_it_came_is_not_hashed_again(store: Blobs) -> None:
    sha256 = store.add(DATA)
    Stored(store).trust(sha256)
    assert looked_at(store, sha256) is None


def test_again_when_something_has_written_to_it(store: Blobs) -> None:
    sha256 = store.add(DATA)
    assert looked_at(store, sha256)
    with store.path(sha256).open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"another")
    assert looked_at(store, sha256) is False
    assert not store.has(sha256)


def test_one_of_another_size_is_not_the_one_that_was_asked_for(store: Blobs) -> None:
    sha256 = store.add(DATA)
    with pytest.raises(FileNotFoundError):
        Stored(store).open(sha256, len(DATA) - 1)
    os.close(Stored(store).open(sha256, len(DATA)).descriptor)


def test_a_copy_does_not_inherit_it(store: Blobs) -> None:
    sha256 = store.add(DATA)
    assert looked_at(store, sha256)
    path, found = store.path(sha256), store.path(sha256).stat()
    copy = path.with_name("copy")
    copy.write_bytes(DATA[:-1] + b"?")
    os.setxattr(copy, CHECKED, os.getxattr(path, CHECKED))
    os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
    copy.replace(path)
    assert looked_at(store, sha256) is False


def test_again_after_a_week(store: Blobs) -> None:
    sha256 = store.add(DATA)
    assert looked_at(store, sha256)
    state, _, at = os.getxattr(store.path(sha256), CHECKED).decode().rpartition(" ")
    for then in (int(at) - CHECKED_S, int(at) + 3600):  # long ago; by a clock that was ahead
        os.setxattr(store.path(sha256), CHECKED, f"{state} {then:.0f}".encode())
        assert looked_at(store, sha256) is True


@pytest.mark.parametrize("nonsense", [b"", b"\xff", b"1 2 3", b"1 2 3 later"])
def test_a_note_nobody_understands_counts_for_nothing(nonsense: bytes, store: Blobs) -> None:
    sha256 = store.add(DATA)
    os.setxattr(store.path(sha256), CHECKED, nonsense)
    assert looked_at(store, sha256) is True
