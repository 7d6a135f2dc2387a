"""Paths of pages: one for each name, none that leads out."""

from __future__ import annotations

import doctest
import re

from hypothesis import given
from hypothesis import strategies as st

from image_builder.archive.pages import addresses
from image_builder.archive.pages.addresses import listing, names, package, prefix, safe, top

ANY = st.text(max_size=400)


def test_examples() -> None:
    assert doctest.testmod(addresses).failed == 0


@given(ANY)
def test_a_name_is_one_part_of_a_path_whatever_it_is(name: str) -> None:
    part = safe(name)
    assert re.fullmatch(r"[A-Za-z0-9+~_=-][A-Za-z0-9+.~_=-]*", part)
    assert len(part) <= 255


@given(st.lists(ANY | st.text("ab./=%é2F", max_size=6), unique=True))
def test_no_two_names_share_a_page(several: list[str]) -> None:
    assert len({safe(name) for name in several}) == len(several)


def test_parts_of_the_pool() -> None:
    assert [prefix(name) for name in ("hello", "libfoo", "lib", "lib3mf", "0ad")] == ["h", "libf", "l", "lib3", "0"]
    assert (package("libfoo"), names("libf")) == ("package/libf/libfoo.html", "names/libf.html")


def test_every_page_knows_its_way_to_the_top() -> None:
    assert [top(path) for path in ("index.html", package("x"), listing(1, "a", "b", "Built"))] == [
        "",
        "../../",
        "../../../../",
    ]
