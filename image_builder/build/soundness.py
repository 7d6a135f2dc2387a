"""Looks at stored layers before anything is built on them: one that is not as it was made is made anew."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from image_builder.build.prepare import Plan
from image_builder.build.progress import Progress
from image_builder.errors import SurroundingsError
from image_builder.layers import Layer, Store
from image_builder.layers.layer import read
from image_builder.plan.explain import RESULTS, Decision
from image_builder.plan.tree import Node

SHOWN = 3  # differences, in a warning


def settled(plan: Plan, store: Store, progress: Progress) -> Plan:
    """The plan, with every layer it reuses found as it was put in: by names, types, modes, owners, sizes and times.

    A damaged one is removed from the store with a warning, and in the plan to be built. Raises SurroundingsError for a
    damaged tool root, PipelineError for a damaged layer another build uses.
    """
    seen: set[str] = set()
    _tools(plan, store)
    while damaged := _damaged(plan, store, seen):
        warnings = []
        for node, layer, found in damaged:
            store.set_aside(layer)
            progress.note(node, "its layer in the store was damaged, so it is made anew")
            what = f"its layer {layer.directory} was damaged, so it is made anew: {_shortly(found)}"
            warnings.append(f"{node.spec.name}: {what}")
        decisions = again(plan.decisions, {node for node, _, _ in damaged})
        plan = replace(plan, decisions=decisions, warnings=(*plan.warnings, *warnings))
    return plan


def again(decisions: Sequence[Decision], damaged: Collection[Node]) -> list[Decision]:
    """The decisions, with the damaged layers to be built, and what they need below them."""
    needed = {below for node in damaged for below in node.stack()}
    found = []
    for decision in decisions:
        if decision.node in damaged:
            found.append(Decision(decision.node, "build", "the stored one was damaged"))
        elif decision.action == "skip" and decision.node in needed:
            found.append(Decision(decision.node, "build", "not stored, and needed now"))
        else:
            found.append(decision)
    return found


def _damaged(plan: Plan, store: Store, seen: set[str]) -> list[tuple[Node, Layer, list[str]]]:
    found = ((node, layer, store.damage(layer)) for node, layer in _used(plan, store, seen))
    return [(node, layer, what) for node, layer, what in found if what]


def _shortly(found: Sequence[str]) -> str:
    return "; ".join(found[:SHOWN]) + (f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def _used(plan: Plan, store: Store, seen: set[str]) -> Iterator[tuple[Node, Layer]]:
    """The layers steps of this plan stand on, and those it hands over; each once."""
    to_build = {decision.node.key for decision in plan.decisions if decision.action == "build"}
    for decision in plan.decisions:
        node = decision.node
        if decision.action != "reuse" or node.key in seen:
            continue
        if node.spec.kind in RESULTS or any(above.key in to_build for above in node.walk()):
            seen.add(node.key)
            if (layer := store.get(node.key)) is not None:
                yield node, layer


def _tools(plan: Plan, store: Store) -> None:
    """Look at the tool root, which everything in this plan was asked of already."""
    layer, _ = read(plan.tools.path.parent)
    if layer is None or not (found := store.damage(layer)):
        return
    store.set_aside(layer)
    raise SurroundingsError(
        f"the tool root was damaged, so it is removed: {_shortly(found)}",
        where=layer.directory,
        hint="the same command makes it anew",
    )
