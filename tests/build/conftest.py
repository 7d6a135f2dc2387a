"""Trees of small steps, and decisions about them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from image_builder.plan.explain import Decision
from image_builder.plan.tree import Node, StepSpec, grow

Grow = Callable[..., dict[str, Node]]


@pytest.fixture
def tree() -> Grow:
    """ "a: base disk", … -> name -> node; kinds: name -> kind, "binary" by default."""

    def tree(*chains: str, **kinds: str) -> dict[str, Node]:
        told = {}
        for line in chains:
            target, _, words = line.partition(":")
            told[target] = [StepSpec(kinds.get(word, "binary"), word, {"name": word}) for word in words.split()]
        return {node.spec.name: node for root in grow(told) for node in root.walk()}

    return tree


@pytest.fixture
def to_build() -> Callable[[dict[str, Node]], list[Decision]]:
    return lambda nodes: [Decision(node, "build", "never built") for node in nodes.values()]
