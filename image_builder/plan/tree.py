"""The prefix tree of steps: what targets have in common is one branch, where they part it forks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StepSpec:
    """One step of one target, before it has a place in the tree.

    inputs: everything that can change its result, name -> value or digest; with the key of the step
    below it makes the key, and its names are what `explain` speaks of.
    """

    kind: str  # base prepare early packages chroot finish image binary pack
    name: str  # what the user sees: "chroot base/kernel.chroot"
    inputs: Mapping[str, str]
    hooks: tuple[str, ...] = ()  # paths below hooks.d
    image: str = "none"  # what live-build makes for it: "none", "iso-hybrid", "netboot"
    work: Any = field(default=None, compare=False, repr=False)  # what carries it out; the plan does not look inside


@dataclass(eq=False)
class Node:
    """A step in its place: key, the step below, and who needs it."""

    spec: StepSpec
    key: str
    parent: Node | None
    targets: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Names from the root down: the same place in two builds, whatever their keys."""
        return self.spec.name if self.parent is None else f"{self.parent.path} / {self.spec.name}"

    def stack(self) -> list[Node]:
        """This node and all below it, lowest first."""
        below = [] if self.parent is None else self.parent.stack()
        return [*below, self]

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()


def key_of(parent: str | None, spec: StepSpec) -> str:
    """SHA-256 (hex) of the step below and of everything that can change the step's result."""
    said = {"below": parent, "kind": spec.kind, "image": spec.image, "inputs": dict(sorted(spec.inputs.items()))}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def grow(chains: Mapping[str, Sequence[StepSpec]]) -> list[Node]:
    """Join the targets' chains of steps into trees; targets keep their order.

    chains: target -> its steps, lowest first. Steps are the same when their keys are.
    """
    roots: list[Node] = []
    for target, chain in chains.items():
        siblings, parent = roots, None
        for spec in chain:
            key = key_of(parent.key if parent else None, spec)
            node = next((n for n in siblings if n.key == key), None)
            if node is None:
                node = Node(spec, key, parent)
                siblings.append(node)
            node.targets.append(target)
            siblings, parent = node.children, node
    return roots


def chain(roots: Sequence[Node], target: str) -> list[Node]:
    """A target's own steps, lowest first."""
    nodes: list[Node] = []
    level: Sequence[Node] = roots
    while here := [n for n in level if target in n.targets]:
        nodes.append(here[0])
        level = here[0].children
    return nodes
