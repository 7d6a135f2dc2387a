"""What a stack of layers shows, and when a hook's result from before still holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from image_builder.build import unchanged
from image_builder.live_build.recipe import Work
from image_builder.plan.tree import StepSpec

PATTERNS = ("live/vmlinuz-*", "live/initrd-*")


def layer(top: Path, name: str, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (top / name / path).parent.mkdir(parents=True, exist_ok=True)
        (top / name / path).write_text(text)
    (top / name).mkdir(exist_ok=True)
    return top / name


def hook(*, script: str = "1", tree: tuple[str, ...] = PATTERNS) -> StepSpec:
    return StepSpec("binary", "binary x", {"hook": script}, work=Work("", {}, {}, tree=tree))


@pytest.fixture
def stack(tmp_path: Path) -> list[Path]:
    return [
        layer(tmp_path, "lower", {"live/vmlinuz-1": "kernel", "live/initrd-1": "old", "live/other": "x"}),
        layer(tmp_path, "upper", {"live/initrd-1": "new", "elsewhere/vmlinuz-2": "x"}),
    ]


def test_the_highest_layer_counts(stack: list[Path]) -> None:
    seen = unchanged.seen(stack, PATTERNS)
    assert {path: file.read_text() for path, file in seen.items()} == {
        "live/vmlinuz-1": "kernel",
        "live/initrd-1": "new",
    }
    assert list(seen) == sorted(seen)


def test_a_folder_in_whose_place_a_file_came_is_gone(stack: list[Path], tmp_path: Path) -> None:
    assert unchanged.seen([*stack, layer(tmp_path, "top", {"live": "a file"})], PATTERNS) == {}


def test_a_link_hides_a_file_and_is_none(stack: list[Path], tmp_path: Path) -> None:
    top = layer(tmp_path, "top", {})
    (top / "live").mkdir()
    (top / "live/vmlinuz-1").symlink_to("/vmlinuz")
    assert list(unchanged.seen([*stack, top], PATTERNS)) == ["live/initrd-1"]


@pytest.mark.root
@pytest.mark.parametrize(("name", "left"), [("live/vmlinuz-1", ["live/initrd-1"]), ("live", [])])
def test_what_a_layer_removed_is_gone(stack: list[Path], tmp_path: Path, name: str, left: list[str]) -> None:
    top = layer(tmp_path, "top", {})
    (top / name).parent.mkdir(exist_ok=True)
    os.mknod(top / name, 0o020000, os.makedev(0, 0))
    assert list(unchanged.seen([*stack, top], PATTERNS)) == left


@pytest.mark.root
def test_a_folder_made_anew_hides_what_was_in_the_old_one(stack: list[Path], tmp_path: Path) -> None:
    top = layer(tmp_path, "top", {"live/vmlinuz-3": "kernel"})
    os.setxattr(top / "live", "trusted.overlay.opaque", b"y")
    assert list(unchanged.seen([*stack, top], PATTERNS)) == ["live/vmlinuz-3"]


def test_only_what_decides_is_asked_for(stack: list[Path], tmp_path: Path) -> None:
    asked = unchanged.question(hook(), stack, tools="t")
    assert asked is not None
    more = [*stack, layer(tmp_path, "more", {"live/other": "changed", "etc/x": "changed"})]
    assert unchanged.question(hook(), more, tools="t") == asked


def test_all_that_decides_is_asked_for(stack: list[Path], tmp_path: Path) -> None:
    other_kernel = [*stack, layer(tmp_path, "kernel", {"live/vmlinuz-1": "another"})]
    one_more = [*stack, layer(tmp_path, "more", {"live/vmlinuz-2": "kernel"})]
    asked = [
        unchanged.question(hook(), stack, tools="t"),
        unchanged.question(hook(), stack, tools="other tools"),
        unchanged.question(hook(script="2"), stack, tools="t"),
        unchanged.question(hook(), other_kernel, tools="t"),
        unchanged.question(hook(), one_more, tools="t"),
    ]
    assert None not in asked
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize("tree", [(), ("live/no-such-*",)], ids=["says nothing", "nothing there"])
def test_without_such_files_a_hook_is_run_whenever_something_below_changed(
    stack: list[Path], tree: tuple[str, ...]
) -> None:
    assert unchanged.question(hook(tree=tree), stack, tools="t") is None
