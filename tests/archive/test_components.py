from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from hypothesis import given
from hypothesis import strategies as st

from image_builder.archive.components import components

edges = st.integers(1, 12).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, n - 1), max_size=4), min_size=n, max_size=n)
)


def reached(graph: list[list[int]], start: int) -> set[int]:
    seen: set[int] = set()
    todo = [start]
    while todo:
        for node in graph[todo.pop()]:
            if node not in seen:
                seen.add(node)
                todo.append(node)
    return seen


@given(edges)
def test_nodes_are_together_that_reach_each_other(graph: list[list[int]]) -> None:
    place = {node: number for number, part in enumerate(components(graph)) for node in part}
    reach = [reached(graph, node) for node in range(len(graph))]
    assert sorted(place) == list(range(len(graph)))
    for one, at in place.items():
        for other, there in place.items():
            together = one == other or (other in reach[one] and one in reach[other])
            assert (at == there) is together


@given(edges)
def test_each_comes_after_all_it_leads_to(graph: list[list[int]]) -> None:
    place = {node: number for number, part in enumerate(components(graph)) for node in part}
    assert all(place[following] <= place[node] for node, leads in enumerate(graph) for following in leads)


@given(edges)
def test_graphlib_agrees_on_whether_there_is_a_cycle(graph: list[list[int]]) -> None:
    alone = all(len(part) == 1 for part in components(graph)) and not any(n in to for n, to in enumerate(graph))
    try:
        TopologicalSorter(dict(enumerate(graph))).prepare()
    except CycleError:
        assert not alone
    else:
        assert alone


def test_among_some_nodes_only() -> None:
    ring = [[1], [2], [0], [0]]
    assert sorted(map(sorted, components(ring, [0, 1, 3]))) == [[0], [1], [3]]
    assert sorted(map(sorted, components(ring))) == [[0, 1, 2], [3]]


def test_a_chain_longer_than_the_interpreter_could_call() -> None:
    chain = [[n + 1] for n in range(50_000)] + [[]]
    assert [part[0] for part in components(chain)] == list(range(50_000, -1, -1))
