from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.archive.repository.useforbuild import Flag, Flags, decide, from_text, to_text
from image_builder.errors import ConfigError

ON, OFF = Flag(True), Flag(False)


@pytest.mark.parametrize(
    ("flags", "offered"),
    [
        pytest.param((), True, id="none: the default"),
        pytest.param((OFF,), False, id="off everywhere"),
        pytest.param((ON, OFF), False, id="off is worth one more than on"),
        pytest.param((OFF, Flag(True, architecture="amd64")), True, id="an architecture is worth two"),
        pytest.param((Flag(True, architecture="arm64"),), True, id="of another architecture: the default"),
        pytest.param((Flag(True, "stable"), Flag(False, architecture="amd64")), True, id="a suite is worth four"),
        pytest.param((Flag(True, "stable"), Flag(False, "stable")), False, id="a suite, on and off"),
        pytest.param((Flag(True, "stable", "amd64"), Flag(False, "stable")), True, id="both beat off"),
        pytest.param((Flag(False, "other", "amd64"), ON), True, id="of another suite: not counted"),
    ],
)
def test_the_closest_flag_decides(flags: tuple[Flag, ...], offered: bool) -> None:
    assert decide(flags, "stable", "amd64", default=True) is offered


def test_the_project_gives_the_default_of_its_packages() -> None:
    flags = Flags(project=(OFF,), packages={"chosen": (ON,), "elsewhere": (Flag(True, "other"),)})
    assert flags.offered("chosen", "stable", "amd64")
    assert not flags.offered("elsewhere", "stable", "amd64")
    assert not flags.offered("unnamed", "stable", "amd64")


def test_a_flag_takes_the_place_of_one_for_the_same() -> None:
    flags = Flags().with_flag("a", OFF).with_flag("a", ON).with_flag("a", Flag(False, "stable"))
    assert flags.packages["a"] == (ON, Flag(False, "stable"))
    assert flags.without_flag("a", ON).without_flag("a", Flag(True, "stable")).packages == {}
    assert Flags().with_flag(None, OFF).project == (OFF,)


names = st.one_of(st.none(), st.sampled_from(["stable", "amd64", "ü"]))
lists = st.lists(st.builds(Flag, st.booleans(), names, names), max_size=3).map(tuple)


@given(st.builds(Flags, lists, st.dictionaries(st.sampled_from("abc"), lists)))
def test_what_is_written_is_read(flags: Flags) -> None:
    assert from_text(to_text(flags), where=Path("flags")) == flags


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"project": [{"on": 1}], "packages": {}}', '{"project": [{"of": true}], "packages": {}}']
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="useforbuild"):
        from_text(text, where=Path("flags"))
