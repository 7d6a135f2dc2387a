"""States over time: from moves and what is there now to counts, and to a picture."""

from __future__ import annotations

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from image_builder.archive.pages.graph import HEIGHT, LEFT, WIDTH, graph
from image_builder.archive.pages.timeline import Moment, timeline
from image_builder.archive.states import State

STATES = list(State)
N, B, I = State.NEEDS_BUILD, State.BUILDING, State.INSTALLED  # noqa: E741


def test_counts_go_back_from_now() -> None:
    moves = [(100.0, None, N), (100.0, None, N), (150.0, N, B), (200.0, B, I)]
    found = timeline(moves, {N: 1, I: 1}, 0.0, steps=4)
    assert found == [
        Moment(0.0, {}),
        Moment(50.0, {}),
        Moment(100.0, {N: 2}),
        Moment(150.0, {N: 1, B: 1}),
        Moment(200.0, {N: 1, I: 1}),
    ]


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 20), st.sampled_from([None, *STATES]))), st.randoms())
def test_it_is_what_doing_the_moves_one_by_one_gives(events: list[tuple[int, int, State | None]], dice: object) -> None:
    """Whatever the order in which the moves are told."""
    there: dict[int, State | None] = {}
    moves = []
    for at, package, state in sorted(events, key=lambda one: one[0]):
        moves.append((float(at), there.get(package), state))
        there[package] = state
    now = Counter(state for state in there.values() if state is not None)
    dice.shuffle(moves)  # type: ignore[attr-defined]
    for moment in timeline(moves, now, 0.0, steps=10):
        standing: dict[int, State | None] = {}
        for at, package, state in sorted(events, key=lambda one: one[0]):
            if at <= moment.at + 1e-6:
                standing[package] = state
        assert moment.counts == Counter(state for state in standing.values() if state is not None)


def test_a_book_that_was_shortened_ends_with_the_truth_all_the_same() -> None:
    found = timeline([(50.0, B, I)], {I: 3}, 0.0, steps=2)
    assert found[-1] == Moment(50.0, {I: 3})
    assert found[0].counts == {I: 2, B: 1}


def test_areas_lie_on_each_other_and_fill_the_picture() -> None:
    drawn = graph([Moment(0.0, {N: 4}), Moment(10.0, {N: 1, I: 3})])
    assert drawn is not None
    points = {area.state: [tuple(map(float, p.split(","))) for p in area.points.split()] for area in drawn.areas}
    left, right = float(LEFT), float(LEFT + WIDTH)
    assert points[I] == [(left, HEIGHT), (right, HEIGHT / 4), (right, HEIGHT), (left, HEIGHT)]
    assert points[N] == [(left, 0.0), (right, 0.0), (right, HEIGHT / 4), (left, HEIGHT)]
    assert [(mark.at, mark.words) for mark in drawn.upright] == [
        (300.0, "0"),
        (225.0, "1"),
        (150.0, "2"),
        (75.0, "3"),
        (0.0, "4"),
    ]


def test_where_nothing_changes_a_line_needs_no_points() -> None:
    drawn = graph([Moment(float(at), {N: 5 if at < 100 else 3}) for at in range(200)])
    assert drawn is not None
    assert len(drawn.areas[0].points.split()) == 8
    assert re.fullmatch(r"[\d., ]+", drawn.areas[0].points)


def test_nothing_to_draw() -> None:
    assert graph([]) is None
    assert graph([Moment(0.0, {N: 1})]) is None
    assert graph([Moment(0.0, {}), Moment(1.0, {})]) is None
