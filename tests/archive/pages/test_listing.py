"""Lists of states, grouped."""

from __future__ import annotations

from image_builder.archive.pages.listing import Entry, Group, groups
from image_builder.archive.pages.reading import Row
from image_builder.archive.states import NOT_TESTED, State


def row(source: str, **words: object) -> Row:
    return Row(source, "1-1", 0.0, "", "", "", "", "", "", 0.0, 0, 0.0, None, "", "")._replace(**words)


def test_the_queue_is_in_its_order() -> None:
    rows = [
        row("a"),
        row("b", remaining_seconds=60.0),
        row("c", asked=5),
        row("d", not_before=86400.0, cause="timeout"),
    ]
    (found,) = groups(State.NEEDS_BUILD, rows, {})
    assert list(found.entries) == [
        Entry("c", "1-1", "priority 5"),
        Entry("b", "1-1", "1 min of path"),
        Entry("a", "1-1"),
        Entry("d", "1-1", "not before 1970-01-02 00:00:00, timeout"),
    ]


def test_the_largest_groups_come_first() -> None:
    rows = [row("a", depends="x"), row("b", depends="y"), row("c", depends="y")]
    found = groups(State.DEP_WAIT, rows, {})
    assert [(one.title, [entry.source for entry in one.entries]) for one in found] == [
        ("wait for y", ["b", "c"]),
        ("wait for x", ["a"]),
    ]


def test_hundreds_of_groups_of_one_are_put_together() -> None:
    rows = [row(f"p{number:03}", depends=f"x{number:03}") for number in range(300)]
    rows += [row("q", depends="x"), row("r", depends="x")]
    first, last = groups(State.DEP_WAIT, rows, {})
    assert (first.title, last.title) == ("wait for x", "each for a reason of its own")
    assert last.entries[7] == Entry("p007", "1-1", "wait for x007, since 1970-01-01 00:00:00")
    assert len(last.entries) == 300


def test_what_nobody_has_looked_at_yet_is_one_group() -> None:
    found = groups(State.BD_UNINSTALLABLE, [row("a", problem=NOT_TESTED), row("b", problem=NOT_TESTED)], {})
    assert found == [Group(NOT_TESTED, [Entry("a", "1-1"), Entry("b", "1-1")])]


def test_what_is_done_is_by_letter() -> None:
    found = groups(State.INSTALLED, [row(name) for name in ("acl", "hello", "libfoo", "libfun")], {})
    assert [(one.title, len(one.entries)) for one in found] == [("a", 1), ("h", 1), ("libf", 2)]


def test_a_reason_without_end_is_cut() -> None:
    (found,) = groups(State.FAILED, [row("a", failed="x" * 10_000)], {})
    assert len(found.title) < 400


def test_every_state_can_be_shown_empty() -> None:
    assert [groups(state, [], {}) for state in State] == [[] for _ in State]
