"""Who has to wait for whom within a pass, kept up to date while packages are built."""

from __future__ import annotations

from collections.abc import Iterable

from image_builder.archive.model import Base
from image_builder.archive.order import Graph

NAMED = 3  # of those a package waits for, in words
ENOUGH = 100  # more are not counted


class Gate:
    """Opens a source when all that makes its build dependencies is built.

    With base "both" a failure opens it too: then the archive's own binary is used. With base "built" it stays shut.
    With base "old" nobody waits. The graph must have no cycles; who is in one waits for ever.
    """

    def __init__(self, graph: Graph, base: Base) -> None:
        self.graph, self.base = graph, base
        self._number = graph.number()
        self._needed_by = graph.needed_by()
        self._open_needs = [len(needs) for needs in graph.edges]
        self._over = [False] * len(graph.edges)  # what needs it waits no longer
        self._failed: set[int] = set()
        if base is Base.OLD:
            self._open_needs = [0] * len(graph.edges)
        elif base is Base.BUILT:
            for node in graph.missing:
                self._open_needs[node] += 1  # nobody will ever make it
        self._settle_groups([n for n in range(len(graph.sources), len(graph.edges)) if not self._open_needs[n]])

    def is_open(self, source: str) -> bool:
        """Whether it need not wait, or not any more. A source the graph does not have need not."""
        node = self._number.get(source)
        return node is None or self._open_needs[node] <= 0

    def settle(self, results: Iterable[tuple[str, bool]]) -> list[str]:
        """Take in (source, whether it was built); return the sources that need not wait any more.

        Telling the same twice is no harm; a failure may become a success later.
        """
        opened: list[int] = []
        for source, built in results:
            node = self._number.get(source)
            if node is None:
                continue
            if built:
                self._failed.discard(node)
            elif not self._over[node]:
                self._failed.add(node)
            if (built or self.base is Base.BOTH) and not self._over[node]:
                opened += self._settle_groups([node])
        return [self.graph.sources[node] for node in opened]

    def problem(self, source: str) -> str:
        """What it waits for, in words; "" if for nothing."""
        if self.is_open(source):
            return ""
        node = self._number[source]
        if self.base is Base.BUILT and node in self.graph.missing:
            return f"needs {self.graph.missing[node]}, which nothing provides"
        waits, lacks = self._blockers(node)
        failed = sorted(self.graph.sources[n] for n in waits & self._failed)
        if failed and self.base is Base.BUILT:
            return f"needs what {_list(failed)} should have made, whose build failed"
        if waits:
            return f"waits for {_list(sorted(self.graph.sources[n] for n in waits))} to be built"
        return "; ".join(sorted(lacks)[:NAMED]) + ", which nothing provides"

    def _blockers(self, node: int) -> tuple[set[int], set[str]]:
        """The sources it waits for directly, and what its groups lack."""
        found: set[int] = set()
        lacks: set[str] = set()
        seen = {node}
        todo = [node]
        while todo and len(found) < ENOUGH:
            for needed in self.graph.edges[todo.pop()]:
                if self._over[needed] or needed in seen:
                    continue
                seen.add(needed)
                if needed < len(self.graph.sources):
                    found.add(needed)
                else:
                    todo.append(needed)
                    if needed in self.graph.missing:
                        lacks.add(self.graph.missing[needed])
        return found, lacks

    def _settle_groups(self, settled: list[int]) -> list[int]:
        """Go on from what is over to what needs it; return the sources that have become open."""
        first = len(self.graph.sources)
        opened: list[int] = []
        todo = settled
        while todo:
            node = todo.pop()
            if self._over[node]:
                continue
            self._over[node] = True
            for needs in self._needed_by[node]:
                self._open_needs[needs] -= 1
                if self._open_needs[needs] == 0:
                    if needs >= first:
                        todo.append(needs)
                    else:
                        opened.append(needs)
        return opened


def _list(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
