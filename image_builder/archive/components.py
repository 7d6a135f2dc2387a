"""Strongly connected components of a graph of numbers.

Own code, since nothing at hand does it: graphlib stops at the first cycle, toposort finds none, and networkx keeps a
dictionary per edge, which for an archive (100,000 nodes, 600,000 edges) is half a gigabyte and ten times the seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def components(edges: Sequence[Sequence[int]], among: Iterable[int] | None = None) -> list[list[int]]:
    """The components, each after all it leads to. Tarjan's algorithm, without recursion: chains are long here.

    edges: node -> the nodes it leads to. among: only these nodes, and edges between them; None: all.
    """
    unseen, done = -1, len(edges)  # `done` is above every index, so a finished neighbour lowers nothing
    if among is None:
        number = [unseen] * len(edges)
        starts: Iterable[int] = range(len(edges))
    else:
        starts = list(among)
        number = [done] * len(edges)
        for node in starts:
            number[node] = unseen
    low = [0] * len(edges)
    counter = 0
    stack: list[int] = []
    found: list[list[int]] = []
    for start in starts:
        if number[start] != unseen:
            continue
        number[start] = low[start] = counter
        counter += 1
        stack.append(start)
        walk = [(start, iter(edges[start]))]
        while walk:
            node, rest = walk[-1]
            for following in rest:
                at = number[following]
                if at == unseen:
                    number[following] = low[following] = counter
                    counter += 1
                    stack.append(following)
                    walk.append((following, iter(edges[following])))
                    break
                if at < low[node]:  # noqa: PLR1730 - this line runs a million times
                    low[node] = at
            else:
                walk.pop()
                if walk:
                    above = walk[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == number[node]:
                    component = []
                    while True:
                        last = stack.pop()
                        number[last] = done
                        component.append(last)
                        if last == node:
                            break
                    found.append(component)
    return found
