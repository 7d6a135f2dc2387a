"""What a step sees of config/ and hooks.d, and what its key says of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from image_builder.errors import ConfigError
from image_builder.live_build.staging import Item, digest, file, folder, parts, text, write


def listed(root: Path) -> dict[str, str]:
    """path -> "mode bytes" or "-> target", of all files below."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(root))] = f"-> {path.readlink()}"
        elif path.is_file():
            found[str(path.relative_to(root))] = f"{path.stat().st_mode & 0o777:o} {path.read_bytes().decode()}"
    return found


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config/ with one of everything."""
    config = tmp_path / "config"
    etc = config / "includes.chroot/etc"
    etc.mkdir(parents=True)
    (etc / "motd").write_text("hello")
    (etc / "motd").chmod(0o640)
    (etc / "mtab").symlink_to("../proc/self/mounts")
    (etc / "dir").symlink_to("/nowhere")
    (etc / "real").symlink_to(".")  # a link to a folder stays a link
    (config / "environment").write_text("A=1\n")
    return config


def test_a_folder_is_staged_as_it_is(config: Path, tmp_path: Path) -> None:
    write(parts(config, ["includes.chroot", "environment", "package-lists"]), tmp_path / "stage")
    assert listed(tmp_path / "stage") == {
        "environment": "644 A=1\n",
        "includes.chroot/etc/dir": "-> /nowhere",
        "includes.chroot/etc/motd": "640 hello",
        "includes.chroot/etc/mtab": "-> ../proc/self/mounts",
        "includes.chroot/etc/real": "-> .",
    }


def test_folders_keep_their_mode_and_empty_ones_are_there(config: Path, tmp_path: Path) -> None:
    etc = config / "includes.chroot/etc"
    (etc / "empty").mkdir()
    (etc / "secret/deep").mkdir(parents=True)
    (etc / "secret/deep/key").write_text("k")
    (etc / "secret").chmod(0o500)
    staged = parts(config, ["includes.chroot"])
    write(staged, tmp_path / "stage")
    made = tmp_path / "stage/includes.chroot/etc"
    assert (made / "empty").is_dir()
    assert (made / "secret").stat().st_mode & 0o777 == 0o500
    assert (made / "secret/deep/key").read_text() == "k"
    (etc / "secret").chmod(0o755)
    assert digest(staged) != digest(parts(config, ["includes.chroot"]))


def test_names_that_are_no_text_are_staged_too(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/in"
    os.mkdir(odd)  # noqa: PTH102 (a name of bytes)
    Path(os.fsdecode(odd + b"/\xff")).write_text("x")
    staged = folder(tmp_path / "in", "config")
    assert len(digest(staged)) == 64
    write(staged, tmp_path / "out")
    assert os.listdir(os.fsencode(tmp_path / "out/config")) == [b"\xff"]  # noqa: PTH208


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert folder(tmp_path / "none", "config") == {}


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="pipe: is neither a file, a folder nor a link"):
        folder(tmp_path, "config")


def test_a_hook_can_be_run_whatever_its_mode_in_the_tree(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("#!/bin/sh\n")
    (tmp_path / "hook").chmod(0o640)
    assert file(tmp_path / "hook", executable=True).mode == 0o751
    assert file(tmp_path / "hook").mode == 0o640


CHANGES: dict[str, Callable[[dict[str, Item]], object]] = {
    "bytes": lambda stage: stage.update(a=text("y")),
    "mode": lambda stage: stage.update(a=text("x", mode=0o755)),
    "a file more": lambda stage: stage.update(c=text("")),
    "a file less": lambda stage: stage.pop("a"),
    "another name": lambda stage: stage.update(A=stage.pop("a")),
    "a link instead": lambda stage: stage.update(a=Item(link="x")),
    "another target": lambda stage: stage.update(b=Item(link="z")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_another_digest(change: Callable[[dict[str, Item]], object]) -> None:
    stage = {"a": text("x"), "b": Item(link="a")}
    before = digest(stage)
    change(stage)
    assert digest(stage) != before


def test_the_digest_is_of_what_is_there_and_not_of_how_it_was_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").chmod(0o644)
    assert digest({"a": file(tmp_path / "a"), "b": text("y")}) == digest({"b": text("y"), "a": text("x")})
