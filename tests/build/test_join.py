"""Builds of several machines, joined."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from finished_build_fixtures import build_record, layer_record, lock

from image_builder.build.join import find, join
from image_builder.build.record import RECORD_NAME, ArtefactRecord, BuildRecord, LayerRecord, TargetRecord
from image_builder.cli.collect import collect
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError, PipelineError

BASE = "b" * 64


def layer(key: str, name: str, **more: Any) -> LayerRecord:
    return layer_record(name, **{"key": key * 64, "kind": "chroot", "below": BASE, "targets": ("x",), **more})


def job(folder: Path, outputs: Mapping[str, Mapping[str, bytes]], *, status: str = "done", **more: Any) -> Path:
    """A build's folder with these targets: target -> file -> content."""
    (folder / "logs").mkdir(parents=True)
    targets = []
    for name, files in outputs.items():
        for file, data in files.items():
            (folder / file).write_bytes(data)
        (folder / f"{name}.manifest").write_text(f"package of {name}\n")
        artefacts = tuple(
            ArtefactRecord(file=f, size_bytes=len(d), sha256=hashlib.sha256(d).hexdigest()) for f, d in files.items()
        )
        targets.append(
            TargetRecord(name=name, status=status, artefacts=artefacts, layers=(BASE,), manifest=f"{name}.manifest",
                         seconds=2)  # type: ignore[arg-type]
        )  # fmt: skip
    (folder / "logs/base.log").write_text("said\n")
    base = layer("b", "base", below=None, targets=tuple(outputs), log="logs/base.log")
    asked = BuildConfig(architecture="amd64", targets=tuple(outputs), **more.pop("config", {})).model_dump(mode="json")
    settings = {"status": status, "asked": asked, "tools": {"live-build": "1"}, "hooks": {"base/one.chroot": "1"}}
    layers = (base, *more.pop("layers", ()))
    record = build_record(**{**settings, **more}, targets=tuple(targets), layers=layers)
    (folder / RECORD_NAME).write_text(record.text())
    return folder


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return job(tmp_path / "one", {"squashfs": {"livecd.debian.squashfs": b"s", "livecd.debian.shared": b"same"}})


def test_artefacts_sums_and_record_of_all(one: Path, tmp_path: Path) -> None:
    two = job(tmp_path / "two", {"tarball": {"livecd.debian.tar.xz": b"t", "livecd.debian.shared": b"same"}})
    record = join(find([one, two]), tmp_path / "all", expected=["tarball", "squashfs"])
    out = tmp_path / "all"
    assert BuildRecord.read(out) == record
    assert (record.status, [t.name for t in record.targets]) == ("done", ["squashfs", "tarball"])
    assert [(j.name, j.targets) for j in record.jobs] == [(str(one), ("squashfs",)), (str(two), ("tarball",))]
    assert [(x.key, x.targets) for x in record.layers] == [(BASE, ("squashfs", "tarball"))]
    assert (out / "SHA256SUMS").read_text().splitlines() == [
        f"{hashlib.sha256(data).hexdigest()}  livecd.debian.{name}"
        for name, data in (("shared", b"same"), ("squashfs", b"s"), ("tar.xz", b"t"))
    ]
    assert (out / "livecd.debian.tar.xz").read_bytes() == b"t"
    assert (out / "tarball.manifest").read_text() == "package of tarball\n"
    assert (out / "logs/base.log").read_text() == "said\n"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"lock": lock("1")}, "different locks"),
        ({"hooks": {"base/one.chroot": "2"}}, "differ in hooks.d: base/one.chroot"),
        ({"hooks": {"base/one.chroot": "1", "base/new.chroot": "1"}}, "differ in hooks.d: base/new.chroot"),
        ({"tools": {"live-build": "2"}}, "differ in tools: live-build"),
        ({"config": {"suite": "bookworm"}}, "differ in configuration: suite"),
        ({"source_date_epoch": 5}, "SOURCE_DATE_EPOCH 1700000000 and 5"),
    ],
)
def test_builds_made_of_something_else_are_refused(
    one: Path, tmp_path: Path, more: dict[str, Any], expected: str
) -> None:
    two = job(tmp_path / "two", {"tarball": {"livecd.debian.tar.xz": b"t"}}, **more)
    with pytest.raises(PipelineError, match=expected) as caught:
        join(find([one, two]), tmp_path / "all")
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)
    assert not (tmp_path / "all").exists()


