"""Build, reuse or skip, and the reason the user is given."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from image_builder.plan.explain import decide, narrowed, remembered, why
from image_builder.plan.tree import Node, StepSpec, grow

KINDS = {"base": "base", "packages": "packages", "finish": "finish"}


def tree(*targets: str, **inputs: str) -> list[Node]:
    """targets: "a: base packages finish"; steps of no special name are binary ones. inputs: step -> its bytes."""
    chains = {}
    for target in targets:
        name, _, words = target.partition(":")
        chains[name] = [
            StepSpec(KINDS.get(w, "binary"), w, {"name": w, "hook": inputs.get(w, "1")}) for w in words.split()
        ]
    return grow(chains)


def nodes(roots: list[Node]) -> dict[str, Node]:
    return {node.path: node for root in roots for node in root.walk()}


def actions(roots: list[Node], stored: str) -> dict[str, str]:
    """stored: names of steps that are in the store, "*" for all."""
    keys = {n.key for n in nodes(roots).values() if stored == "*" or n.spec.name in stored.split()}
    return {d.node.spec.name: d.action for d in decide(roots, keys.__contains__, lambda _: None)}


LINE = "t: base packages finish disk qcow2"


@pytest.mark.parametrize(
    ("stored", "built", "skipped"),
    [
        pytest.param("", "base packages finish disk qcow2", "", id="nothing stored"),
        pytest.param("*", "", "", id="all stored"),
        pytest.param("base packages finish", "disk qcow2", "", id="goes on from the last finished layer"),
        pytest.param("finish disk qcow2", "", "base packages", id="nobody needs what is below"),
        pytest.param("packages finish disk", "base qcow2", "", id="a step stands on all layers below it"),
        pytest.param("base packages finish qcow2", "disk", "", id="results are handed over, so they are rebuilt"),
        pytest.param("disk qcow2", "base packages finish", "", id="a manifest is a result, and needs all below it"),
    ],
)
def test_what_is_built(stored: str, built: str, skipped: str) -> None:
    made = actions(tree(LINE), stored)
    assert [name for name, action in made.items() if action == "build"] == built.split()
    assert [name for name, action in made.items() if action == "skip"] == skipped.split()
    assert list(made) == LINE.split()[1:], "lower before higher"


def test_one_branch_that_has_to_be_built_needs_what_is_below_both() -> None:
    roots = tree("a: base packages finish x", "b: base packages finish y")
    assert actions(roots, "finish x y") == {
        "base": "skip", "packages": "skip", "finish": "reuse", "x": "reuse", "y": "reuse",
    }  # fmt: skip
    assert actions(roots, "finish x") == {
        "base": "build", "packages": "build", "finish": "reuse", "x": "reuse", "y": "build",
    }  # fmt: skip


def reason(before: list[Node], after: list[Node], path: str) -> str:
    kept = {path: remembered(node) for path, node in nodes(before).items()}
    return why(nodes(after)[path], kept.get)


def test_the_reason_names_the_input_that_changed() -> None:
    before, after = tree("a: base x y", x="1"), tree("a: base x y", x="2")
    assert reason(before, after, "base / x") == "changed: hook"
    assert reason(before, after, "base / x / y") == "x changed"
    assert reason(before, before, "base / x") == "no longer stored"
    assert reason([], after, "base / x") == "never built"


def test_a_step_that_changed_itself_says_so_and_not_what_is_below() -> None:
    assert reason(tree("a: base x"), tree("a: base x", base="2", x="2"), "base / x") == "changed: hook"


def test_inputs_that_came_or_went_are_changes() -> None:
    def one(**inputs: str) -> Node:
        return grow({"a": [StepSpec("base", "base", inputs)]})[0]

    def before(_: str) -> Mapping[str, str]:
        return {"hook": "1", "gone": "1", "the step below": ""}

    assert why(one(hook="1", new="1"), before) == "changed: gone, new"
    assert why(one(hook="1", gone="1"), before) == "no longer stored"


def test_every_decision_has_a_reason() -> None:
    roots = tree(LINE)
    stored = {n.key: n.spec.name for n in nodes(roots).values() if n.spec.name not in ("base", "qcow2")}
    said = {d.node.spec.name: d.reason for d in decide(roots, stored.__contains__, lambda _: None)}
    assert said == {name: f"stored as {key[:12]}" for key, name in stored.items()} | {
        "base": "never built",
        "qcow2": "never built",
    }
    last = nodes(roots)["base / packages / finish / disk / qcow2"]
    said = {d.node.spec.name: d.reason for d in decide(roots, {*stored, last.key}.__contains__, {last.path: {}}.get)}
    assert said["base"] == "not stored, and all that stands on it is"


@pytest.mark.parametrize(
    ("stored", "built", "reused"),
    [
        pytest.param("", "base packages finish disk", "", id="with all that is below it"),
        pytest.param("base packages", "finish disk", "base packages", id="from the last layer there is"),
        pytest.param("base packages finish disk qcow2", "", "base packages finish disk", id="it is there"),
        pytest.param("base packages finish qcow2 x", "disk", "base packages finish", id="it alone"),
        pytest.param("finish qcow2", "base packages disk", "finish", id="what it stands on was not needed before"),
    ],
)
def test_narrowed_to_one_step(stored: str, built: str, reused: str) -> None:
    roots = tree(LINE, "x: base packages finish x")
    keys = {n.key for n in nodes(roots).values() if n.spec.name in stored.split()}
    disk = next(node for node in nodes(roots).values() if node.spec.name == "disk")
    found = {
        d.node.spec.name: d for d in narrowed(decide(roots, keys.__contains__, lambda _: None), [disk], "only disk")
    }
    assert [n for n, d in found.items() if d.action == "build"] == built.split()
    assert [n for n, d in found.items() if d.action == "reuse"] == reused.split()
    assert {found[n].reason for n in ("qcow2", "x")} == {"only disk"}
