"""Files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from image_builder.errors import SurroundingsError
from image_builder.files import give_to_caller, in_bytes, write_whole


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "old")
    write_whole(path, "new \udcff")  # a name that is no UTF-8 comes back as its bytes
    assert path.read_bytes() == b"new \xff"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_said_and_the_old_file_stays(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsError, match="cannot be written: No such file or directory"):
        write_whole(tmp_path / "none/a.json", "x")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(SurroundingsError, match="cannot be written: Is a directory"):
        write_whole(folder, "x")
    assert list(tmp_path.iterdir()) == [folder]


def test_without_sudo_nothing_changes_hands(tmp_path: Path) -> None:
    before = os.lstat(tmp_path).st_uid
    give_to_caller(tmp_path, {})
    give_to_caller(tmp_path, {"SUDO_UID": "me", "SUDO_GID": "us"})
    assert os.lstat(tmp_path).st_uid == before


@pytest.mark.root
def test_what_root_made_belongs_to_who_called_sudo_and_links_are_not_followed(tmp_path: Path) -> None:
    place, outside = tmp_path / "builds", tmp_path / "outside"
    (place / "deep").mkdir(parents=True)
    (place / "deep/file").touch()
    (place / "theirs").touch()
    os.chown(place / "theirs", 4321, 4321)
    outside.touch()
    (place / "link").symlink_to(outside)
    give_to_caller(place, {"SUDO_UID": "1234", "SUDO_GID": "1235"})
    owners = {str(p.relative_to(tmp_path)): (p.lstat().st_uid, p.lstat().st_gid) for p in sorted(tmp_path.rglob("*"))}
    assert owners == {
        **dict.fromkeys(("builds", "builds/deep", "builds/deep/file", "builds/link"), (1234, 1235)),
        "builds/theirs": (4321, 4321),
        "outside": (0, 0),
    }


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("20G", 20 << 30), ("512 MiB", 512 << 20), ("1.5k", 1536)])
def test_sizes(text: str, size: int) -> None:
    assert in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "5 apples", "1e9"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size such as 20G"):
        in_bytes(text)
