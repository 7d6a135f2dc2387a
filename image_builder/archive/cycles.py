"""Sources that wait for each other: who, along which dependencies, and what would free them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from image_builder.archive.components import components
from image_builder.archive.indices.relations import applies, parse, reduced
from image_builder.archive.model import SourcePackage
from image_builder.archive.order import Graph

# Build profiles that leave something out, and what that is, in the order of how little is lost.
PROFILES = {
    "nocheck": "tests are not run",
    "nodoc": "no documentation is made",
    "noudeb": "no packages for the installer are made",
    "stage1": "a reduced package is built first",
    "stage2": "a reduced package is built first",
    "nopython": "no Python bindings are made",
    "noruby": "no Ruby bindings are made",
    "nojava": "no Java bindings are made",
    "cross": "as when building for a foreign architecture",
}


@dataclass(frozen=True, slots=True)
class Droppable:
    """A build dependency within a cycle that its source can do without."""

    source: str
    dependency: str  # as written, with its restrictions left out
    how: str  # "with build profile nocheck: tests are not run", "it is only needed for arch:all packages"


@dataclass(frozen=True)
class Cycle:
    """Sources each of which waits for all the others."""

    sources: tuple[str, ...]  # sorted
    example: tuple[str, ...]  # a shortest way round: source, binary, source, binary …; what each needs next
    droppable: tuple[Droppable, ...]
    old: tuple[str, ...]  # the fewest found of which an older build frees all the others


def cycles(graph: Graph, sources: Sequence[SourcePackage], architecture: str) -> list[Cycle]:
    """All cycles, the largest first. sources, architecture: those the graph was made with."""
    stanza = {one.name: one for one in sources}
    first = len(graph.sources)
    found = []
    for component in components(graph.edges):
        inside = sorted(graph.sources[node] for node in component if node < first)
        if len(component) < 2 or not inside:
            continue
        among = set(component)
        names = {name for node in among if node >= first for name in graph.members[node - first]}
        found.append(
            Cycle(
                tuple(inside),
                _round(graph, among),
                tuple(one for name in inside for one in droppable(stanza[name], names, architecture)),
                tuple(sorted(graph.sources[node] for node in _feedback(graph, component))),
            )
        )
    return sorted(found, key=lambda cycle: (-len(cycle.sources), cycle.sources))


def droppable(source: SourcePackage, names: Collection[str], architecture: str) -> Iterable[Droppable]:
    """Those of a source's build dependencies on these binaries that it can do without, and how."""
    for field, indep in (
        (source.build_depends, False),
        (source.build_depends_arch, False),
        (source.build_depends_indep, True),
    ):
        for group in reduced(parse(field, source.name), architecture):
            first = group[0]
            if first.name not in names:
                continue
            profile = next((p for p in PROFILES if not applies(first, architecture, {p})), None)
            other = next((one for one in group[1:] if one.name not in names), None)
            if profile is not None:
                yield Droppable(source.name, str(first), f"with build profile {profile}: {PROFILES[profile]}")
            elif indep:
                yield Droppable(source.name, str(first), "it is only needed for the packages of architecture all")
            elif other is not None:
                yield Droppable(source.name, str(first), f"{other} will do instead")


def feedback(graph: Graph) -> frozenset[str]:
    """Sources which, when a build of theirs is there beforehand, leave no cycle: few, though not always the fewest.

    The fewest would be too hard to find; each of these is needed, the others given.
    """
    first = len(graph.sources)
    found: set[str] = set()
    for component in components(graph.edges):
        if len(component) > 1 and any(node < first for node in component):
            found.update(graph.sources[node] for node in _feedback(graph, component))
    return frozenset(found)


def _feedback(graph: Graph, component: Sequence[int]) -> set[int]:
    """The busiest sources of a component, taken out until no cycle is left; then those put back that may be."""
    first = len(graph.sources)
    inside = set(component)
    edges = {node: [n for n in graph.edges[node] if n in inside] for node in component}
    taken: list[int] = []
    todo = [list(component)]
    while todo:
        part = todo.pop()
        inside = set(part)
        needed: dict[int, int] = dict.fromkeys(part, 0)
        for node in part:
            edges[node] = [n for n in edges[node] if n in inside]
            for n in edges[node]:
                needed[n] += 1
        # A group stands for all that need it.
        needed_by = dict.fromkeys(part, 0)
        for node in part:
            for n in edges[node]:
                needed_by[n] += needed[node] if node >= first else 1
        candidates = sorted(
            (node for node in part if node < first),
            key=lambda n: (-needed_by[n] * len(edges[n]), graph.sources[n]),
        )
        # Several at a time where there are thousands: it is the same ones that are busiest after the first is gone.
        out = set(candidates[: max(1, len(candidates) // 200)])
        taken += sorted(out, key=candidates.index)
        todo += _cyclic(edges, [node for node in part if node not in out], first)
    return _least(graph, component, taken)


def _cyclic(edges: Mapping[int, Sequence[int]], nodes: Sequence[int], first: int) -> list[list[int]]:
    """The components among these nodes that have a source in a cycle."""
    small = {node: i for i, node in enumerate(nodes)}
    inner = [[small[n] for n in edges[node] if n in small] for node in nodes]
    found = []
    for part in components(inner):
        whole = [nodes[i] for i in part]
        if len(whole) > 1 and any(node < first for node in whole):
            found.append(whole)
    return found


def _least(graph: Graph, component: Sequence[int], taken: Sequence[int]) -> set[int]:
    """Put back, last taken first, what closes no cycle."""
    inside, out = set(component), set(taken)
    for node in reversed(taken):
        out.discard(node)
        if _way_back(graph, node, inside - out):
            out.add(node)
    return out


def _way_back(graph: Graph, start: int, among: Collection[int]) -> bool:
    seen: set[int] = set()
    todo = [start]
    while todo:
        for node in graph.edges[todo.pop()]:
            if node == start:
                return True
            if node in among and node not in seen:
                seen.add(node)
                todo.append(node)
    return False


def _round(graph: Graph, among: Collection[int]) -> tuple[str, ...]:
    """A shortest way from some source of the component back to it, as names."""
    first = len(graph.sources)
    best: list[int] = []
    for start in sorted((node for node in among if node < first), key=lambda node: graph.sources[node])[:50]:
        came: dict[int, int] = {}
        todo = deque([start])
        while todo and start not in came:
            node = todo.popleft()
            for following in graph.edges[node]:
                if following in among and following not in came:
                    came[following] = node
                    todo.append(following)
        way = [start]
        node = came[start]
        while node != start:
            way.append(node)
            node = came[node]
        way.append(start)
        if not best or len(way) < len(best):
            best = way[::-1]
    return tuple(graph.sources[node] if node < first else graph.members[node - first][0] for node in best)
