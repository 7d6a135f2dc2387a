"""How binaries satisfy and exclude each other."""

from __future__ import annotations

import pytest
from packages_by_hand import binary

from image_builder.archive.installability.universe import UNSURE, Universe

UNIVERSE = Universe(
    [
        binary("lib", "1"),
        binary("lib", "2"),
        binary("libalias", "7", Provides="lib, api (= 3), odd (>= 1), far:any"),
        binary("tool", "5", Multi_Arch="allowed"),
        binary("data", "1", Architecture="all"),
        binary("other", "1", Architecture="arm64", Provides="api"),
        binary("broken", "1", Conflicts="$"),
        binary("plain", "4"),
    ],
    "amd64",
)


def names(numbers: list[tuple[int, ...]]) -> list[list[str]]:
    def name(number: int) -> str:
        return "unsure" if number == UNSURE else f"{UNIVERSE.packages[number].name} {UNIVERSE.packages[number].version}"

    return [[name(n) for n in group] for group in numbers]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("lib", [["lib 2", "lib 1", "libalias 7"]]),
        ("lib (>= 2)", [["lib 2"]]),
        ("lib (<< 2)", [["lib 1"]]),
        ("lib (>> 2)", [[]]),
        ("api", [["libalias 7"]]),
        ("api (= 3)", [["libalias 7"]]),
        ("api (>= 4)", [[]]),
        ("odd", [[]]),
        ("far", [[]]),
        ("libalias | lib", [["libalias 7", "lib 2", "lib 1"]]),
        ("data, nothing", [["data 1"], []]),
        ("data:amd64", [["data 1"]]),
        ("data:native", [["data 1"]]),
        ("tool:any", [["tool 5", "unsure"]]),
        ("tool:any (>= 6)", [["unsure"]]),
        ("plain:any", [["unsure"]]),
        ("plain:arm64", [["unsure"]]),
        ("nothing:any", [[]]),
        ("other", [[]]),
        ("a (", [[]]),
        ("", []),
    ],
)
def test_choices(field: str, expected: list[list[str]]) -> None:
    assert names(UNIVERSE.choices(field)) == expected


def test_of_build_dependencies_the_first_alternative_counts() -> None:
    assert names(UNIVERSE.first_choices("nothing | lib, lib (>= 3) | lib (<< 2) | data")) == [[], ["lib 1"]]


def test_who_cannot_be_read_needs_what_nobody_has() -> None:
    number = UNIVERSE.named["broken"][0]
    assert (UNIVERSE.needs(number), UNIVERSE.wants(number)) == ([()], ["$"])


def excluded(*packages: tuple[str, str, dict[str, str]]) -> set[str]:
    """What the first of some packages excludes."""
    universe = Universe([binary(name, version, **fields) for name, version, fields in packages], "amd64")
    return {f"{universe.packages[n].name} {universe.packages[n].version}" for n in universe.avoids(0)}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"x 2"}),
        ({"Conflicts": "y"}, {"x 2", "y 1", "z 1"}),
        ({"Breaks": "y (<< 1)"}, {"x 2"}),
        ({"Breaks": "y (<< 4)"}, {"x 2", "y 1", "z 1"}),
        ({"Conflicts": "y (<< 2)"}, {"x 2", "y 1"}),
        ({"Conflicts": "x", "Provides": "x"}, {"x 2"}),
        ({"Provides": "y", "Conflicts": "y"}, {"x 2", "y 1", "z 1"}),
        ({"Provides": "y", "Conflicts": "y (<< 1)", "Multi_Arch": "same"}, {"x 2"}),
        ({"Provides": "y", "Conflicts": "y", "Multi_Arch": "same"}, {"x 2", "y 1", "z 1"}),
        ({"Conflicts": "x (<< 1)", "Multi_Arch": "same"}, {"x 2"}),
        ({"Conflicts": "y:any (<< 1)"}, {"x 2", "y 1", "z 1"}),
    ],
)
def test_exclusion(fields: dict[str, str], expected: set[str]) -> None:
    assert excluded(("x", "1", fields), ("x", "2", {}), ("y", "1", {}), ("z", "1", {"Provides": "y (= 3)"})) == expected
