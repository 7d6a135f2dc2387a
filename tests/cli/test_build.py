"""What `build` and `plan` print, and the exit status of a build."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from finished_build_fixtures import build_record, layer_record, lock

from image_builder.build.pipeline import Result
from image_builder.build.prepare import Plan
from image_builder.build.progress import Progress
from image_builder.build.record import ArtefactRecord, BuildRecord, TargetRecord
from image_builder.cli.build import carry_out, show_plan, show_table
from image_builder.config import BuildConfig
from image_builder.errors import PipelineError, SurroundingsError
from image_builder.lock import Lock
from image_builder.plan.explain import Decision
from image_builder.plan.tree import Node, StepSpec, grow


def plan(chains: Mapping[str, str], actions: Mapping[str, str], **more: Any) -> Plan:
    """chains: target -> names of its steps. actions: step -> what happens to it, "reuse" where not said."""
    roots = grow(
        {t: [StepSpec("binary", word, {"name": word}) for word in words.split()] for t, words in chains.items()}
    )

    def decision(node: Node) -> Decision:
        action = actions.get(node.spec.name, "reuse")
        return Decision(node, action, f"why {node.spec.name}")

    decisions = [decision(node) for root in roots for node in root.walk()]
    targets = [SimpleNamespace(name=name) for name in chains]
    return SimpleNamespace(  # type: ignore[return-value]
        roots=roots, decisions=decisions, targets=targets, lock=lock(), warnings=(), config=BuildConfig(),
        narrowed=False, **more,
    )  # fmt: skip


CHAINS = {"disk": "base disk", "qcow2": "base disk qcow2", "wsl": "base wsl"}


def test_a_plan_is_a_tree_with_reasons_and_where_targets_end(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(plan(CHAINS, {"qcow2": "build", "wsl": "skip"}), as_json=False)
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "base: reuse (why base)",
        "  disk: reuse (why disk)  -> disk",
        "    qcow2: build (why qcow2)  -> qcow2",
        "  wsl: skip (why wsl)  -> wsl",
    ]
    assert err == "4 layers, 1 to build\n"


def test_a_plan_as_json_has_every_layer(capsys: pytest.CaptureFixture[str]) -> None:
    made = plan(CHAINS, {"qcow2": "build"})
    show_plan(made, as_json=True)
    out, err = capsys.readouterr()
    value = json.loads(out)
    assert (value["targets"], err) == (["disk", "qcow2", "wsl"], "")
    layers = {layer["name"]: layer for layer in value["layers"]}
    assert layers["qcow2"] == {
        "name": "qcow2", "kind": "binary", "key": made.decisions[2].node.key, "targets": ["qcow2"],
        "below": layers["disk"]["key"], "action": "build", "reason": "why qcow2",
    }  # fmt: skip
    assert layers["base"]["below"] is None


def record(targets: Sequence[TargetRecord], *, status: str = "done", actions: Mapping[str, str] = {}) -> BuildRecord:
    layers = tuple(layer_record(key, action=action) for key, action in actions.items())
    return build_record(status=status, targets=tuple(targets), layers=layers)


DONE = TargetRecord(
    name="disk", status="done", layers=("a", "b", "c"), seconds=3.2,
    artefacts=(
        ArtefactRecord(file="livecd.debian.img", size_bytes=3 << 20, sha256="0" * 64),
        ArtefactRecord(file="livecd.debian.vmlinuz", size_bytes=10, sha256="0" * 64),
    ),
)  # fmt: skip
FAILED = TargetRecord(name="wsl", status="failed", layers=("a",), seconds=0, error="broke")


def test_the_table_has_target_artefact_size_time_and_what_was_reused(capsys: pytest.CaptureFixture[str]) -> None:
    made = record([DONE, FAILED], status="failed", actions={"a": "reused", "b": "reused", "c": "built"})
    show_table(Result(Path("/b/1"), made, ()))
    assert capsys.readouterr().out.splitlines() == [
        "target  artefact               size    time   reused",
        "disk    livecd.debian.img      3.0 MB  3.2 s  2 of 3 layers",
        "        livecd.debian.vmlinuz  10 B",
        "wsl     failed                         0.0 s  1 of 1 layers",
        "/b/1: failed in 12.3 s",
    ]


def outcome(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, errors: Sequence[Exception], *, as_json: bool = False, **more: Any
) -> int:
    """The exit status of a build that ended with these errors."""
    status = "failed" if errors else "done"
    made = Result(tmp_path, record([DONE, FAILED] if errors else [DONE], status=status), tuple(errors))
    monkeypatch.setattr("image_builder.build.pipeline.build", lambda *_: made)
    monkeypatch.setattr("image_builder.cli.build.unchanged", lambda _: more.get("before"))
    new = plan(CHAINS, {}, lock_is_new=more.get("lock_is_new", False), lock_path=tmp_path / "image-builder.lock")
    return carry_out(new, None, Progress(stream=io.StringIO()), as_json=as_json)  # type: ignore[arg-type]


BROKE = PipelineError("the hook failed", where="binary base/wsl.binary", hint="look")
NO_SPACE = SurroundingsError("no space left on the disk", where="binary base/disk.binary")


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([BROKE], 1, id="a hook"),
        pytest.param([NO_SPACE, NO_SPACE], 3, id="the surroundings"),
        pytest.param([NO_SPACE, BROKE], 1, id="both: trying again would not help"),
    ],
)
def test_exit_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    errors: list[Exception],
    status: int,
) -> None:
    assert outcome(monkeypatch, tmp_path, errors) == status
    out, err = capsys.readouterr()
    assert out.startswith("target "), "the table is what was asked for"
    for error in errors:
        assert f"error: {error}" in err
    assert ("failed: wsl; when mended, the same command goes on" in err) is bool(errors)


def test_a_bug_in_a_step_is_raised_after_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(ZeroDivisionError):
        outcome(monkeypatch, tmp_path, [BROKE, ZeroDivisionError("a bug")])
    assert "livecd.debian.img" in capsys.readouterr().out


def test_json_is_the_record_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert outcome(monkeypatch, tmp_path, [], as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["targets"][0]["name"] == "disk"


def test_a_build_with_nothing_to_do_does_nothing_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = (Path("/builds/1"), record([DONE]))
    assert outcome(monkeypatch, tmp_path, [BROKE], before=before) == 0
    assert capsys.readouterr() == ("", "nothing to do: /builds/1 is what this build would give\n")
    assert outcome(monkeypatch, tmp_path, [BROKE], before=before, as_json=True) == 0
    assert BuildRecord.model_validate_json(capsys.readouterr().out) == before[1]


def test_a_new_lock_is_kept_before_the_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcome(monkeypatch, tmp_path, [BROKE])
    assert Lock.read(tmp_path / "image-builder.lock") is None
    outcome(monkeypatch, tmp_path, [BROKE], lock_is_new=True)
    assert Lock.read(tmp_path / "image-builder.lock") == lock()
