"""What a chroot is stored under: another one only when something in it is another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from assignments import assignment

from image_builder.archive.builder.assignment import BuildRepository, Means
from image_builder.archive.builder.chroot import key, paragraphs
from image_builder.archive.model import Base

INDEX = "Package: dpkg\nVersion: 2\n\nPackage: hello\nVersion: 1\n\nPackage: gcc\nSource: gcc-defaults\nVersion: 9\n"


def test_paragraphs_of_what_is_in_it(tmp_path: Path) -> None:
    index = tmp_path / "Packages"
    index.write_text(INDEX)
    assert list(paragraphs(index, {"dpkg", "gcc", "libc6"})) == [
        INDEX.split("\n\n", maxsplit=1)[0],
        INDEX.split("\n\n")[2].strip(),
    ]
    assert len(list(paragraphs(index, None))) == 3
    index.write_text("")
    assert list(paragraphs(index, None)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"base": Base.OLD},
        {"source": "other", "version": "9"},
        {"extra_depends": "x"},
        {"means": Means(environment={"DEB_CFLAGS_APPEND": "-O3"})},
        {"local": BuildRepository(folder=Path("/other"), origin="mine")},
    ],
)
def test_what_does_not_change_it(changes: dict[str, Any]) -> None:
    """Against the old archive alone, and against both: the same, until something in it was built."""
    assert key(assignment(**changes), "r", ()) == key(assignment(), "r", ())


@pytest.mark.parametrize(
    ("changes", "root", "changed"),
    [
        ({"build_architecture": "arm64"}, "r", ()),
        ({"suite": "sid"}, "r", ()),
        ({"means": Means(packages=("gcc-15",))}, "r", ()),
        ({"epoch": 1}, "r", ()),
        ({}, "another", ()),
        ({}, "r", ("Package: dpkg\nVersion: 2",)),
        ({"base": Base.BUILT}, "r", ("Package: dpkg\nVersion: 2",)),
    ],
)
def test_what_does(changes: dict[str, Any], root: str, changed: tuple[str, ...]) -> None:
    assert key(assignment(**changes), root, changed) != key(assignment(), "r", ())


def test_of_the_same_results_two_bases_make_two() -> None:
    built = ("Package: dpkg\nVersion: 2",)
    assert key(assignment(base=Base.BUILT), "r", built) != key(assignment(base=Base.BOTH), "r", built)
    assert key(assignment(), "r", built) == key(assignment(), "r", built)
