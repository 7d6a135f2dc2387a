"""What `image-builder mirror` takes from a plan; that it fetches is shown in tests/proxy/test_mirror.py."""

from __future__ import annotations

from types import SimpleNamespace

from image_builder.apt.solution import Package, Solution
from image_builder.cli.mirror import packages_of, unforeseen
from image_builder.plan.explain import Decision
from image_builder.plan.tree import StepSpec, grow


def package(name: str, uri: str = "http://archive/pool") -> Package:
    return Package(name, "amd64", "1", name * 64, 1, f"{uri}/{name}.deb")


BASE = Solution((package("a"),))
MORE = Solution((package("b"), package("c", "file:/packages")), (), BASE)


def step(kind: str, solution: Solution | None) -> StepSpec:
    return StepSpec(kind, kind, {"kind": kind}, work=SimpleNamespace(solution=solution))


def plan(*steps: StepSpec) -> SimpleNamespace:
    (root,) = grow({"target": list(steps)})
    return SimpleNamespace(decisions=[Decision(node, "reuse", "stored") for node in root.walk()])


def test_all_that_the_steps_install_also_where_a_layer_is_stored() -> None:
    made = plan(step("base", BASE), step("prepare", None), step("packages", MORE))
    assert [p.name for p in packages_of(made)] == ["a", "b"]  # type: ignore[arg-type]
    assert unforeseen(made) == []  # type: ignore[arg-type]


def test_what_a_step_stands_on_counts_too() -> None:
    assert [p.name for p in packages_of(plan(step("packages", MORE)))] == ["a", "b"]  # type: ignore[arg-type]


def test_steps_whose_packages_nobody_can_foresee() -> None:
    assert unforeseen(plan(step("base", BASE), step("packages", None))) == ["packages"]  # type: ignore[arg-type]
