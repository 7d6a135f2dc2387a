"""Artefacts out of layers: the newest of each name, each once, and none that was not asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from image_builder.artifacts.collect import Artefact, checksums, found_in, join, of_target, put
from image_builder.errors import PipelineError
from image_builder.layers.digest import digest


def layer(root: Path, *names: str) -> tuple[Path, dict[str, Any]]:
    """A layer as a step leaves it; names: "livecd.debian.img=content"."""
    root.mkdir()
    for name in names:
        file, _, content = name.partition("=")
        (root / file).write_text(content)
    return root, {"artefacts": found_in(root)}


def made(layers: Sequence[tuple[Path, dict[str, Any]]], *provides: str) -> dict[str, str]:
    """Name of an artefact -> the layer it is taken from."""
    return {a.name: a.source.parent.name for a in of_target("t", layers, provides)}


def test_only_files_and_folders_called_livecd_are_artefacts(tmp_path: Path) -> None:
    (tmp_path / "livecd.debian.img").write_bytes(b"abc")
    (tmp_path / "livecd.debian.root/etc").mkdir(parents=True)
    (tmp_path / "livecd.debian.root/etc/motd").write_bytes(b"hello")
    (tmp_path / "livecd.debian.root/motd").hardlink_to(tmp_path / "livecd.debian.root/etc/motd")
    (tmp_path / "livecd.debian.root/link").symlink_to("motd")
    (tmp_path / "livecd.debian.link").symlink_to("livecd.debian.img")
    (tmp_path / "livecd.debian.gone").symlink_to("nowhere")
    (tmp_path / "chroot.files").touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/livecd.debian.x").touch()
    assert found_in(tmp_path) == [
        {"name": "livecd.debian.img", "size_bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()},
        {"name": "livecd.debian.root", "size_bytes": 5, "sha256": "",
         "tree_sha256": digest(tmp_path / "livecd.debian.root")},
    ]  # fmt: skip


def test_the_newest_of_a_name_is_taken(tmp_path: Path) -> None:
    layers = [layer(tmp_path / "one", "livecd.a=1", "livecd.b=1"), layer(tmp_path / "two", "livecd.a=2")]
    assert made(layers) == {"livecd.a": "two", "livecd.b": "one"}


def test_what_a_target_does_not_provide_is_left_out_where_it_provides_anything(tmp_path: Path) -> None:
    layers = [layer(tmp_path / "one", "livecd.img=1", "livecd.qcow2=2")]
    assert made(layers) == {"livecd.img": "one", "livecd.qcow2": "one"}
    assert made(layers, "livecd.qcow2", "livecd.never") == {"livecd.qcow2": "one"}


@pytest.mark.root
def test_what_a_later_hook_took_away_is_no_artefact(tmp_path: Path) -> None:
    layers = [layer(tmp_path / "one", "livecd.a=1", "livecd.b=1"), layer(tmp_path / "two")]
    os.mknod(tmp_path / "two/livecd.a", 0o20000, os.makedev(0, 0))  # overlayfs: removed
    assert made(layers) == {"livecd.b": "one"}
    assert made([*layers, layer(tmp_path / "three", "livecd.a=3")]) == {"livecd.a": "three", "livecd.b": "one"}


def artefact(name: str, target: str, content: str = "x", *, folder: bool = False) -> Artefact:
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    own, tree = ("", sha256) if folder else (sha256, "")
    return Artefact(name, len(content), own, Path(f"/{target}/{name}"), target, tree)


def test_the_same_file_of_two_targets_is_one() -> None:
    joined = join(
        {"a": [artefact("img", "a"), artefact("zip", "a")], "b": [artefact("img", "b"), artefact("box", "b")]}
    )
    assert [(a.name, a.target) for a in joined] == [("box", "b"), ("img", "a"), ("zip", "a")]


def test_two_files_of_one_name_are_an_error_that_names_both_targets() -> None:
    with pytest.raises(PipelineError) as caught:
        join(
            {
                "a": [artefact("img", "a", "1"), artefact("same", "a")],
                "b": [artefact("img", "b", "2"), artefact("same", "b")],
                "c": [artefact("img", "c", "1"), artefact("root", "c", "1", folder=True)],
                "d": [artefact("root", "d", "2", folder=True)],
                "e": [artefact("same", "e", folder=True)],
            }
        )
    assert caught.value.what.splitlines() == [
        "img: a and b made different files",
        "root: c and d made different folders",
        "same: a and e made different files",
    ]


def test_a_folder_that_two_targets_share_or_made_alike_is_one() -> None:
    shared = artefact("root", "a", folder=True)
    assert join({"a": [shared], "b": [shared], "c": [artefact("root", "c", folder=True)]}) == [shared]


def test_folders_nobody_has_a_digest_of_are_not_taken_for_the_same() -> None:
    old = [Artefact("root", 0, "", Path(f"/{target}/root"), target) for target in ("a", "b")]
    assert join({"a": [old[0]], "b": [old[0]]}) == [old[0]]
    with pytest.raises(PipelineError, match="root: a and b made different folders"):
        join({"a": [old[0]], "b": [old[1]]})


def test_an_artefact_is_copied_whole_with_its_holes(tmp_path: Path) -> None:
    source = tmp_path / "disk.img"
    with source.open("wb") as f:
        f.truncate(8 << 20)
        f.seek(4 << 20)
        f.write(b"data")
    out = tmp_path / "out"
    out.mkdir()
    placed = put(Artefact("livecd.img", 8 << 20, "0" * 64, source, "t"), out)
    assert placed.read_bytes() == source.read_bytes()
    assert placed.stat().st_blocks * 512 < 1 << 20
    assert [p.name for p in out.iterdir()] == ["livecd.img"]


def test_a_folder_is_copied_over_what_a_killed_build_left(tmp_path: Path) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/motd").write_text("hello")
    out = tmp_path / "out"
    (out / ".livecd.root.part/half").mkdir(parents=True)
    put(Artefact("livecd.root", 0, "", tmp_path / "root", "t"), out)
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*")) == [
        "livecd.root", "livecd.root/etc", "livecd.root/etc/motd",
    ]  # fmt: skip


def test_checksums_are_those_of_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    text = checksums([artefact("a", "t"), artefact("root", "t", folder=True)])
    assert text == f"{hashlib.sha256(b'x').hexdigest()}  a\n"
