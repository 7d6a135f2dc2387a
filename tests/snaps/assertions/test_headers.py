"""Headers: what is read, what is refused, and the same bytes when printed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snaps.assertions import headers
from snaps.assertions.refused import RefusedError

NAMES = st.sampled_from(["a", "b1", "type", "snap-id", "x9-y-z"])
LINES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
TEXTS = LINES | st.lists(LINES, min_size=2, max_size=4).map("\n".join)
VALUES = st.recursive(
    TEXTS,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(NAMES, inner, min_size=1, max_size=3),
    max_leaves=10,
)


@settings(max_examples=60)
@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=6))
def test_what_is_printed_is_read_back(values: dict[str, Any]) -> None:
    printed = headers.encode(values)
    assert headers.parse(printed, where="test") == values
    assert headers.encode(headers.parse(printed, where="test")) == printed


@given(st.binary(max_size=200) | st.text(alphabet="ab-: \n", max_size=60).map(str.encode))
def test_anything_is_read_the_one_way_it_is_printed_or_refused(data: bytes) -> None:
    try:
        values = headers.parse(data, where="test")
    except RefusedError:
        return
    assert headers.encode(values) == data


def test_nested_values() -> None:
    text = b"""type: model
empty: \

note:
    first line
      second, indented
snaps:
  -
    name: pc
    modes:
      - run
      - recover
  - plain
map:
  inner:
    deep: x
  text:
      one
      two"""
    assert headers.parse(text, where="test") == {
        "type": "model",
        "empty": "",
        "note": "first line\n  second, indented",
        "snaps": [{"name": "pc", "modes": ["run", "recover"]}, "plain"],
        "map": {"inner": {"deep": "x"}, "text": "one\ntwo"},
    }
    assert headers.encode(headers.parse(text, where="test")) == text


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"a: 1\na: 1", "second time", id="repeated"),
        pytest.param(b"m:\n  a: 1\n  a: 2", "second time", id="repeated inside"),
        pytest.param(b"a: 1\t2", "control character", id="tab"),
        pytest.param(b"a: 1\r\nb: 2", "control character", id="carriage return"),
        pytest.param(b"a: \x00", "control character", id="nul"),
        pytest.param("a: 1\u2028b: 2".encode(), "control character", id="line separator"),
        pytest.param(b"a: \xff", "not UTF-8", id="not UTF-8"),
        pytest.param(b"A: 1", "name of a header", id="capital"),
        pytest.param(b"a-: 1", "name of a header", id="hyphen at the end"),
        pytest.param(b"-a: 1", "name of a header", id="hyphen at the start"),
        pytest.param(b"a", "name of a header", id="no colon"),
        pytest.param(b"", "name of a header", id="empty"),
        pytest.param(b"a:1", "no blank", id="no blank"),
        pytest.param(b"a:", "no value", id="no value"),
        pytest.param(b"a:\nb: 1", "no value", id="nothing below"),
        pytest.param(b"a:\n    one line", "one line", id="one line as several"),
        pytest.param(b"a: x\n    more", "name of a header", id="text after a value"),
        pytest.param(b"a:\n  - x\n  b: y", "name of a header", id="map after a list"),
        pytest.param(b"a" * (128 * 1024 + 1), "longer than", id="129 KiB"),
        pytest.param(b"\n".join(b"  " * i + b"a:" for i in range(40)), "deeper", id="too deep"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        headers.parse(data, where="test")


def test_no_header_is_left_unread() -> None:
    with pytest.raises(RefusedError, match="line 2"):
        headers.parse(b"a: 1\n b: 2", where="test")
