"""What is taken out of texts before they are shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.archive.pages.plain import plain, plain_line


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[01;31m\x1b[Kerror:\x1b[m\x1b[K no", "error: no"),
        ("10%\r20%\rdone\r", "done"),
        ("\x1b]0;title\x07after", "after"),
        ("a\tb", "a\tb"),
        ("a\0b\x1b", "a\ufffdb\ufffd"),
        ("x\u202ecod.exe", "x\ufffdcod.exe"),
    ],
)
def test_a_line_of_a_log(line: str, shown: str) -> None:
    assert plain_line(line) == shown


@given(st.text(st.characters()))
def test_nothing_is_left_that_a_page_may_not_have(text: str) -> None:
    shown = plain(text)
    assert {unicodedata.category(one) for one in shown} & {"Cs"} == set()
    assert [one for one in shown if unicodedata.category(one) == "Cc" and one not in "\t\n"] == []
    assert [one for one in shown if unicodedata.bidirectional(one) in ("LRE", "RLE", "LRO", "RLO", "LRI", "RLI")] == []
    shown.encode()
