"""Chains of steps join into a tree: shared as far as they are the same, forked where they part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.plan.tree import Node, StepSpec, chain, grow, key_of


def step(name: str, kind: str = "chroot", image: str = "none", **inputs: str) -> StepSpec:
    return StepSpec(kind=kind, name=name, inputs=inputs or {"bytes": name}, image=image)


def steps(words: str) -> list[StepSpec]:
    return [step(word) for word in words.split()]


def drawn(nodes: Sequence[Node]) -> Mapping[str, object]:
    """name [targets] -> what stands on it"""
    return {f"{n.spec.name} [{' '.join(n.targets)}]": drawn(n.children) for n in nodes}


def test_what_targets_have_in_common_is_one_branch() -> None:
    roots = grow(
        {
            "squashfs": steps("base packages finish squashfs"),
            "qcow2": steps("base packages kernel finish disk qcow2"),
            "vmdk": steps("base packages kernel finish disk vmdk"),
        }
    )
    assert drawn(roots) == {
        "base [squashfs qcow2 vmdk]": {
            "packages [squashfs qcow2 vmdk]": {
                "finish [squashfs]": {"squashfs [squashfs]": {}},
                "kernel [qcow2 vmdk]": {  # a .chroot line of some targets only forks the tree this early
                    "finish [qcow2 vmdk]": {"disk [qcow2 vmdk]": {"qcow2 [qcow2]": {}, "vmdk [vmdk]": {}}}
                },
            }
        }
    }


def test_the_same_step_on_two_branches_is_two_layers() -> None:
    (base,) = grow({"a": steps("base x finish"), "b": steps("base y finish")})
    left, right = (child.children[0] for child in base.children)
    assert left.spec == right.spec
    assert left.key != right.key


def test_a_target_whose_chain_is_the_beginning_of_another_ends_inside_it() -> None:
    roots = grow({"long": steps("base disk qcow2"), "short": steps("base disk")})
    assert drawn(roots) == {"base [long short]": {"disk [long short]": {"qcow2 [long]": {}}}}
    assert [n.spec.name for n in chain(roots, "short")] == ["base", "disk"]


def test_a_changed_step_changes_the_keys_above_it_and_no_other() -> None:
    def keys(hook: StepSpec) -> dict[str, str]:
        roots = grow({"a": [*steps("base packages"), hook, *steps("finish a")], "b": steps("base packages finish b")})
        return {node.path: node.key for root in roots for node in root.walk()}

    before, after = keys(step("hook", bytes="1")), keys(step("hook", bytes="2"))
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {path for path in before if "hook" in path}
    assert len(changed) == 3


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(step("s", bytes="2"), id="value"),
        pytest.param(step("s", byte="1"), id="name"),
        pytest.param(step("s", bytes="1", more=""), id="one more"),
        pytest.param(step("s", kind="binary", bytes="1"), id="kind"),
        pytest.param(step("s", image="netboot", bytes="1"), id="image"),
    ],
)
def test_everything_said_of_a_step_is_in_its_key(other: StepSpec) -> None:
    assert key_of(None, step("s", bytes="1")) != key_of(None, other)
    assert key_of(None, other) != key_of("0" * 64, other)


def test_what_is_only_for_show_is_not_in_the_key() -> None:
    plain = StepSpec("chroot", "old name", {"a": "1", "b": "2"})
    renamed = StepSpec("chroot", "new name", {"b": "2", "a": "1"}, hooks=("base/x.chroot",), work=object())
    assert key_of(None, plain) == key_of(None, renamed)


def test_a_node_knows_its_place() -> None:
    (base,) = grow({"a": steps("base packages finish")})
    finish = base.children[0].children[0]
    assert finish.path == "base / packages / finish"
    assert [n.spec.name for n in finish.stack()] == ["base", "packages", "finish"]
    assert [n.spec.name for n in base.walk()] == ["base", "packages", "finish"]


CHAINS = st.dictionaries(st.sampled_from("tuvwxyz"), st.lists(st.sampled_from("abc"), min_size=1, max_size=6))


@given(CHAINS)
def test_every_target_keeps_its_own_steps_and_no_step_is_there_twice(chains: dict[str, list[str]]) -> None:
    roots = grow({target: steps(" ".join(names)) for target, names in chains.items()})
    for target, names in chains.items():
        assert [n.spec.name for n in chain(roots, target)] == names
    nodes = [node for root in roots for node in root.walk()]
    assert len({n.key for n in nodes}) == len(nodes)
    assert len(nodes) == len({tuple(names[:n]) for names in chains.values() for n in range(1, len(names) + 1)})
