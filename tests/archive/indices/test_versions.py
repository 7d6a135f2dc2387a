"""Versions are compared as dpkg compares them."""

from __future__ import annotations

import pytest
from debian.debian_support import NativeVersion
from hypothesis import given
from hypothesis import strategies as st

from image_builder.archive.indices.versions import compare, key, satisfies

# From the lowest to the highest; what stands in one tuple is equal.
ORDER = (
    ("0~~", "0~~-0"),
    ("0~",),
    ("0", "0:0", "00", "0-0", "0-"),
    ("0a",),
    ("0+b1",),
    ("0.0~rc1",),
    ("0.0",),
    ("0.1",),
    ("1~rc1-1",),
    ("1-0~bpo1",),
    ("1", "1-0", "01", "1-00"),
    ("1-0.1",),
    ("1-1~deb12u1",),
    ("1-1",),
    ("1-1+b1",),
    ("1-1+b2",),
    ("1-1+b10",),
    ("1-1.1",),
    ("1-2",),
    ("1a-1",),
    ("1+dfsg-1",),
    ("1-rc-1",),
    ("1.2-1", "1.02-1", "0:1.2-01"),
    ("1.10-1",),
    ("1:0.1",),
    ("1:1:1-1",),
    ("2:0",),
)
RANKED = [(rank, text) for rank, texts in enumerate(ORDER) for text in texts]


@pytest.mark.parametrize(("rank", "text"), RANKED, ids=[text for _, text in RANKED])
def test_order(rank: int, text: str) -> None:
    for other_rank, other in RANKED:
        assert compare(text, other) == (rank > other_rank) - (rank < other_rank), other


# A hyphen at the end would leave an empty revision, which no package may have.
@given(
    st.tuples(*[st.from_regex(r"\A([0-9]:)?[0-9]([0-9A-Za-z.+~-]{0,7}[0-9A-Za-z.+~])?(-[0-9A-Za-z.+~]{1,4})?\Z")] * 2),
)
def test_as_python_debian(versions: tuple[str, str]) -> None:
    one, other = versions
    expected = NativeVersion(one), NativeVersion(other)
    assert compare(one, other) == (expected[0] > expected[1]) - (expected[0] < expected[1])
    assert (key(one) == key(other)) is (compare(one, other) == 0)


@pytest.mark.parametrize(
    ("version", "operator", "wanted", "holds"),
    [
        ("1-1", ">=", "1-1", True),
        ("1-1", ">>", "1-1", False),
        ("1-1", ">", "1-1", True),  # the old words mean "or equal", as dpkg still has it
        ("1-1", "<", "1-1", True),
        ("1-1", "<<", "1-1", False),
        ("1-1", "<=", "1-1+b1", True),
        ("1-1", "=", "1-1+b1", False),
        ("1.0", "=", "1.0-0", True),
    ],
)
def test_satisfies(version: str, operator: str, wanted: str, holds: bool) -> None:
    assert satisfies(version, operator, wanted) is holds
