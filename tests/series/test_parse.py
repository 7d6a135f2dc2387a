"""What each line of a series file means."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.series import parse as parse_module
from image_builder.series import resolve as resolve_module
from image_builder.series.parse import directives, parse
from image_builder.series.resolve import split_targets


def said(text: str, format: str = "current") -> list[tuple[str, str]]:
    return [(line.kind, line.value) for line in parse(text, format).lines]


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("base/a.binary", ("hook", "base/a.binary")),
        ("  base/a.binary \t", ("hook", "base/a.binary")),
        ("depends base", ("depends", "base")),
        ("depends\t base ", ("depends", "base")),
        ("depends a b", ("depends", "a b")),
        ("depends", ("hook", "depends")),
        ("Depends base", ("hook", "Depends base")),
        ("dependsbase", ("hook", "dependsbase")),
        ("provides two words.img", ("provides", "two words.img")),
        ("provides", ("hook", "provides")),
        ("base/a.binary # no comment", ("hook", "base/a.binary # no comment")),
        ("#% binary: iso-hybrid", ("directive", "binary: iso-hybrid")),
    ],
)
def test_line(line: str, meaning: tuple[str, str]) -> None:
    assert said(line) == [meaning]


@pytest.mark.parametrize("line", ["", "   ", "# text", "#", "  # text", "#!/bin/sh"])
def test_lines_that_say_nothing(line: str) -> None:
    assert said(line) == []


def test_format_of_2019_has_neither_comments_nor_provides() -> None:
    assert said("# text\nprovides x\ndepends y\n", "2019") == [
        ("hook", "# text"),
        ("hook", "provides x"),
        ("depends", "y"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_numbers(end: str) -> None:
    text = end.join(["# A disk", "", "depends base", "base/a.binary"])
    assert [(line.value, line.number) for line in parse(text).lines] == [("base", 3), ("base/a.binary", 4)]


def test_a_form_feed_ends_no_line() -> None:
    assert said("a\x0cb\n") == [("hook", "a\x0cb")]


def test_byte_order_mark_is_dropped() -> None:
    assert said("\ufeffdepends base\n") == [("depends", "base")]


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("# A disk\n# more\n", "A disk"),
        ("base/a.binary\n## Late\n", "Late"),
        ("#% binary: none\n#\n# After\n", "After"),
        ("base/a.binary\n", ""),
    ],
)
def test_description_is_the_first_comment(text: str, description: str) -> None:
    assert parse(text).description == description


def test_directives() -> None:
    assert directives(parse("#%binary:iso-hybrid\n#% binary: iso-hybrid\n")) == ({"binary": "iso-hybrid"}, [])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("\n#% binary: usb", "unknown value 'usb' of 'binary'; known: none, iso-hybrid, netboot"),
        ("\n#% binray: none", "unknown directive 'binray'; known: binary, pack"),
        ("\n#%", "unknown directive ''; known: binary, pack"),
        ("#% binary: none\n#% binary: netboot", "'binary' is 'netboot' here and 'none' in a line before"),
    ],
)
def test_wrong_directives(text: str, complaint: str) -> None:
    assert directives(parse(text))[1] == [(2, complaint)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a b", ["a", "b"]),
        ("a;b,c", ["a", "b", "c"]),
        (" a ,;\n\tb; ", ["a", "b"]),
        ("b a b", ["b", "a", "b"]),
        (" , ;", []),
        (["a;b", "c"], ["a", "b", "c"]),
    ],
)
def test_split_targets(text: str | list[str], names: list[str]) -> None:
    assert split_targets(text) == names


@given(st.text(), st.sampled_from(["current", "2019"]))
def test_every_text_is_a_series_file(text: str, format: str) -> None:
    series = parse(text, format)
    directives(series)
    numbers = [line.number for line in series.lines]
    assert numbers == sorted(set(numbers))
    assert all(line.value == line.value.strip() for line in series.lines)


@given(st.text(alphabet="ab /#%:. \t", max_size=40).map(str.strip).filter(bool), st.integers(0, 5))
def test_blanks_and_empty_lines_around_change_nothing_but_the_number(line: str, before: int) -> None:
    plain, padded = parse(line), parse("\n" * before + f" \t{line}  \r\n\r\n")
    assert [each._replace(number=each.number + before) for each in plain.lines] == list(padded.lines)


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(parse_module) == (0, 1)
    assert doctest.testmod(resolve_module) == (0, 1)
