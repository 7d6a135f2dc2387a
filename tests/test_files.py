"""Files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from image_builder.errors import SurroundingsError
from image_builder.files import give_to_caller, write_whole


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
