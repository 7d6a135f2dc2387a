"""From stored layers to a build's folder: artefacts, checksums, manifests, record; and when there is nothing to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from finished_build_fixtures import AT, Ground, lock

from image_builder.build.folder import new_folder, unchanged
from image_builder.build.record import schema


def listed(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_build_leaves_one_folder_with_all_of_it(ground: Ground) -> None:
    result = ground.build({"disk": {"livecd.debian.img": "disk"}, "wsl": {"livecd.debian.wsl": "wsl", "notes": "x"}})
    assert listed(result.folder) == [
        "SHA256SUMS", "build-record.json", "chart.svg", "disk.files", "disk.manifest", "livecd.debian.img",
        "livecd.debian.wsl", "logs", "report.html", "wsl.files", "wsl.manifest",
    ]  # fmt: skip
    assert (result.folder / "SHA256SUMS").read_text() == "".join(
        f"{hashlib.sha256(text).hexdigest()}  livecd.debian.{name}\n"
        for name, text in (("img", b"disk"), ("wsl", b"wsl"))
    )
    assert (result.folder / "disk.manifest").read_text() == "vim\t1\n"
    assert (ground.project / "builds/latest").resolve() == result.folder
    assert result.errors == ()


def test_its_record_says_what_became_of_every_target_and_layer(ground: Ground) -> None:
    result = ground.build({"disk": {"livecd.debian.img": "disk"}})
    record = json.loads((result.folder / "build-record.json").read_text())
    jsonschema.validate(record, schema())
    assert (record["status"], record["warnings"], record["source_date_epoch"]) == ("done", ["of the plan"], 1700000000)
    (target,) = record["targets"]
    assert target["artefacts"] == [
        {"file": "livecd.debian.img", "size_bytes": 4, "sha256": hashlib.sha256(b"disk").hexdigest(), "tree_sha256": ""}
    ]
    assert (target["manifest"], target["files"]) == ("disk.manifest", "disk.files")
    layers = {layer["name"]: layer for layer in record["layers"]}
    assert {name: layer["action"] for name, layer in layers.items()} == {
        "base": "skipped", "finish": "reused", "binary disk": "reused",
    }  # fmt: skip
    assert layers["binary disk"]["below"] == layers["finish"]["key"] == target["layers"][1]
    assert layers["binary disk"]["source_date_epoch"] == 1700000000


def test_what_is_not_provided_is_not_delivered(ground: Ground) -> None:
    result = ground.build(
        {"disk": {"livecd.debian.img": "1", "livecd.debian.ext4": "2"}}, {"disk": ("livecd.debian.img",)}
    )
    assert [a.file for a in result.record.targets[0].artefacts] == ["livecd.debian.img"]
    assert not (result.folder / "livecd.debian.ext4").exists()


def test_what_is_declared_and_not_made_is_an_error_of_that_target_alone(ground: Ground) -> None:
    result = ground.build(
        {"disk": {"livecd.debian.img": "1"}, "wsl": {"livecd.debian.wsl": "2"}}, {"wsl": ("livecd.debian.wls",)}
    )
    assert {t.name: t.status for t in result.record.targets} == {"disk": "done", "wsl": "failed"}
    (error,) = result.errors
    assert "target wsl: declares livecd.debian.wls by `provides`, but no hook made it" in str(error)
    assert result.record.status == "failed"
    assert (result.folder / "livecd.debian.img").exists(), "good targets are delivered"


@pytest.mark.parametrize(
    ("made", "left_out", "who"),
    [
        pytest.param(None, {}, "binary disk", id="a hook that did nothing"),
        pytest.param({}, {"disk": ("base/arm.binary",)}, "base/arm.binary", id="a hook of another architecture"),
    ],
)
def test_what_a_hook_declined_to_make_is_a_warning(
    ground: Ground, made: Mapping[str, str] | None, left_out: Mapping[str, tuple[str, ...]], who: str
) -> None:
    result = ground.build({"disk": made}, {"disk": ("livecd.debian.img",)}, left_out)
    assert (result.errors, result.record.status) == ((), "done")
    assert result.record.warnings == ("of the plan", f"disk: livecd.debian.img was not made: {who} declined")


def test_nothing_is_missing_where_no_image_was_asked_for(ground: Ground) -> None:
    assert ground.build({"disk": {}}, {"disk": ("livecd.debian.img",)}, image_format="none").errors == ()


def test_two_files_of_one_name_are_an_error_and_neither_is_delivered(ground: Ground) -> None:
    result = ground.build({"a": {"livecd.debian.img": "1"}, "b": {"livecd.debian.img": "2"}})
    assert "livecd.debian.img: a and b made different files" in str(result.errors[0])
    assert not (result.folder / "livecd.debian.img").exists()


def test_a_build_that_changes_nothing_is_known_to(ground: Ground) -> None:
    plan = ground.plan({"disk": {"livecd.debian.img": "disk"}})
    assert unchanged(plan) is None, "there is no build yet"
    result = ground.carry_out(plan)
    assert unchanged(plan) == (result.folder, result.record)


@pytest.mark.parametrize(
    "change", ["a file is gone", "a file is cut", "a layer to build", "another lock", "another target", "it failed"]
)
def test_a_build_that_changes_anything_is_not(ground: Ground, change: str) -> None:
    outputs = {"disk": {"livecd.debian.img": "disk"}}
    plan = ground.plan(outputs)
    if change == "it failed":
        plan = replace(plan, provides={"disk": ("livecd.debian.other",)})
    folder = ground.carry_out(plan).folder
    if change == "a file is gone":
        (folder / "livecd.debian.img").unlink()
    elif change == "a file is cut":
        (folder / "livecd.debian.img").write_text("di")
    elif change == "a layer to build":
        plan = replace(plan, decisions=[replace(plan.decisions[0], action="build")])
    elif change == "another lock":
        plan = replace(plan, lock=lock("1"))
    elif change == "another target":
        plan = ground.plan({**outputs, "wsl": {}})
    assert unchanged(plan) is None


def test_builds_of_one_second_have_folders_of_their_own(ground: Ground) -> None:
    plan = ground.plan({"disk": {}})
    assert [new_folder(plan, AT).name for _ in range(3)] == [
        "2026-09-12T07.55.41Z", "2026-09-12T07.55.41Z-2", "2026-09-12T07.55.41Z-3",
    ]  # fmt: skip
