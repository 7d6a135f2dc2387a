"""The links in a folder: what is written, what is left alone, and what a failure or a kill leaves."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.errors import ConfigError, SurroundingsError
from image_builder.series.compose import Changes, compose, link_names
from image_builder.series.resolve import compose_list

Plant = Callable[..., Path]


def links(folder: Path) -> dict[str, str]:
    """Every name in a folder with where it points; "" for what is no link."""
    return {path.name: str(path.readlink()) if path.is_symlink() else "" for path in sorted(folder.iterdir())}


def make(root: Path, targets: str, folder: Path | None = None) -> Changes:
    return compose(compose_list(root, targets.split()), root, folder or root.parent / "hooks")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("base/x.binary", "001-x.binary"),
        ("base/031-0-x.binary", "001-x.binary"),
        ("031-x.binary", "001-x.binary"),
        ("1-2-3-x.binary", "001-3-x.binary"),
        ("x-1.binary", "001-x-1.binary"),
        ("1x-y.binary", "001-1x-y.binary"),
        ("-x.binary", "001--x.binary"),
        ("7.binary", "001-7.binary"),
    ],
)
def test_link_names(path: str, name: str) -> None:
    assert link_names([path]) == [name]


@pytest.mark.parametrize(
    ("hooks", "first", "last"),
    [
        (999, "001-x", "999-x"),
        (1000, "00001-x", "01000-x"),
        (9999, "00001-x", "09999-x"),
        (10000, "000001-x", "010000-x"),
    ],
)
def test_numbers_grow_wider_for_more_than_999_hooks(hooks: int, first: str, last: str) -> None:
    names = link_names(["x"] * hooks)
    assert (names[0], names[-1]) == (first, last)
    if hooks > 999:
        assert names[-1] < "1000-live-build's-own.hook.chroot"


@given(st.lists(st.text(alphabet="ab01-.", min_size=1, max_size=8), min_size=1, max_size=1200))
def test_names_sort_as_the_hooks_are_listed(paths: list[str]) -> None:
    names = link_names([f"base/{path}" for path in paths])
    assert names == sorted(names)
    assert len(set(names)) == len(paths)


def test_a_name_too_long_is_an_error() -> None:
    with pytest.raises(ConfigError, match="longer than 255 bytes"):
        link_names(["é" * 126])


SERIES = {
    "base/series/base": "base/10-first.chroot\n",
    "base/series/disk": "# Disk\r\ndepends base\r\nbase/disk.binary\r\nprovides livecd.$PROJECT.img\r\n",
    "base/series/qcow2": "depends disk\nbase/./disk.binary\nextra/q.binary\nprovides a b\nprovides c\n",
}
HOOKS = "base/10-first.chroot base/disk.binary extra/q.binary chroot/z.chroot chroot/a.chroot_early chroot/README"
COMMON = {
    "001-a.chroot_early": "../hooks.d/chroot/a.chroot_early",
    "002-z.chroot": "../hooks.d/chroot/z.chroot",
    "003-first.chroot": "../hooks.d/base/10-first.chroot",
    "004-disk.binary": "../hooks.d/base/disk.binary",
}
AFTER = {
    **COMMON,
    "005-disk.binary": "../hooks.d/base/disk.binary",
    "006-q.binary": "../hooks.d/extra/q.binary",
}


def test_links_and_provides(plant: Plant) -> None:
    root = plant(SERIES, HOOKS)
    assert make(root, "qcow2") == Changes(6, 6, 0)
    assert links(root.parent / "hooks") == AFTER
    assert (root / "explicit_provides").read_text() == "a b\nc\n"


def test_a_second_run_replaces_its_own_links_only(plant: Plant) -> None:
    root = plant(SERIES, HOOKS)
    folder = root.parent / "config/hooks/normal"
    make(root, "qcow2", folder)
    alien = {
        "100-hand-made.chroot": "",
        "0500-lb.hook.chroot": "/usr/share/live/build/x",
        "07-x": "../../../hooks.d/base/x",
    }
    for name, target in alien.items():
        (folder / name).symlink_to(target) if target else (folder / name).touch()
    (folder / "900-old.binary").symlink_to("../../../hooks.d/base/gone.binary")
    (folder / "901-old.binary").symlink_to(root / "base/gone.binary")
    assert make(root, "disk", folder) == Changes(4, 0, 4)
    assert links(folder) == {**{name: f"../../{target}" for name, target in COMMON.items()}, **alien}
    assert (root / "explicit_provides").read_text() == "livecd.$PROJECT.img\n"


def test_what_is_right_is_not_written_again(plant: Plant) -> None:
    root = plant(SERIES, HOOKS)
    make(root, "qcow2")

    def stamps() -> list[int]:
        folder = root.parent / "hooks"
        return [path.lstat().st_ino for path in (root / "explicit_provides", *sorted(folder.iterdir()))]

    before = stamps()
    assert make(root, "qcow2") == Changes(6, 0, 0)
    assert stamps() == before


def test_more_than_999_hooks(plant: Plant) -> None:
    hooks = [f"base/{n}.binary" for n in range(1500, 0, -1)]
    root = plant({"base/series/many": "\n".join(hooks), "base/series/few": "base/7.binary"}, " ".join(hooks))
    make(root, "many")
    assert [f"base/{os.path.basename(t)}" for t in links(root.parent / "hooks").values()] == hooks  # noqa: PTH119
    assert make(root, "few") == Changes(1, 1, 1500)
    assert links(root.parent / "hooks") == {"001-7.binary": "../hooks.d/base/7.binary"}


@pytest.mark.parametrize("folder", ["link/normal", "hooks"])
def test_links_lead_to_the_hooks_through_any_folder(plant: Plant, tmp_path: Path, folder: str) -> None:
    plant(SERIES, HOOKS, at="deep/tree/hooks.d")
    (tmp_path / "elsewhere/below").mkdir(parents=True)
    (tmp_path / "link").symlink_to("elsewhere/below")
    (tmp_path / "linked.d").symlink_to("deep/tree/hooks.d")
    make(tmp_path / "linked.d", "qcow2", tmp_path / folder)
    for path in (tmp_path / folder).iterdir():
        assert path.resolve().is_file()
    assert make(tmp_path / "deep/tree/hooks.d", "base", tmp_path / folder).removed == 3


@pytest.mark.parametrize("way", ["file", "folder", "foreign link"])
def test_something_else_with_a_links_name(plant: Plant, way: str) -> None:
    root = plant(SERIES, HOOKS)
    folder = root.parent / "hooks"
    make(root, "base")
    alien = folder / "005-disk.binary"
    if way == "file":
        alien.touch()
    elif way == "folder":
        alien.mkdir()
    else:
        alien.symlink_to("../elsewhere")
    before = links(folder)
    with pytest.raises(ConfigError, match=r"005-disk\.binary is there and not made from"):
        make(root, "qcow2")
    assert links(folder) == before


@pytest.mark.parametrize("folder", ["chroot", "base/series"])
def test_links_are_not_made_where_hooks_are_collected(plant: Plant, folder: str) -> None:
    root = plant(SERIES, HOOKS)
    with pytest.raises(ConfigError, match="taken for hooks"):
        make(root, "disk", root / folder)


def test_a_file_in_the_way_of_the_folder(plant: Plant, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="no folder"):
        make(plant(SERIES, HOOKS), "disk", tmp_path / "file/hooks")


def test_provides_replaces_a_link_instead_of_following_it(plant: Plant, tmp_path: Path) -> None:
    root = plant(SERIES, HOOKS)
    (tmp_path / "victim").write_text("mine")
    (root / "explicit_provides").symlink_to("../victim")
    make(root, "disk")
    assert (tmp_path / "victim").read_text() == "mine"
    assert not (root / "explicit_provides").is_symlink()


def test_a_folder_in_the_way_of_provides_changes_nothing(plant: Plant) -> None:
    root = plant(SERIES, HOOKS)
    (root / "explicit_provides").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        make(root, "disk", root.parent / "new/hooks")
    assert not (root.parent / "new").exists()
    assert sorted(path.name for path in root.iterdir()) == ["base", "chroot", "explicit_provides", "extra"]


# Runs a second composition in a process of its own and ends it at the n-th change of the file system.
AT_CHANGE = """
import errno, os, signal, sys
from image_builder.series.compose import compose
from image_builder.series.resolve import compose_list
root, folder, left, how = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
def counted(call):
    def change(*args, **named):
        global left
        left -= 1
        if left == 0:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "interrupt":
                raise KeyboardInterrupt
            raise OSError(errno.ENOSPC, "No space left on device", args[-1])
        return call(*args, **named)
    return change
