"""A pass before it begins: what is in it, who waits for whom, and what the old archive has to lend."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from image_builder.archive.cycles import feedback
from image_builder.archive.indices.relations import NO_PROFILES, parse, reduced
from image_builder.archive.model import Base, BinaryPackage, SourcePackage
from image_builder.archive.order import Graph, World, build_graph, remaining

BASE_PRIORITIES = frozenset({"required"})
ALWAYS = ("build-essential", "dpkg-dev", "fakeroot", "apt")  # what a build chroot has beside the essential packages


@dataclass(frozen=True)
class PlannedPass:
    """graph: without cycles where `borrowed` may be used. remaining: of each source, in seconds."""

    base: Base
    graph: Graph
    remaining: Mapping[str, float]
    borrowed: frozenset[str]  # sources nobody waits for, since they are in cycles: an older build of theirs is used


def plan_pass(
    sources: Sequence[SourcePackage],
    binaries: Iterable[BinaryPackage],
    *,
    architecture: str,
    base: Base,
    seconds: Mapping[str, float],
    earlier: Collection[str] = (),
    dropped: Collection[tuple[str, str]] = (),
    borrow: bool = True,
    profiles: Set[str] = NO_PROFILES,
) -> PlannedPass:
    """Put a pass in order.

    seconds: expected of each build. earlier: sources with results of an earlier pass, which is what the others use.
    dropped: (source, build dependency) to do without. borrow: break what cycles are left by sources whose older builds
    are used; with base "built" these have to be in the pass before. Without it, sources in cycles wait for ever.
    """
    graph = build_graph(
        sources, binaries, architecture=architecture, profiles=profiles, available=earlier, dropped=dropped
    )
    borrowed = feedback(graph) if borrow and base is not Base.OLD else frozenset()
    graph = without_waiting_for(graph, borrowed)
    return PlannedPass(base, graph, remaining(graph, seconds), borrowed)


def without_waiting_for(graph: Graph, names: Collection[str]) -> Graph:
    """The graph when builds of these sources are there already."""
    first = len(graph.sources)
    there = {node for node, name in enumerate(graph.sources) if name in names}
    if not there:
        return graph
    edges = tuple(
        needs if node < first else tuple(n for n in needs if n not in there) for node, needs in enumerate(graph.edges)
    )
    return replace(graph, edges=edges)


def base_system(
    sources: Sequence[SourcePackage], binaries: Iterable[BinaryPackage], architecture: str
) -> frozenset[str]:
    """The sources of stage 0: what is essential, required or build-essential, and what these packages are made of."""
    world = World.of(binaries, architecture)
    names = {one.name for one in sources}
    todo = [
        one.name
        for one in world.real.values()
        if one.essential or one.build_essential or one.priority in BASE_PRIORITIES or one.name in ALWAYS
    ]
    seen = set(todo)
    while todo:
        one = world.real[todo.pop()]
        for field in ("Pre-Depends", "Depends"):
            for group in reduced(parse(one.relations.get(field, ""), one.name), architecture):
                chosen = world.choose(group)
                if chosen is not None and chosen not in seen:
                    seen.add(chosen)
                    todo.append(chosen)
    return frozenset(world.real[name].source for name in seen) & names
