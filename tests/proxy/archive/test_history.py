from __future__ import annotations

import json
import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.errors import PipelineError
from proxy.archive.history import History, Known, hashes, merged, newest, proved

T = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


def known(name: str, date: datetime, until: datetime | None = None) -> Known:
    return Known(name * 64, date, until, "http://x/InRelease")


MONDAY = known("a", T, T + 5 * HOUR)
LATER = known("b", T + 24 * HOUR, T + 30 * HOUR)
UNSEEN = known("c", T + 48 * HOUR)


@pytest.mark.parametrize(
    ("at", "found"),
    [
        pytest.param(T - SECOND, None, id="none so old"),
        pytest.param(T, MONDAY, id="the second it was signed"),
        pytest.param(T + HOUR, MONDAY, id="in between"),
        pytest.param(T + 24 * HOUR - SECOND, MONDAY, id="a second before the next"),
        pytest.param(T + 24 * HOUR, LATER, id="the next"),
        pytest.param(T + 1000 * HOUR, UNSEEN, id="long after"),
    ],
)
def test_the_newest_of_an_instant(at: datetime, found: Known | None) -> None:
    assert newest([LATER, UNSEEN, MONDAY], at) == found


def test_of_one_second_the_one_seen_last_is_the_newest() -> None:
    again = known("d", T, T + 6 * HOUR)
    assert newest([again, MONDAY], T + HOUR) == newest([MONDAY, again], T + HOUR) == again


@pytest.mark.parametrize(
    ("kept", "at", "found", "said"),
    [
        pytest.param([], T, None, "nothing of this suite", id="empty"),
        pytest.param([MONDAY], T - SECOND, None, "the oldest one kept is of 2026-03-01 12:00:00", id="future only"),
        pytest.param([MONDAY], T + 5 * HOUR, MONDAY, "", id="as long as it was seen"),
        pytest.param([MONDAY], T + 5 * HOUR + SECOND, None, "still the newest after 2026-03-01 17:00", id="longer"),
        pytest.param([MONDAY, LATER], T + 20 * HOUR, None, "still the newest after", id="a later one proves nothing"),
        pytest.param([MONDAY, LATER], T + 24 * HOUR, LATER, "", id="the later one itself"),
        pytest.param([UNSEEN], T + 49 * HOUR, None, "ever was the newest", id="somebody had it"),
        pytest.param(
            [known("a", T, T + 30 * HOUR), known("c", T + 24 * HOUR)],
            T + 25 * HOUR,
            None,
            "ever was the newest",
            id="a newer one of that time, found later, spoils an older claim",
        ),
    ],
)
def test_what_is_certain(kept: list[Known], at: datetime, found: Known | None, said: str) -> None:
    answer, reason = proved(kept, at)
    assert answer == found
    assert said in reason
    assert bool(answer) != bool(reason)


instants = st.integers(0, 100).map(lambda hours: T + hours * HOUR)
histories = st.lists(
    st.builds(
        lambda name, date, more: known(name, date, None if more is None else date + more * HOUR),
        st.sampled_from("abcdef"),
        instants,
        st.none() | st.integers(0, 50),
    ),
    max_size=8,
    unique_by=lambda one: one.sha256,
)


@given(histories, instants)
def test_an_answer_is_signed_before_and_seen_after(kept: list[Known], at: datetime) -> None:
    found, _ = proved(kept, at)
    if found is not None:
        assert found.until is not None
        assert found.date <= at <= found.until
        assert not [one for one in kept if found.date < one.date <= at]


@given(histories)
def test_merging_is_the_same_in_any_order_and_twice(kept: list[Known]) -> None:
    seen_longer = [known(one.sha256[0], one.date, one.date + 60 * HOUR) for one in kept]
    assert merged(kept, seen_longer) == merged(seen_longer, kept) == merged(merged(kept, seen_longer), kept)


def test_it_is_read_back(tmp_path: Path) -> None:
    history = History(tmp_path, "http://127.0.0.1:8/debian", "a/b")
    history.add(UNSEEN, MONDAY)
    history.add(known("c", UNSEEN.date, UNSEEN.date + HOUR))
    assert History(tmp_path, "http://127.0.0.1:8/debian", "a/b").known() == [
        MONDAY,
        known("c", UNSEEN.date, UNSEEN.date + HOUR),
    ]
    assert History(tmp_path, "http://127.0.0.1:8/debian", "a").known() == []
    assert History(tmp_path, "http://127.0.0.1:9/debian", "a/b").known() == []


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"releases": [{"sha256": "../../x"}]}'])
def test_a_damaged_one_says_what_to_do(text: str, tmp_path: Path) -> None:
    history = History(tmp_path, "http://x", "y")
    history.add(MONDAY)
    history.path.write_text(text)
    with pytest.raises(PipelineError, match="not a history") as caught:
        history.known()
    assert "remove it" in str(caught.value)


def _add(folder: Path, name: str) -> None:
    for number in range(20):
        date = T + timedelta(minutes=number) + timedelta(days=int(name, 16))
        History(folder, "http://x", "y").add(Known(f"{name}{number:02d}" + "0" * 61, date, None, "z"))


def test_processes_do_not_forget_what_others_saw(tmp_path: Path) -> None:
    processes = [multiprocessing.Process(target=_add, args=(tmp_path, name)) for name in "1234"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    history = History(tmp_path, "http://x", "y")
    assert len(history.known()) == 80
    assert json.loads(history.path.read_text())["suite"] == "y"


def test_what_pruning_has_to_leave(tmp_path: Path) -> None:
    assert hashes(tmp_path) == set()
    History(tmp_path, "http://x", "y").add(MONDAY)
    History(tmp_path, "http://x", "z").add(LATER, UNSEEN)
    assert hashes(tmp_path) == {MONDAY.sha256, LATER.sha256, UNSEEN.sha256}
