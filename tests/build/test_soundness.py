"""Stored layers that are not as they were made are not used."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from finished_build_fixtures import Ground

from image_builder.build.prepare import Plan
from image_builder.build.progress import Progress
from image_builder.build.soundness import again, settled
from image_builder.errors import PipelineError
from image_builder.layers import Layer, Store
from image_builder.plan.explain import Decision


def actions(plan: Plan) -> dict[str, str]:
    return {decision.node.spec.name: decision.action for decision in plan.decisions}


def layer_of(ground: Ground, plan: Plan, name: str) -> Layer:
    key = next(decision.node.key for decision in plan.decisions if decision.node.spec.name == name)
    found = ground.store.get(key)
    assert found is not None
    return found


def settle(ground: Ground, plan: Plan) -> Plan:
    return settled(plan, ground.store, Progress(stream=io.StringIO()))


@pytest.fixture
def plan(ground: Ground) -> Plan:
    return ground.plan({"disk": {"livecd.debian.img": "disk"}, "wsl": {"livecd.debian.wsl": "wsl"}})


def test_sound_layers_leave_the_plan_as_it_is(ground: Ground, plan: Plan) -> None:
    assert settle(ground, plan) is plan


def test_a_damaged_layer_is_removed_and_made_anew_with_what_it_needs(ground: Ground, plan: Plan) -> None:
    layer = layer_of(ground, plan, "binary disk")
    for number in range(5):
        (layer.diff / f"more-{number}").touch()
    now = settle(ground, plan)
    assert actions(now) == {"base": "build", "finish": "reuse", "binary disk": "build", "binary wsl": "reuse"}
    assert not layer.directory.exists()
    told, warning = now.warnings
    assert told == "of the plan"
    assert warning.startswith(f"binary disk: its layer {layer.directory} was damaged, so it is made anew: .: was ")
    assert warning.endswith("more-0: not there at commit; more-1: not there at commit; and 3 more")


def test_a_layer_below_is_looked_at_when_something_is_built_on_it(ground: Ground, plan: Plan) -> None:
    (layer_of(ground, plan, "binary disk").diff / "livecd.debian.img").write_text("another")
    (layer_of(ground, plan, "finish").diff / "chroot.files").write_text("another")
    assert actions(settle(ground, plan))["finish"] == "build"


def test_a_damaged_layer_another_build_uses_stays(ground: Ground, plan: Plan) -> None:
    (layer_of(ground, plan, "binary wsl").diff / "livecd.debian.wsl").write_text("another")
    with Store(ground.store.root) as other:
        layer = layer_of(ground, plan, "binary wsl")
        assert other.get(layer.key)
        with pytest.raises(PipelineError, match="is damaged, and another build uses it"):
            settle(ground, plan)
    assert layer.directory.exists()


def test_what_was_not_asked_for_stays_left_out(plan: Plan) -> None:
    """build --only: decided again from nothing, the rest would be built too."""
    disk, wsl = (d.node for d in plan.decisions if d.node.spec.kind == "binary")
    narrowed = [Decision(d.node, "skip", "not asked for") if d.node is wsl else d for d in plan.decisions]
    now = {d.node.spec.name: d.action for d in again(narrowed, {disk})}
    assert now == {"base": "build", "finish": "reuse", "binary disk": "build", "binary wsl": "skip"}


def test_a_layer_that_is_gone_meanwhile_is_no_damage(ground: Ground, plan: Plan) -> None:
    # In one step, as prune does it: the store's own thread may be writing beside it.
    layer_of(ground, plan, "binary disk").directory.rename(ground.folder / "gone")
    assert settle(ground, plan) is plan
    assert Path(ground.store.root, "layers").is_dir()
