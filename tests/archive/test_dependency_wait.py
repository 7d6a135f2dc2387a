"""The list of what a Dep-Wait waits for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.archive.dependency_wait import merge_waits, parse_waits


@pytest.mark.parametrize(
    ("text", "waits"),
    [
        ("libfoo-dev", {"libfoo-dev": ""}),
        ("libfoo-dev (>= 2)", {"libfoo-dev": ">= 2"}),
        ("libfoo-dev(>>1:2~rc1-1)", {"libfoo-dev": ">> 1:2~rc1-1"}),
        ("libfoo-dev (> 2)", {"libfoo-dev": ">> 2"}),
        (" a1 , b2 (>= 1),c3", {"a1": "", "b2": ">= 1", "c3": ""}),
        ("python3:any (>= 3.11)", {"python3:any": ">= 3.11"}),
        ("a1, a1 (>= 2)", {"a1": ">= 2"}),
    ],
)
def test_reads(text: str, waits: dict[str, str]) -> None:
    assert parse_waits(text) == waits


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a1 | b2", "no alternatives"),
        ("a1 (<< 2)", "only `PACKAGE`"),
        ("a1 (= 2)", "only `PACKAGE`"),
        ("a1 (>= )", "only `PACKAGE`"),
        ("a1 [amd64]", "only `PACKAGE`"),
        ("a1,,b2", "''"),
        ("", "''"),
        ("two words", "only `PACKAGE`"),
        ("a1\nPackage: evil", "only `PACKAGE`"),
    ],
)
def test_refuses(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="cannot be waited for") as caught:
        parse_waits(text)
    assert said in str(caught.value)


def test_the_new_list_overwrites_entries_of_the_old() -> None:
    assert merge_waits("a1 (>= 1), b2", "a1 (>> 2), c3") == "a1 (>> 2), b2, c3"
    assert merge_waits("", "a1") == "a1"


NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,8}", fullmatch=True)
LISTS = st.dictionaries(NAMES, st.sampled_from(["", ">= 1", ">> 2:3~a-4"]), min_size=1, max_size=5)


@given(LISTS, LISTS)
def test_what_was_merged_reads_back_as_both(old: dict[str, str], new: dict[str, str]) -> None:
    def written(waits: dict[str, str]) -> str:
        return ", ".join(f"{name} ({relation})" if relation else name for name, relation in waits.items())

    assert parse_waits(merge_waits(written(old), written(new))) == old | new
