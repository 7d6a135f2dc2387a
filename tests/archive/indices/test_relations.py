"""Relation fields, and what is left of them on an architecture with some build profiles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.archive.indices.relations import (
    Alternative,
    applies,
    build_dependencies,
    first_only,
    parse,
    reduced,
    written,
)
from image_builder.archive.model import SourcePackage
from image_builder.errors import PipelineError


def test_all_parts_of_an_alternative() -> None:
    ((one,),) = parse("g++:native (>= 4:12) [linux-any hurd-any] <!nocheck !cross> <pkg.a>")
    assert one == Alternative(
        "g++", "native", ">=", "4:12", ("linux-any", "hurd-any"), (("!nocheck", "!cross"), ("pkg.a",))
    )
    assert str(one) == "g++:native (>= 4:12)"


def test_spaces_do_not_matter() -> None:
    assert parse("a(>=1)|b,\n c [ amd64 ] ,") == parse("a (>= 1) | b, c [amd64]")


@pytest.mark.parametrize(
    "field",
    ["a (>= )", "a (1)", "a (~ 1)", "A", "a b", "a |", "a (>= 1) (<< 2)", "${misc:Depends}", "a [amd64", "a <x"],
)
def test_what_is_no_relation_is_refused_with_its_place(field: str) -> None:
    with pytest.raises(PipelineError, match=r"hello 1: has .* where a relation should stand"):
        parse(field, "hello 1")


def test_mixed_architectures_are_refused() -> None:
    with pytest.raises(PipelineError, match="either all named or all excluded"):
        parse("a [amd64 !i386]")


@pytest.mark.parametrize(
    ("restriction", "profiles", "expected"),
    [
        ("", set(), True),
        ("[amd64]", set(), True),
        ("[i386]", set(), False),
        ("[i386 any-amd64]", set(), True),
        ("[!amd64]", set(), False),
        ("[!linux-any]", set(), False),
        ("[!i386 !arm64]", set(), True),
        ("<!nocheck>", set(), True),
        ("<!nocheck>", {"nocheck"}, False),
        ("<stage1>", set(), False),
        ("<stage1>", {"stage1"}, True),
        ("<!nocheck !cross>", {"cross"}, False),
        ("<!nocheck> <stage1>", {"nocheck"}, False),
        ("<!nocheck> <stage1>", {"nocheck", "stage1"}, True),
        ("[i386] <!nocheck>", set(), False),
    ],
)
def test_restrictions(restriction: str, profiles: set[str], expected: bool) -> None:
    ((one,),) = parse(f"a {restriction}")
    assert applies(one, "amd64", profiles) is expected


def test_a_group_of_which_nothing_applies_is_no_condition() -> None:
    assert written(reduced(parse("a [i386] | b [arm64], c [i386] | d, e"), "amd64")) == "d, e"


def test_first_only_takes_what_sbuild_takes() -> None:
    (group,) = parse("a (>= 2) | b | a (<< 1) | a:any")
    assert written((first_only(group),)) == "a (>= 2) | a (<< 1)"


def source(**fields: str) -> SourcePackage:
    return SourcePackage("hello", "1", "main", "", "", ("any", "all"), (), **fields)  # type: ignore[arg-type]


FIELDS = source(
    build_depends="common, here [amd64], there [armhf]",
    build_depends_arch="arch <!nocheck>",
    build_depends_indep="indep",
    build_conflicts="old",
    build_conflicts_indep="older [amd64]",
)


@pytest.mark.parametrize(
    ("architecture", "native", "profiles", "needs", "avoids"),
    [
        ("amd64", "amd64", set(), "common, here, arch", "old"),
        ("amd64", "amd64", {"nocheck"}, "common, here", "old"),
        ("armhf", "armhf", set(), "common, there, arch", "old"),
        ("all", "amd64", set(), "common, here, indep", "old, older"),
        ("all", "armhf", set(), "common, there, indep", "old"),
    ],
)
def test_build_dependencies(architecture: str, native: str, profiles: set[str], needs: str, avoids: str) -> None:
    found = build_dependencies(FIELDS, architecture, native, profiles)
    assert (written(found[0]), written(found[1])) == (needs, avoids)


def test_the_error_names_the_source() -> None:
    with pytest.raises(PipelineError, match="hello 1: has '\\$'"):
        build_dependencies(source(build_depends="$"), "amd64", "amd64")


NAMES = st.from_regex(r"\A[a-z0-9][a-z0-9+.-]{1,6}\Z")
ALTERNATIVES = st.builds(
    Alternative,
    NAMES,
    st.sampled_from(["", "any", "native", "amd64"]),
    st.sampled_from(["<<", "<=", "=", ">=", ">>"]),
    st.from_regex(r"\A[0-9][0-9a-z.+~-]{0,5}\Z"),
) | st.builds(Alternative, NAMES, st.sampled_from(["", "any"]))


@given(st.lists(st.lists(ALTERNATIVES, min_size=1, max_size=3).map(tuple), max_size=4).map(tuple))
def test_what_is_written_is_read_back(groups: tuple[tuple[Alternative, ...], ...]) -> None:
    assert parse(written(groups)) == groups
