"""From stored layers to a build's folder: artefacts, checksums, manifests, record; and when there is nothing to do."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from image_builder.artifacts.collect import found_in
from image_builder.build.folder import new_folder, unchanged
from image_builder.build.pipeline import Result, build
from image_builder.build.prepare import Plan
from image_builder.build.progress import Progress
from image_builder.build.record import schema
from image_builder.config import BuildConfig
from image_builder.layers import Construction, Layer, Store, background
from image_builder.live_build.tool_root import ToolRoot
from image_builder.lock import ArchivePin, Lock
from image_builder.plan.explain import Decision
from image_builder.plan.tree import Node, StepSpec, grow
from image_builder.series.resolve import Target

AT = datetime(2026, 9, 12, 7, 55, 41, tzinfo=UTC)
PIN = ArchivePin.model_validate(
    {
        "uri": "http://m",
        "suite": "trixie",
        "codename": "trixie",
        "components": ["main"],
        "architectures": ["amd64"],
        "inrelease_sha256": "0" * 64,
        "date": AT,
        "signer": "A" * 40,
        "from": "http://m/dists/trixie/InRelease",
    }
)
LOCK = Lock(created=AT, archives=(PIN,))


def decision(node: Node) -> Decision:
    if node.spec.kind == "base":
        return Decision(node, "skip", "not needed")
    return Decision(node, "reuse", f"stored as {node.key[:12]}")


class Ground:
    """A store of finished layers and the plan that needs them.

    outputs: target -> what its binary hook left, name -> content; None: the hook declined.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(folder / "store")
        self.project = folder / "project"
        self.project.mkdir()

    def layer(self, key: str, files: Mapping[str, str], **meta: Any) -> Layer:
        with self.store.building(key) as place:
            if isinstance(place, Layer):
                return place
            assert isinstance(place, Construction)
            for name, text in files.items():
                (place.diff / name).write_text(text)
            return place.commit({**meta, "artefacts": found_in(place.diff)})

    def plan(
        self,
        outputs: Mapping[str, Mapping[str, str] | None],
        provides: Mapping[str, tuple[str, ...]] = {},
        left_out: Mapping[str, tuple[str, ...]] = {},
        **settings: Any,
    ) -> Plan:
        chains = {
            target: [
                StepSpec("base", "base", {"a": "1"}),
                StepSpec("finish", "finish", {"a": "1"}),
                StepSpec("binary", f"binary {target}", {"made": json.dumps(made)}, hooks=(f"base/{target}.binary",)),
            ]
            for target, made in outputs.items()
        }
        roots = grow(chains)
        nodes = [node for root in roots for node in root.walk()]
        for node in nodes:
            said = {"kind": node.spec.kind, "name": node.spec.name, "source_date_epoch": "1700000000"}
            if node.spec.kind == "finish":
                files = {"chroot.packages.live": "vim\t1\n", "chroot.files": "/etc/motd\n"}
                self.layer(node.key, files, **said)
            elif node.spec.kind == "binary":
                made = json.loads(node.spec.inputs["made"])
                self.layer(node.key, made or {}, **said, declined=made is None)
        return Plan(
            config=BuildConfig(architecture="amd64", **settings),
            project_dir=self.project,
            hooks_d=self.project / "hooks.d",
            targets=tuple(Target(t, f"base/series/{t}", "", (), (), {}, ()) for t in outputs),
            provides={t: provides.get(t, ()) for t in outputs},
            left_out=left_out,
            archive=SimpleNamespace(blobs=None),  # type: ignore[arg-type]
            tools=ToolRoot(Path("/nonexistent"), "digest", "1:20250505"),
            lock=LOCK,
            lock_is_new=False,
            lock_path=self.project / "image-builder.lock",
            epoch=1700000000,
            roots=roots,
            decisions=[decision(node) for node in nodes],
            warnings=("of the plan",),
        )  # fmt: skip

    def build(self, *args: Any, **options: Any) -> Result:
        return self.carry_out(self.plan(*args, **options))

    def carry_out(self, plan: Plan) -> Result:
        return build(plan, self.store, Progress(stream=io.StringIO()), threading.Event())


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setattr(background, "DIGESTS_S", 0.0)  # computed when idle, which the machine is not
    ground = Ground(tmp_path)
    with ground.store:
        yield ground


def listed(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_build_leaves_one_folder_with_all_of_it(ground: Ground) -> None:
    result = ground.build({"disk": {"livecd.debian.img": "disk"}, "wsl": {"livecd.debian.wsl": "wsl", "notes": "x"}})
    assert listed(result.folder) == [
        "SHA256SUMS", "build-record.json", "disk.files", "disk.manifest", "livecd.debian.img", "livecd.debian.wsl",
        "logs", "wsl.files", "wsl.manifest",
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
        {"file": "livecd.debian.img", "size_bytes": 4, "sha256": hashlib.sha256(b"disk").hexdigest()}
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
        pin = PIN.model_copy(update={"inrelease_sha256": "1" * 64})
        plan = replace(plan, lock=LOCK.model_copy(update={"archives": (pin,)}))
    elif change == "another target":
        plan = ground.plan({**outputs, "wsl": {}})
    assert unchanged(plan) is None


def test_builds_of_one_second_have_folders_of_their_own(ground: Ground) -> None:
    plan = ground.plan({"disk": {}})
    assert [new_folder(plan, AT).name for _ in range(3)] == [
        "2026-09-12T07.55.41Z", "2026-09-12T07.55.41Z-2", "2026-09-12T07.55.41Z-3",
    ]  # fmt: skip
