from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import archive, binary, source

from image_builder.archive.components import components
from image_builder.archive.cycles import cycles, droppable, feedback
from image_builder.archive.order import Graph, build_graph
from image_builder.archive.schedule.passes import without_waiting_for


def is_acyclic(graph: Graph) -> bool:
    return all(len(part) == 1 for part in components(graph.edges))


def test_a_cycle_is_shown_with_its_shortest_way_round_and_what_would_free_it() -> None:
    sources = [
        source("perl", "debhelper, doxygen <!nodoc>", binaries=["perl"]),
        source("debhelper", "perl"),
        source("doxygen", "perl, flex | bison"),
        source("flex", indep="doxygen"),
        source("bison"),
        source("leaf", "perl"),
    ]
    binaries = [binary(name, name) for name in ("perl", "debhelper", "doxygen", "flex", "bison")]
    graph = build_graph(sources, binaries, architecture="amd64")
    (found,) = cycles(graph, sources, "amd64")
    assert found.sources == ("debhelper", "doxygen", "flex", "perl")
    assert found.example in (("debhelper", "perl", "perl", "debhelper", "debhelper"),
                             ("perl", "debhelper", "debhelper", "perl", "perl"),
                             ("doxygen", "flex", "flex", "doxygen", "doxygen"))  # fmt: skip
    assert [(one.source, one.dependency, one.how) for one in found.droppable] == [
        ("doxygen", "flex", "bison will do instead"),
        ("flex", "doxygen", "it is only needed for the packages of architecture all"),
        ("perl", "doxygen", "with build profile nodoc: no documentation is made"),
    ]
    assert is_acyclic(without_waiting_for(graph, found.old))


def test_a_source_that_needs_its_own_binary_is_a_cycle() -> None:
    graph = build_graph([source("gnat", "gnat")], [binary("gnat", "gnat")], architecture="amd64")
    (found,) = cycles(graph, [source("gnat", "gnat")], "amd64")
    assert found.sources == ("gnat",) == found.old


def test_the_largest_comes_first_and_no_cycle_is_none() -> None:
    sources = [source("a", "b"), source("b", "a"), source("c", "d"), source("d", "e"), source("e", "c"), source("f")]
    graph = build_graph(sources, [binary(n, n) for n in "abcdef"], architecture="amd64")
    assert [one.sources for one in cycles(graph, sources, "amd64")] == [("c", "d", "e"), ("a", "b")]
    assert cycles(build_graph(sources[5:], [], architecture="amd64"), sources, "amd64") == []


def test_binaries_that_only_depend_on_each_other_are_no_cycle_of_builds() -> None:
    sources = [source("app", "a")]
    graph = build_graph(sources, [binary("a", "x", "b"), binary("b", "x", "a")], architecture="amd64")
    assert cycles(graph, sources, "amd64") == []


@pytest.mark.parametrize(
    ("field", "how"),
    [
        pytest.param("x <!nocheck>", "with build profile nocheck: tests are not run", id="tests"),
        pytest.param("x <!stage1 !cross>", "with build profile stage1: a reduced package is built first", id="stage1"),
        pytest.param("x <!nodoc> <!nocheck>", None, id="either would do: dropping one is not enough"),
        pytest.param("x <!pkg.foo.tools>", None, id="a profile of the package's own, of unknown cost"),
        pytest.param("x", None, id="nothing to be done"),
    ],
)
def test_what_can_be_dropped(field: str, how: str | None) -> None:
    found = [one.how for one in droppable(source("a", field), {"x"}, "amd64")]
    assert found == ([how] if how else [])


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_feedback_leaves_no_cycle_and_each_of_it_is_needed(seed: int, count: int) -> None:
    sources, binaries = archive(40, seed, cycles=count)
    graph = build_graph(sources, binaries, architecture="amd64")
    old = feedback(graph)
    assert is_acyclic(without_waiting_for(graph, old))
    for name in old:
        assert not is_acyclic(without_waiting_for(graph, old - {name}))


def test_feedback_does_not_depend_on_the_order_of_an_index() -> None:
    sources, binaries = archive(60, 3, cycles=15)
    one = feedback(build_graph(sources, binaries, architecture="amd64"))
    other = feedback(build_graph(sources[::-1], binaries[::-1], architecture="amd64"))
    assert one == other != frozenset()
