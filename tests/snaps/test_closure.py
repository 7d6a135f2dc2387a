from __future__ import annotations

import pytest

from image_builder.errors import ConfigError
from image_builder.lock import SnapPin
from snaps.closure import conflicts, lacking, subset
from snaps.meta import SnapMeta, parse
from snaps.wishes import parse as wish


def metas(*texts: str) -> dict[str, SnapMeta]:
    return {meta.name: meta for meta in (parse(text, where="x") for text in texts)}


def pin(name: str, *needs: str) -> SnapPin:
    return SnapPin(
        name=name, snap_id="a" * 32, revision=1, sha3_384="0" * 96, size_bytes=1, channel="latest/stable", needs=needs
    )


PLUG = "plugs: {p: {interface: content, default-provider: theme}}"


def test_what_a_set_lacks_and_why() -> None:
    found = lacking(metas(f"name: a\nbase: core22\n{PLUG}", "name: b\nbase: core22"))
    assert [(lack.name, lack.why) for lack in found] == [
        ("snapd", "every set of snaps needs it"),
        ("core22", "base of a"),
        ("theme", "default provider of content of a"),
    ]


def test_a_closed_set_lacks_nothing() -> None:
    assert lacking(metas("name: snapd", "name: core22\ntype: base", "name: a\nbase: core22")) == []


def test_a_set_without_snaps_for_core_needs_no_core() -> None:
    assert [lack.name for lack in lacking(metas("name: core22\ntype: base"))] == ["snapd"]


@pytest.mark.parametrize(
    ("asked", "text", "said"),
    [
        (
            "a",
            "name: a\nconfinement: classic",
            "a needs classic confinement, which nobody allowed it: ask for a/classic",
        ),
        ("a", "name: a\nconfinement: devmode", "is for development only"),
        ("a", "name: a\nbase: b", "has the base b, but that snap is of type app"),
    ],
)
def test_conflicts_are_explained(asked: str, text: str, said: str) -> None:
    wishes = {name: wish(name) for name in (asked, "b")}
    (line,) = conflicts(wishes, metas(text, "name: b\nbase: none"))
    assert said in line


def test_classic_where_it_was_allowed() -> None:
    assert conflicts({"a": wish("a/classic")}, metas("name: a\nbase: none\nconfinement: classic")) == []


def test_a_part_of_the_lock_is_closed_too() -> None:
    pins = [pin("a", "core22", "theme"), pin("b", "core24"), pin("core22"), pin("core24"), pin("snapd"), pin("theme")]
    assert [one.name for one in subset(pins, ["a"])] == ["a", "core22", "snapd", "theme"]
    assert [one.name for one in subset(pins, [])] == ["snapd"]
    with pytest.raises(ConfigError, match="c is not in the lock"):
        subset(pins, ["c"])
