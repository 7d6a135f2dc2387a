"""Asks apt once, and remembers the answer for later builds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from image_builder.apt.solution import Package, Solution
from image_builder.apt.solve import Context
from image_builder.build import solver
from image_builder.build.solver import StoredSolver
from image_builder.config import BuildConfig
from image_builder.layers import Store


def solution(name: str, below: Solution | None = None) -> Solution:
    return Solution((Package(name, "amd64", "1", "0" * 64, 1, f"http://m/{name}"),), (("gone", "amd64"),), below)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What apt was asked; it answers with a package of that name."""
    said: list[str] = []

    def base(context: Context, suite: str) -> Solution:  # noqa: ARG001
        said.append(suite)
        return solution(suite)

    def packages(
        context: Context, below: Solution, names: Sequence[str], *, recommends: bool, upgrade: bool  # noqa: ARG001
    ) -> Solution:  # fmt: skip
        said.append(f"{' '.join(names)}{' with recommends' if recommends else ''}{' upgraded' if upgrade else ''}")
        return solution("+".join(names) or "upgrade", below)

    monkeypatch.setattr(solver, "solve_base", base)
    monkeypatch.setattr(solver, "solve_packages", packages)
    return said


def make(store: Store, question: str = "lock 1", *, recommends: bool = False, upgrade: bool = False) -> StoredSolver:
    def context() -> Context:
        return None  # type: ignore[return-value]

    return StoredSolver(store, BuildConfig(recommends=recommends), [question], context, upgrade=upgrade)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_an_answer_is_remembered_in_a_build_and_after_it(store: Store, asked: list[str]) -> None:
    first = make(store)
    top = first.on_top(first.base(), ["vim", "curl"])
    again = first.on_top(first.base(), ["vim", "curl"])
    later = make(store)
    recalled = later.on_top(later.base(), ["vim", "curl"])
    assert asked == ["trixie", "vim curl"]
    assert top == again == recalled
    assert recalled.digest == top.digest
    assert recalled.below == first.base()


@pytest.mark.parametrize("other", ["lock", "names", "order", "recommends", "below"])
def test_another_question_is_asked(store: Store, asked: list[str], other: str) -> None:
    first = make(store)
    first.on_top(first.base(), ["vim", "curl"])
    asked.clear()
    second = make(store, "lock 2" if other == "lock" else "lock 1", recommends=other == "recommends")
    below = solution("other") if other == "below" else solution("trixie")
    second.on_top(below, {"names": ["vim"], "order": ["curl", "vim"]}.get(other, ["vim", "curl"]))
    assert len(asked) == 1


def test_nothing_on_top_is_no_question_unless_archives_may_upgrade_the_base(store: Store, asked: list[str]) -> None:
    below = solution("below")
    assert make(store).on_top(below, []) is below
    assert asked == []
    assert make(store, upgrade=True).on_top(below, []).below is below
    assert asked == [" upgraded"]
