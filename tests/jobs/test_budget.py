from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from image_builder.jobs.budget import Budget
from image_builder.jobs.interface import Job


def job(name: str, memory: int = 1, disk: int = 1, *, alone: bool = False) -> Job:
    return Job(name, name, "amd64", ("true",), {}, memory, disk, 60.0, alone=alone)


def names(jobs: list[Job]) -> list[str]:
    return [one.reference for one in jobs]


def test_as_many_as_there_are_slots_memory_and_disk_for() -> None:
    budget = Budget(slots=3, memory_bytes=10, disk_bytes=10)
    assert names(budget.admit([job(n) for n in "abcd"], [])) == ["a", "b", "c"]
    assert names(budget.admit([job("a", 6), job("b", 6)], [])) == ["a"]
    assert names(budget.admit([job("a", 1, 6), job("b", 1, 6)], [])) == ["a"]


def test_a_smaller_one_passes_only_while_there_is_room_for_both() -> None:
    budget = Budget(slots=9, memory_bytes=10, disk_bytes=99)
    running = [job("r", 6)]
    waiting = [job("big", 8), job("s1", 2), job("s2", 2)]
    assert names(budget.admit(waiting, running)) == ["s1"]  # 8 + 2; with s2 the big one would have to wait for it
    assert names(budget.admit([waiting[0], waiting[2]], [*running, waiting[1]])) == []
    assert names(budget.admit([waiting[0], waiting[2]], [waiting[1]])) == ["big"]


def test_what_needs_more_than_the_machine_has_runs_when_nothing_else_does() -> None:
    budget = Budget(slots=2, memory_bytes=10, disk_bytes=10)
    assert names(budget.admit([job("huge", 50)], [job("r")])) == []
    assert names(budget.admit([job("huge", 50), job("small")], [])) == ["huge"]


def test_alone_is_alone_and_the_machine_is_emptied_once_for_all_that_want_it() -> None:
    budget = Budget(slots=4, memory_bytes=10, disk_bytes=10)
    waiting = [job("x", alone=True), job("n"), job("y", alone=True)]
    assert names(budget.admit(waiting, [job("r")])) == []
    assert names(budget.admit(waiting, [])) == ["x"]
    assert names(budget.admit(waiting[1:], [waiting[0]])) == []
    assert names(budget.admit(waiting[1:], [])) == ["y"]
    assert names(budget.admit([waiting[1]], [])) == ["n"]


jobs = st.lists(
    st.builds(lambda m, d, a: (m, d, a), st.integers(1, 12), st.integers(1, 12), st.booleans()), max_size=12
)


@given(jobs, st.randoms(use_true_random=False))
def test_nothing_is_overbooked_and_everything_starts_in_the_end(wanted, chance) -> None:  # type: ignore[no-untyped-def]
    budget = Budget(slots=3, memory_bytes=10, disk_bytes=10)
    waiting = [job(f"j{n}", m, d, alone=a) for n, (m, d, a) in enumerate(wanted)]
    running: list[Job] = []
    for _ in range(len(wanted) + 1):
        started = budget.admit(waiting, running)
        waiting = [one for one in waiting if one not in started]
        running += started
        if len(running) > 1:
            assert len(running) <= 3
            assert not any(one.alone for one in running)
            assert sum(one.memory_bytes for one in running) <= 10
            assert sum(one.disk_bytes for one in running) <= 10
        if running:
            running.remove(chance.choice(running))
    assert waiting == []


@given(st.lists(st.integers(1, 5), min_size=20, max_size=40))
def test_a_stream_of_small_ones_does_not_starve_a_large_one(small: list[int]) -> None:
    budget = Budget(slots=8, memory_bytes=10, disk_bytes=1000)
    large = job("large", 10)
    running = budget.admit([job(f"r{n}", 2) for n in range(5)], [])
    began = len(running)
    waiting = [large, *(job(f"s{n}", m) for n, m in enumerate(small))]
    for _ in range(began):  # as soon as those have ended that ran when it came
        started = budget.admit(waiting, running)
        waiting = [one for one in waiting if one not in started]
        running = [*running, *started][1:]
    assert large in budget.admit(waiting, running) or large in running
