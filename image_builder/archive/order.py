"""Which source waits for which, and how long the way from it to the end still is.

A source needs binary packages; these need others to be installed, and each is made by a source. The graph has both:
sources, and groups of binaries. A group is what can only be installed together (packages whose dependencies form a
circle); most have one member. Installing is thus counted exactly, without writing down for each source all that its
build dependencies bring along, which would be some twenty times as many edges.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from image_builder.archive.components import components
from image_builder.archive.indices.relations import NO_PROFILES, Group, parse, reduced, written
from image_builder.archive.model import BinaryPackage, SourcePackage

PRIORITIES = {name: rank for rank, name in enumerate(("required", "important", "standard", "optional", "extra"))}


@dataclass(frozen=True)
class Graph:
    """Nodes are numbers: those below len(sources) are sources, the others groups of binaries."""

    sources: tuple[str, ...]
    members: tuple[tuple[str, ...], ...]  # of the groups: names of binary packages
    edges: tuple[tuple[int, ...], ...]  # node -> the nodes it needs: a source its groups, a group groups and sources
    missing: Mapping[int, str]  # node -> the relation that nothing fulfils

    def number(self) -> dict[str, int]:
        """Source -> node."""
        return {name: node for node, name in enumerate(self.sources)}

    def needed_by(self) -> list[list[int]]:
        """Node -> the nodes that need it."""
        back: list[list[int]] = [[] for _ in self.edges]
        for node, needs in enumerate(self.edges):
            for needed in needs:
                back[needed].append(node)
        return back

    def needs(self, source: str) -> frozenset[str]:
        """All sources it waits for directly: those that make what has to be installed to build it."""
        start = self.number()[source]
        return frozenset(self.sources[node] for node in self._through_groups(start, self.edges))

    def _through_groups(self, start: int, edges: Sequence[Sequence[int]]) -> set[int]:
        seen, found, todo = {start}, set(), [start]
        while todo:
            for node in edges[todo.pop()]:
                if node < len(self.sources):
                    found.add(node)
                elif node not in seen:
                    seen.add(node)
                    todo.append(node)
        return found


@dataclass(frozen=True)
class World:
    """What can be installed on one architecture, by name."""

    real: Mapping[str, BinaryPackage]
    providers: Mapping[str, Sequence[str]]  # virtual package -> those that provide it, the one to take first

    @classmethod
    def of(cls, binaries: Iterable[BinaryPackage], architecture: str) -> World:
        """Of several versions of a package the one that comes last counts."""
        real = {one.name: one for one in binaries if one.architecture in ("all", architecture)}
        providers: dict[str, list[str]] = defaultdict(list)
        for one in real.values():
            for group in parse(one.relations.get("Provides", ""), one.name):
                providers[group[0].name].append(one.name)
        # Which of several is taken must not depend on the order of an index.
        ranked = {
            name: sorted(set(names), key=lambda n: (PRIORITIES.get(real[n].priority, 9), n))
            for name, names in providers.items()
        }
        return cls(real, ranked)

    def choose(self, group: Group, known: Collection[str] = ()) -> str | None:
        """The package taken for a group of alternatives: the first that exists, else the first that is provided.

        known: names that will exist though no index has them yet.
        """
        for one in group:
            if one.name in self.real or one.name in known:
                return one.name
        for one in group:
            if names := self.providers.get(one.name):
                return names[0]
        return None


def build_graph(
    sources: Sequence[SourcePackage],
    binaries: Iterable[BinaryPackage],
    *,
    architecture: str,
    profiles: Set[str] = NO_PROFILES,
    indep: bool = True,
    available: Collection[str] = (),
    dropped: Collection[tuple[str, str]] = (),
) -> Graph:
    """Say what has to be there before each source can be built.

    sources: those to be built, each name once. binaries: of the archive they come from; they tell what each source
    makes and what that needs. indep: whether Build-Depends-Indep counts. available: sources whose binaries are there
    already, of an earlier stage, though they are built again. dropped: (source, name of the build dependency) that is
    done without. Only the first alternative of a build dependency counts, as in sbuild.
    Raises PipelineError for a field that is no relation.
    """
    world = World.of(binaries, architecture)
    number = {one.name: node for node, one in enumerate(sources)}
    maker = {name: number[one.source] for name, one in world.real.items() if one.source in number}
    for one in sources:
        for name in one.binaries:
            if name not in world.real:
                maker.setdefault(name, number[one.name])
    there = {number[name] for name in available if name in number}
    group_of, members, edges, missing = _groups(world, maker, there, len(sources), architecture)
    for node, one in enumerate(sources):
        found: dict[int, None] = {}
        fields = (one.build_depends, one.build_depends_arch, one.build_depends_indep if indep else "")
        for field in fields:
            for group in reduced(parse(field, one.name), architecture, profiles):
                if (one.name, group[0].name) in dropped:
                    continue
                chosen = world.choose(group[:1], maker)
                if chosen is None:
                    missing.setdefault(node, str(group[0]))
                elif chosen not in world.real and maker[chosen] == node:
                    missing.setdefault(node, f"{group[0]} (which only it makes itself, and no build of it is there)")
                else:
                    found[group_of[chosen]] = None
        edges[node] = tuple(found)
    return Graph(tuple(number), members, tuple(edges), missing)


def _groups(
    world: World, maker: Mapping[str, int], there: Collection[int], first: int, architecture: str
) -> tuple[dict[str, int], tuple[tuple[str, ...], ...], list[tuple[int, ...]], dict[int, str]]:
    """Binaries, those of a circle together: name -> node, members by node, edges by node, what is missing."""
    names = sorted({*world.real, *maker})
    at = {name: i for i, name in enumerate(names)}
    needs: list[list[int]] = [[] for _ in names]
    lacks: dict[int, str] = {}
    for i, name in enumerate(names):
        one = world.real.get(name)
        if one is None:
            continue
        for field in ("Pre-Depends", "Depends"):
            for group in reduced(parse(one.relations.get(field, ""), name), architecture):
                needed = world.choose(group, at)
                if needed is None:
                    lacks.setdefault(i, written((group,)))
                else:
                    needs[i].append(at[needed])
    circles = components(needs)
    node_of = [0] * len(names)
    for k, circle in enumerate(circles):
        for i in circle:
            node_of[i] = first + k
    edges: list[tuple[int, ...]] = [()] * (first + len(circles))
    missing: dict[int, str] = {}
    for k, circle in enumerate(circles):
        node = first + k
        found: dict[int, None] = {}
        for i in circle:
            source = maker.get(names[i])
            if source is not None and source not in there:
                found[source] = None
            found.update(dict.fromkeys(node_of[needed] for needed in needs[i] if node_of[needed] != node))
            if i in lacks:
                missing.setdefault(node, f"{names[i]} needs {lacks[i]}")
        edges[node] = tuple(found)
    members = tuple(tuple(sorted(names[i] for i in circle)) for circle in circles)
    return {name: node_of[i] for name, i in at.items()}, members, edges, missing


def remaining(graph: Graph, seconds: Mapping[str, float]) -> dict[str, float]:
    """Source -> seconds from its start to the end of the longest chain of builds that begins with it.

    seconds: expected of each build; 0 for those not named. A cycle counts as its longest build: however it is broken,
    all of it is at the head of what follows.
    """
    first = len(graph.sources)
    own = [seconds.get(name, 0.0) for name in graph.sources]
    after = [0.0] * len(graph.edges)  # the longest way that begins with one of those that need the node
    found: dict[str, float] = {}
    for component in reversed(components(graph.edges)):  # those that need come before what they need
        weight = max((own[node] for node in component if node < first), default=0.0)
        way = weight + max(after[node] for node in component)
        for node in component:
            if node < first:
                found[graph.sources[node]] = way
            for needed in graph.edges[node]:
                if after[needed] < way:  # noqa: PLR1730 - this line runs a million times
                    after[needed] = way
    return found


def impossible(graph: Graph) -> dict[str, str]:
    """Sources that can never be built here, with the relation that nothing fulfils, directly or along the chain."""
    reason: dict[int, str] = dict(graph.missing)
    for component in components(graph.edges):
        why = next((reason[node] for node in component if node in reason), None) or next(
            (reason[needed] for node in component for needed in graph.edges[node] if needed in reason), None
        )
        if why is not None:
            for node in component:
                reason.setdefault(node, why)
    return {name: reason[node] for node, name in enumerate(graph.sources) if node in reason}
