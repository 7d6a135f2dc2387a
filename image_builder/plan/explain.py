"""For each layer: build it or take it from the store, and why. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from image_builder.plan.tree import Node

# The steps whose results a target hands over: its root's manifest, and what the binary phase made.
RESULTS = frozenset({"finish", "image", "binary", "pack"})


@dataclass(frozen=True)
class Decision:
    """What happens to one layer. action: "build", "reuse" or "skip" (nobody needs it)."""

    node: Node
    action: str
    reason: str


def decide(
    roots: Sequence[Node],
    is_stored: Callable[[str], bool],
    before: Callable[[str], Mapping[str, str] | None],
) -> list[Decision]:
    """Decide for every node, lower before higher.

    is_stored: is there a layer of this key? before: the inputs the step at this place had last time.
    A layer nobody hands over is not rebuilt when all that stands on it is stored.
    """
    decisions: list[Decision] = []
    for root in roots:
        _decide(root, is_stored, before, decisions)
    return decisions


def _decide(
    node: Node,
    is_stored: Callable[[str], bool],
    before: Callable[[str], Mapping[str, str] | None],
    decisions: list[Decision],
) -> None:
    at = len(decisions)
    for child in node.children:
        _decide(child, is_stored, before, decisions)
    above = decisions[at:]
    if is_stored(node.key):
        decision = Decision(node, "reuse", f"stored as {node.key[:12]}")
    elif node.spec.kind not in RESULTS and node.children and not any(d.action == "build" for d in above):
        decision = Decision(node, "skip", "not stored, and all that stands on it is")
    else:
        decision = Decision(node, "build", why(node, before))
    decisions.insert(at, decision)


def narrowed(decisions: Sequence[Decision], wanted: Collection[Node], reason: str) -> list[Decision]:
    """The same decisions for these nodes and what is below them; all others are skipped, with this reason."""
    needed = {below for node in wanted for below in node.stack()}
    missing = {node for node in wanted if not any(d.node is node and d.action == "reuse" for d in decisions)}
    to_build = {below for node in missing for below in node.stack()}
    found = []
    for decision in decisions:
        if decision.node not in needed:
            found.append(Decision(decision.node, "skip", reason))
        elif decision.action == "skip" and decision.node in to_build:
            found.append(Decision(decision.node, "build", "not stored, and needed now"))
        else:
            found.append(decision)
    return found


def why(node: Node, before: Callable[[str], Mapping[str, str] | None]) -> str:
    """Why this layer is not there: "never built", or which input is another one than last time."""
    then = before(node.path)
    if then is None:
        return "never built"
    now = {**node.spec.inputs, "the step below": node.parent.key if node.parent else ""}
    changed = [name for name in sorted({*then, *now}) if then.get(name) != now.get(name)]
    if changed == ["the step below"] and node.parent:
        return f"{node.parent.spec.name} changed"
    if not changed:
        return "no longer stored"
    return "changed: " + ", ".join(name for name in changed if name != "the step below")


def remembered(node: Node) -> dict[str, str]:
    """What to keep of a node for the next build's `why`."""
    return {**node.spec.inputs, "the step below": node.parent.key if node.parent else ""}
