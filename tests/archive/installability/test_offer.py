"""What builds of a pass may install."""

from __future__ import annotations

import pytest
from packages_by_hand import binary

from image_builder.archive.installability.offer import build_tools, offered
from image_builder.archive.model import Base, BinaryPackage

OLD = [
    binary("a", "1"),
    binary("a-doc", "1", Source="a", Architecture="all"),
    binary("b", "1"),
    binary("b", "2"),
    binary("c", "1"),
]
BUILT = [binary("a", "1"), binary("new", "1"), binary("c", "0.9", Source="other")]


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        # Of several versions apt takes the highest.
        (Base.OLD, {"a old", "a-doc old", "b old 2", "c old"}),
        (Base.BUILT, {"a built", "new built", "c built 0.9"}),
        # What was built here hides what the archive has of the same source, and of the same name in any version.
        (Base.BOTH, {"a built", "new built", "b old 2", "c built 0.9"}),
    ],
)
def test_bases(base: Base, expected: set[str]) -> None:
    assert {_where(one) for one in offered(base, OLD, BUILT)} == expected


def _where(one: BinaryPackage) -> str:
    place = "built" if any(one is built for built in BUILT) else "old"
    return f"{one.name} {place}" + ("" if one.version == "1" else f" {one.version}")


def test_local_packages_hide_all_others() -> None:
    mine = binary("c", "0.1")
    found = offered(Base.BOTH, OLD, BUILT, local=[mine])
    assert [one for one in found if one.name == "c"] == [mine]


def test_the_overlay_fills_gaps_only() -> None:
    overlay = [binary("make", "4"), binary("a", "9")]
    found = {one.name: one.version for one in offered(Base.BUILT, OLD, BUILT, overlay=overlay)}
    assert (found["make"], found["a"]) == ("4", "1")


def test_build_tools_come_with_what_they_need() -> None:
    archive = [
        binary("dash", Essential="yes", Depends="libc6 | musl"),
        binary("libc6"),
        binary("musl"),
        binary("build-essential", Build_Essential="yes", Depends="nothing | gcc"),
        binary("gcc"),
        binary("make", Depends="libmake (>= 2) | libmake-old"),
        binary("libmake"),
        binary("libmake-old"),
        binary("tar", Priority="required"),
        binary("hello", Depends="libhello"),
        binary("libhello"),
        binary("far", Essential="yes", Architecture="arm64"),
    ]
    names = {one.name for one in build_tools(archive, "amd64")}
    assert names == {"dash", "libc6", "build-essential", "gcc", "make", "libmake-old", "tar"}
