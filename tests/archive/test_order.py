from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import archive, binary, source

from image_builder.archive.order import Graph, build_graph, impossible, remaining
from image_builder.errors import PipelineError


def graph(*args: object, **words: object) -> Graph:
    return build_graph(*args, architecture="amd64", **words)  # type: ignore[arg-type]


def test_a_source_waits_for_those_that_make_what_it_needs_and_what_that_depends_on() -> None:
    found = graph(
        [source("app", "tool"), source("tool", binaries=["tool"]), source("lib", binaries=["libx"]), source("other")],
        [binary("tool", "tool", "libx"), binary("libx", "lib"), binary("app", "app"), binary("other", "other")],
    )
    assert found.needs("app") == {"tool", "lib"}
    assert found.needs("tool") == frozenset()


def test_binaries_that_need_each_other_come_together() -> None:
    found = graph(
        [source("app", "a"), source("a"), source("b")],
        [binary("a", "a", "b"), binary("b", "b", "a"), binary("app", "app")],
    )
    assert found.needs("app") == {"a", "b"}


@pytest.mark.parametrize(
    ("field", "needs"),
    [
        pytest.param("a | b", {"a"}, id="the first alternative, as sbuild takes it"),
        pytest.param("a [armhf], b [linux-any]", {"b"}, id="restricted to other architectures"),
        pytest.param("a <!nocheck>, b <stage1>", {"a"}, id="no build profile is active"),
        pytest.param("virtual", {"b"}, id="a package that is only provided"),
        pytest.param("a (>= 3) | b", {"a"}, id="versions are for those who judge whether it can be installed"),
    ],
)
def test_which_build_dependency_counts(field: str, needs: set[str]) -> None:
    found = graph(
        [source("app", field), source("a"), source("b"), source("c")],
        [binary("a", "a"), binary("b", "b", provides="virtual (= 2)"), binary("c", "c", provides="virtual"),
         binary("app", "app")],
    )  # fmt: skip
    assert found.needs("app") == needs


def test_build_profiles_leave_dependencies_out() -> None:
    sources = [source("app", "a <!nocheck>"), source("a")]
    binaries = [binary("a", "a"), binary("app", "app")]
    assert graph(sources, binaries).needs("app") == {"a"}
    assert graph(sources, binaries, profiles={"nocheck"}).needs("app") == frozenset()


def test_of_several_that_provide_a_name_the_more_important_one_is_taken_whatever_the_order() -> None:
    sources = [source("app", "virtual"), source("a"), source("z")]
    binaries = [binary("a", "a", provides="virtual"), binary("z", "z", provides="virtual", priority="standard")]
    assert graph(sources, binaries).needs("app") == {"z"} == graph(sources, binaries[::-1]).needs("app")


def test_indep_counts_where_architecture_all_is_built_too() -> None:
    sources = [source("app", arch="a", indep="b"), source("a"), source("b")]
    binaries = [binary("a", "a"), binary("b", "b")]
    assert graph(sources, binaries).needs("app") == {"a", "b"}
    assert graph(sources, binaries, indep=False).needs("app") == {"a"}


def test_nobody_waits_for_what_an_earlier_pass_has_built_nor_for_what_is_done_without() -> None:
    sources = [source("app", "a, b, c"), source("a"), source("b"), source("c")]
    binaries = [binary(n, n) for n in "abc"]
    assert graph(sources, binaries, available={"a"}, dropped={("app", "b")}).needs("app") == {"c"}


def test_a_binary_nobody_has_built_yet_is_known_by_its_source() -> None:
    assert graph([source("app", "new-dev"), source("new", binaries=["new-dev"])], []).needs("app") == {"new"}


def test_what_nothing_provides_stops_all_that_needs_it() -> None:
    found = graph(
        [source("app", "a"), source("a", "gone (>= 2)"), source("b"), source("self", "self")],
        [binary("a", "a"), binary("b", "b", "lost | missing"), binary("c", "c")],
    )
    assert impossible(found) == {
        "a": "gone (>= 2)",
        "app": "gone (>= 2)",
        "self": "self (which only it makes itself, and no build of it is there)",
    }


def test_a_binary_that_cannot_be_installed_is_named() -> None:
    found = graph([source("app", "b"), source("b")], [binary("b", "b", "lost | missing")])
    assert impossible(found) == {"app": "b needs lost | missing"}


def test_a_field_that_is_no_relation_is_an_error_that_names_the_source() -> None:
    with pytest.raises(PipelineError, match=r"app.*a b"):
        graph([source("app", "a b")], [])


def test_remaining_is_the_longest_chain_not_the_number_of_builds() -> None:
    found = graph(
        [source("base"), source("long", "base"), source("quick", "base"), source("end", "quick"), source("alone")],
        [binary(n, n) for n in ("base", "long", "quick")],
    )
    seconds = {"base": 10.0, "long": 100.0, "quick": 1.0, "end": 2.0, "alone": 50.0}
    assert remaining(found, seconds) == {"base": 110.0, "long": 100.0, "quick": 3.0, "end": 2.0, "alone": 50.0}


def test_a_cycle_counts_as_its_longest_build() -> None:
    found = graph([source("a", "b"), source("b", "a"), source("end", "a")], [binary("a", "a"), binary("b", "b")])
    assert remaining(found, {"a": 5.0, "b": 7.0, "end": 1.0}) == {"a": 8.0, "b": 8.0, "end": 1.0}


@given(st.integers(0, 1000))
def test_remaining_equals_a_walk_over_all_chains(seed: int) -> None:
    sources, binaries = archive(25, seed)
    found = graph(sources, binaries)
    seconds = {one.name: float(number % 7 + 1) for number, one in enumerate(sources)}
    needed_by: dict[str, set[str]] = {one.name: set() for one in sources}
    for one in sources:
        for name in found.needs(one.name):
            needed_by[name].add(one.name)

    def longest(name: str) -> float:
        return seconds[name] + max((longest(after) for after in needed_by[name]), default=0.0)

    assert remaining(found, seconds) == {one.name: longest(one.name) for one in sources}
