"""Chooses what to throw away so that the store fits a size; removes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """Something the store keeps. kind: "layer", "value", "download", "snap", "lists". parent: key of the one below."""

    key: str
    kind: str
    what: str
    size_bytes: int
    last_used: float
    parent: str | None = None


def choose(items: Sequence[Item], max_bytes: int, take: Callable[[Item], bool]) -> list[Item]:
    """Return what has to go, in order: the least recently used first, a layer only after all that stand on it.

    A layer without those below it is useless, one without those above it is not: so the leaves go first, and a
    layer counts as used when something on it was. take: asked once for each item about to go, says whether it may
    (nobody uses it). The rest may stay above max_bytes when what is left is in use.
    """
    total = sum(item.size_bytes for item in items)
    children: dict[str, int] = {}
    for item in items:
        if item.kind == "layer" and item.parent:
            children[item.parent] = children.get(item.parent, 0) + 1
    waiting = sorted(items, key=lambda item: (item.last_used, item.kind, item.key))
    chosen: list[Item] = []
    while total > max_bytes:
        leaf = next((item for item in waiting if not (item.kind == "layer" and children.get(item.key))), None)
        if leaf is None:
            break
        waiting.remove(leaf)
        if not take(leaf):
            continue  # and with it, as it still counts as a child, all below it
        chosen.append(leaf)
        total -= leaf.size_bytes
        if leaf.kind == "layer" and leaf.parent:
            children[leaf.parent] -= 1
    return chosen
