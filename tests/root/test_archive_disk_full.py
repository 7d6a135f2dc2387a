"""Results, repository and publications on a disk that is full: what was there stays, and the same call goes on."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from published import DATE, Rebuilt, broken

from image_builder.archive.publish.folder import FolderPlace
from image_builder.archive.publish.signing import Signer
from image_builder.errors import SurroundingsError

pytestmark = pytest.mark.root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(4 << 20))
    return filler


def test_nothing_half_and_nothing_lost(disk: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as keys:
        rebuilt = Rebuilt(disk, Signer.own(Path(keys), DATE))
        place = FolderPlace(disk / "public")
        rebuilt.build("hello", {"hello": "amd64"})
        rebuilt.publish(place)
        before = rebuilt.results.read("stable", "amd64", "hello")

        filler = fill(disk)
        with pytest.raises(SurroundingsError, match="No space left on device"):
            rebuilt.build("hello", {"hello": "amd64"}, content="x" * 100_000)
        assert rebuilt.results.read("stable", "amd64", "hello") == before
        assert list((disk / "results/stable/.coming").iterdir()) == []
        assert broken(place.read, "stable") == []

        filler.unlink()
        rebuilt.build("hello", {"hello": "amd64"}, content="x" * 100_000)
        elsewhere = FolderPlace(tmp_path / "other disk")
        filler = fill(disk)
        with pytest.raises(SurroundingsError, match=r"No space|disk is full"):
            rebuilt.publish(place, DATE + 1)
        assert broken(place.read, "stable") == []
        filler.unlink()
        rebuilt.publish(place, DATE + 1)
        rebuilt.publish(elsewhere, DATE + 1)
        assert broken(place.read, "stable") == broken(elsewhere.read, "stable") == []
        assert rebuilt.repository.verify("stable") == []