for name in ("symlink", "rename", "unlink", "mkdir", "fsync"):
    setattr(os, name, counted(getattr(os, name)))
compose(compose_list(root, ["qcow2"]), root, folder)
"""


def at_change(root: Path, folder: Path, number: int, how: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", AT_CHANGE, str(root), str(folder), str(number), how]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def interrupted_at_every_change(plant: Plant, how: str, tmp_path: Path) -> int:
    """From "base" to "qcow2", ended at each change in turn; the old state has a link that must go."""
    for number in range(1, 100):
        root = plant(SERIES, HOOKS, at=f"{number}/hooks.d")
        folder = tmp_path / str(number) / "hooks"
        make(root, "disk", folder)
        (folder / "100-old.binary").symlink_to("../hooks.d/base/old.binary")
        (folder / "003-first.chroot").unlink()
        (folder / "003-other.chroot").symlink_to("../hooks.d/base/other.chroot")
        before, provides = links(folder), (root / "explicit_provides").read_text()
        done = at_change(root, folder, number, how)
        if done.returncode == 0:
            return number - 1
        if how == "kill":
            assert done.returncode == -9
            left = links(folder)
            assert all(target in (before.get(name), AFTER.get(name)) for name, target in left.items() if name[0] != ".")
            assert make(root, "qcow2", folder).links == 6
            assert links(folder) == AFTER
            assert (root / "explicit_provides").read_text() == "a b\nc\n"
        else:
            assert links(folder) == before
            assert (root / "explicit_provides").read_text() == provides
        assert [path.name for path in root.iterdir() if path.name.startswith(".")] == []
    raise AssertionError("never came to the end")


def test_killed_at_every_change_the_next_run_finishes(plant: Plant, tmp_path: Path) -> None:
    assert interrupted_at_every_change(plant, "kill", tmp_path) >= 9


@pytest.mark.parametrize("how", ["no space", "interrupt"])
def test_a_failure_at_any_change_changes_nothing(plant: Plant, tmp_path: Path, how: str) -> None:
    assert interrupted_at_every_change(plant, how, tmp_path) >= 9


def test_no_space_is_said_in_these_words(plant: Plant) -> None:
    root = plant(SERIES, HOOKS)
    failed = at_change(root, root.parent / "new/hooks", 4, "no space")
    assert SurroundingsError.__name__ in failed.stderr
    assert "No space left on device" in failed.stderr
    assert not (root.parent / "new").exists()


def test_two_at_once(plant: Plant) -> None:
    hooks = [f"base/{n}.binary" for n in range(300)]
    root = plant({"base/series/a": "\n".join(hooks), "base/series/b": "\n".join(hooks[::-1])}, " ".join(hooks))
    code = "import sys; from image_builder.series import compose, resolve; r = sys.argv[1]; " \
           "[compose.compose(resolve.compose_list(r, [t]), r, r + '/../hooks') for t in sys.argv[2] * 5]"  # fmt: skip
    runs = [subprocess.Popen([sys.executable, "-c", code, root, order]) for order in ("ab", "ba", "ab")]
    assert [run.wait(timeout=60) for run in runs] == [0, 0, 0]
    found = [f"base/{Path(target).name}" for target in links(root.parent / "hooks").values()]
    assert found in (hooks, hooks[::-1])
