"""The content store on a disk that is full."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import counting_origin
import pytest

from proxy import http
from proxy.archive import tables
from proxy.blobs import Blobs
from proxy.store.coming import DiskError
from proxy.store.upkeep import prune

pytestmark = pytest.mark.root

LARGE, SMALL = os.urandom(3 << 20), os.urandom(1 << 20)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_full_disk_is_said_and_left_clean(disk: Path) -> None:
    """Another address is not tried, nothing half remains, and once there is room the same fetch works."""
    store = Blobs(disk / "sha256", shared=())
    store.add(SMALL[:1000])
    with counting_origin.origin({"/large": LARGE, "/small": SMALL}) as origin:
        urls = [f"{origin.address}/large", f"{origin.address}/large?2"]
        with pytest.raises(DiskError, match=r"No space left on device\n.*make room"):
            store.fetch(urls, sha(LARGE), len(LARGE))
        assert origin.counts.total() == 1
        assert list((disk / "coming").glob("*.part")) == []
        assert os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > 1900 << 10
        assert store.fetch(f"{origin.address}/small", sha(SMALL), len(SMALL)).read_bytes() == SMALL
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(2 << 20))
        with pytest.raises(DiskError):
            store.add(b"y" * 10000)
        filler.unlink()
        assert store.has(store.add(b"y" * 10000))
    http.close_idle()
    assert prune(store, 20000).freed_bytes >= len(SMALL)


def test_a_table_that_does_not_fit(disk: Path, tmp_path: Path) -> None:
    """A frozen set is whole or not there."""
    index = tmp_path / "sha256" / ("a" * 64)
    index.parent.mkdir()
    stanza = "Filename: pool/{0:0100d}\nSize: 1\nSHA256: {0:064x}\n\n"
    index.write_text("".join(stanza.format(number) for number in range(20000)))
    with pytest.raises(Exception, match="cannot be written"):
        tables.table(disk, index, "Packages", "")
    assert [path.name for path in (disk / "tables").iterdir()] == [".lock"]