def test_how_a_machine_went_about_it_may_differ(one: Path, tmp_path: Path) -> None:
    two = job(tmp_path / "two", {"tarball": {"livecd.debian.tar.xz": b"t"}}, config={"jobs": 7, "store": "/elsewhere"})
    assert join(find([one, two]), tmp_path / "all").status == "done"


def test_a_step_that_differs_is_named_with_its_input(tmp_path: Path) -> None:
    steps = [layer(k, "chroot base/motd.chroot", inputs={"hook": k, "config": "c"}, targets=(k,)) for k in "cd"]
    folders = [
        job(tmp_path / name, {name: {f"livecd.debian.{name}": b"t"}}, layers=(step,))
        for name, step in zip(("one", "two"), steps, strict=True)
    ]
    with pytest.raises(PipelineError, match=r"differ in the step chroot base/motd\.chroot: hook"):
        join(find(folders), tmp_path / "all")


def test_steps_that_differ_by_image_target_alone_are_meant_to(tmp_path: Path) -> None:
    steps = [layer(k, "binary base/x.binary", inputs={"environment IMAGE_TARGET": k}, targets=(k,)) for k in "cd"]
    folders = [
        job(tmp_path / name, {name: {f"livecd.debian.{name}": b"t"}}, layers=(step,))
        for name, step in zip(("one", "two"), steps, strict=True)
    ]
    assert len(join(find(folders), tmp_path / "all").layers) == 3


def test_different_files_of_one_name_are_refused(one: Path, tmp_path: Path) -> None:
    two = job(tmp_path / "two", {"tarball": {"livecd.debian.shared": b"other"}})
    with pytest.raises(PipelineError, match=r"livecd\.debian\.shared: .*one and .*two made different files"):
        join(find([one, two]), tmp_path / "all")


def test_a_file_damaged_or_lost_on_its_way(one: Path, tmp_path: Path) -> None:
    (one / "livecd.debian.squashfs").write_bytes(b"S")
    with pytest.raises(PipelineError, match="its record says"):
        join(find([one]), tmp_path / "all")
    (one / "livecd.debian.squashfs").unlink()
    with pytest.raises(PipelineError, match="not there"):
        join(find([one]), tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_missing_targets_are_named(one: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no job has built iso, wsl"):
        join(find([one]), tmp_path / "all", expected=["squashfs", "iso", "wsl"])


def test_a_second_job_may_have_mended_what_failed_in_the_first(tmp_path: Path) -> None:
    bad = job(tmp_path / "bad", {"iso": {}}, status="failed")
    good = job(tmp_path / "good", {"iso": {"livecd.debian.iso": b"i"}})
    record = join(find([bad, good]), tmp_path / "all")
    assert (record.status, [a.file for t in record.targets for a in t.artefacts]) == ("done", ["livecd.debian.iso"])


def test_where_builds_are_found(one: Path, tmp_path: Path) -> None:
    (tmp_path / "project/builds/new").mkdir(parents=True)
    one.rename(tmp_path / "project/builds/new/x")
    (tmp_path / "project/builds/latest").symlink_to("new/x")
    assert len(find([tmp_path / "project"])) == 1
    assert len(find([tmp_path / "project/builds/new"])) == 1
    with pytest.raises(ConfigError, match="holds no build"):
        find([tmp_path / "project/builds/new/x/logs"])
    (tmp_path / "project/builds/new/x" / RECORD_NAME).write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        find([tmp_path / "project"])


def test_the_command(one: Path, tmp_path: Path) -> None:
    matrix = tmp_path / "matrix.json"
    matrix.write_text(json.dumps({"include": [{"name": "squashfs", "targets": "squashfs", "weight": 1}]}))
    words = [str(one), "--output", str(tmp_path / "all"), "--matrix", str(matrix)]
    said = CliRunner().invoke(collect, words, catch_exceptions=False)
    assert said.exit_code == 0
    assert "livecd.debian.squashfs" in said.stdout
    matrix.write_text("[]")
    with pytest.raises(ConfigError, match="no output of ci-matrix"):
        CliRunner().invoke(collect, words, catch_exceptions=False)


def test_the_command_names_what_is_not_done(tmp_path: Path) -> None:
    bad = job(tmp_path / "bad", {"iso": {}}, status="failed")
    said = CliRunner().invoke(collect, [str(bad), "--output", str(tmp_path / "all")], catch_exceptions=False)
    assert said.exit_code == 1
    assert "not done: iso" in said.output
