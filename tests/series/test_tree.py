"""What stands at a path of a real folder: links are followed, but not out of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from image_builder.errors import ConfigError
from image_builder.series.resolve import SeriesErrors, compose_list
from image_builder.series.tree import FILE, FOLDER, MISSING, OTHER, OUTSIDE, Folder

Plant = Callable[..., Path]


@pytest.fixture
def folder(plant: Plant, tmp_path: Path) -> Path:
    root = plant({}, "base/file base/deep/file")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").touch()
    os.mkfifo(root / "base/fifo")
    for name, target in {
        "in": "file",
        "in-absolute": str(root / "base/file"),
        "twice": "in",
        "out": "../../outside/file",
        "out-absolute": "/etc/passwd",
        "folder-in": "deep",
        "folder-out": "../../outside",
        "dangling": "gone",
        "dangling-out": "/gone",
        "loop": "loop",
        "by-folder-out": "folder-out/file",
    }.items():
        (root / "base" / name).symlink_to(target)
    return root


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("base/file", FILE),
        ("base", FOLDER),
        ("base/fifo", OTHER),
        ("base/gone", MISSING),
        ("gone/file", MISSING),
        ("base/file/file", MISSING),
        ("base/in", FILE),
        ("base/in-absolute", FILE),
        ("base/twice", FILE),
        ("base/out", OUTSIDE),
        ("base/out-absolute", OUTSIDE),
        ("base/folder-in", FOLDER),
        ("base/folder-in/file", FILE),
        ("base/folder-out", OUTSIDE),
        ("base/folder-out/file", OUTSIDE),
        ("base/by-folder-out", OUTSIDE),
        ("base/dangling", MISSING),
        ("base/dangling-out", OUTSIDE),
        ("base/loop", MISSING),
        ("base/" + "x" * 300, MISSING),
    ],
)
def test_kind(folder: Path, path: str, kind: str) -> None:
    assert Folder(folder).kind(path) == kind


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert Folder(tmp_path / "link").kind("base/in") == FILE


def test_names_are_sorted_by_code_point(plant: Plant) -> None:
    root = plant({}, "chroot/b chroot/B chroot/a chroot/é chroot/_")
    assert Folder(root).names("chroot") == ["B", "_", "a", "b", "é"]
    assert Folder(root).names("gone") == []


def test_a_name_that_is_no_utf8_survives(plant: Plant) -> None:
    root = plant({"base/series/a": b"base/\xff.binary\n"})
    (root / os.fsdecode(b"base/\xff.binary")).touch()
    assert os.fsencode(compose_list(root, ["a"]).hooks[0].path) == b"base/\xff.binary"


def test_a_linked_series_is_a_target_of_its_own(plant: Plant) -> None:
    root = plant({"base/series/base": "base/x\nprovides f\n"}, "base/x")
    (root / "base/series/all").symlink_to("base")
    result = compose_list(root, ["all"])
    assert [hook.series for hook in result.hooks] == ["base/series/all"]
    assert result.provides == ("f",)


@pytest.mark.parametrize("extra", ["folder", "dangling"])
def test_base_is_taken_where_extra_has_no_regular_file(plant: Plant, extra: str) -> None:
    root = plant({"base/series/a": "base/x\n"}, "base/x")
    (root / "extra/series").mkdir(parents=True)
    if extra == "folder":
        (root / "extra/series/a").mkdir()
    else:
        (root / "extra/series/a").symlink_to("gone")
    assert [hook.series for hook in compose_list(root, ["a"]).hooks] == ["base/series/a"]


def test_a_huge_file_is_no_series(plant: Plant) -> None:
    root = plant({"base/series/a": ""})
    os.truncate(root / "base/series/a", 1 << 40)
    with pytest.raises(SeriesErrors, match="series file base/series/a cannot be read: larger than 16 MiB"):
        compose_list(root, ["a"])


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        compose_list(tmp_path / "gone", [])
