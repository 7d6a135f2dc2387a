"""What is shown of a log, and which lines are marked."""

from __future__ import annotations

from image_builder.archive.outcome import failing_lines
from image_builder.archive.pages.marking import AROUND, HEAD, LINE, LISTED, TAIL, WHOLE, Marked, Text, causes, marked

ERROR = "foo.c:3:1: error: expected ';'"


def numbers(found: Marked) -> list[tuple[int, int]]:
    """The first and the last line of each excerpt."""
    for excerpt in found.excerpts:
        assert [line.number for line in excerpt] == list(range(excerpt[0].number, excerpt[-1].number + 1))
    return [(excerpt[0].number, excerpt[-1].number) for excerpt in found.excerpts]


def plain_lines(count: int, *errors: int) -> list[str]:
    lines = [f"line {number}" for number in range(1, count + 1)]
    for number in errors:
        lines[number - 1] = ERROR
    return lines


def test_a_short_log_is_shown_whole() -> None:
    found = marked(Text([], plain_lines(WHOLE, 50)))
    assert numbers(found) == [(1, WHOLE)]
    assert [(line.number, line.mark, line.text) for line in found.marks] == [
        (50, "the compiler refused the source", ERROR)
    ]
    assert found.lines == WHOLE


def test_of_a_long_one_its_ends_and_around_what_failed() -> None:
    count = 3 * WHOLE
    found = marked(Text([], plain_lines(count, 5000)))
    assert numbers(found) == [(1, HEAD), (5000 - AROUND, 5000 + AROUND), (count - TAIL + 1, count)]
    assert found.lines == count


def test_a_log_whose_middle_was_not_kept() -> None:
    found = marked(Text(plain_lines(HEAD), plain_lines(10, 3), gap=1_000_000))
    assert numbers(found) == [(1, HEAD), (HEAD + 1_000_001, HEAD + 1_000_010)]
    assert [line.number for line in found.marks] == [HEAD + 1_000_003]
    assert found.lines == HEAD + 1_000_010


def test_of_thousands_of_failures_the_first_are_listed_and_all_shown_ones_marked() -> None:
    found = marked(Text([], [ERROR] * 1000))
    assert (len(found.marks), found.more) == (LISTED, 1000 - LISTED)
    assert all(line.mark for excerpt in found.excerpts for line in excerpt)


def test_endless_lines_are_cut() -> None:
    found = marked(Text([], ["x" * 50_000_000]))
    assert found.excerpts[0][0].text == "x" * LINE + f" … ({50_000_000 - LINE} more characters)"


def test_the_same_lines_are_marked_as_builders_name() -> None:
    lines = [*plain_lines(5), ERROR, "", "ld: a.o: undefined reference to `x'", "dh_auto_test: error: make", "end"]
    assert sorted(causes(lines)) == [number - 1 for number in failing_lines(lines)]


def test_an_empty_log() -> None:
    assert marked(Text([], [])) == Marked((), (), 0, 0)
