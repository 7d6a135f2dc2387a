"""A lock, build records, and builds whose layers are all in the store, for tests of what is done with them."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from image_builder.artifacts.collect import found_in
from image_builder.build.pipeline import Result, build
from image_builder.build.prepare import Plan
from image_builder.build.progress import Progress
from image_builder.build.record import BuildRecord, LayerRecord
from image_builder.build.seeds import Snaps
from image_builder.config import BuildConfig
from image_builder.layers import Construction, Layer, Store, background
from image_builder.live_build.tool_root import ToolRoot
from image_builder.lock import ArchivePin, Lock
from image_builder.plan.explain import Decision
from image_builder.plan.tree import Node, StepSpec, grow
from image_builder.series.resolve import Target

AT = datetime(2026, 9, 12, 7, 55, 41, tzinfo=UTC)


def lock(digit: str = "0") -> Lock:
    """One suite pinned to an InRelease whose SHA-256 is this digit 64 times."""
    pin = {
        "uri": "http://m", "suite": "trixie", "codename": "trixie", "components": ["main"], "architectures": ["amd64"],
        "inrelease_sha256": digit * 64, "date": AT, "signer": "A" * 40, "from": "http://m/dists/trixie/InRelease",
    }  # fmt: skip
    return Lock(created=AT, archives=(ArchivePin.model_validate(pin),))


def layer_record(name: str, **more: Any) -> LayerRecord:
    """A layer that was built, with no other below it, unless told otherwise."""
    plain = {"key": name, "name": name, "kind": "binary", "below": None, "targets": (), "action": "built"}
    return LayerRecord.model_validate({**plain, "reason": "never built", **more})


def build_record(**more: Any) -> BuildRecord:
    """A build that is done and made nothing, unless told otherwise."""
    plain = {
        "started": "2026-09-12T08:00:00Z", "seconds": 12.34, "status": "done", "lock": lock(),
        "asked": BuildConfig(architecture="amd64").model_dump(mode="json"), "source_date_epoch": 1700000000,
        "tools": {"live-build": "1:20250505"}, "targets": (), "layers": (),
    }  # fmt: skip
    return BuildRecord.model_validate({**plain, **more})


def _decision(node: Node) -> Decision:
    if node.spec.kind == "base":
        return Decision(node, "skip", "not needed")
    return Decision(node, "reuse", f"stored as {node.key[:12]}")


class Ground:
    """A store of finished layers, and plans that need them.

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
            archive=SimpleNamespace(blobs=None, addresses=None),  # type: ignore[arg-type]
            snaps=Snaps(BuildConfig(), self.project, self.project / "downloads", Progress(quiet=True)),
            tools=ToolRoot(Path("/nonexistent"), "digest", "1:20250505"),
            lock=lock(),
            lock_is_new=False,
            lock_path=self.project / "image-builder.lock",
            epoch=1700000000,
            roots=roots,
            decisions=[_decision(node) for node in nodes],
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
