"""Memory shared out among steps, and what the kernel says of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from image_builder.build import resources
from image_builder.build.resources import (
    MIB,
    Budget,
    check_disk,
    disk_is_short,
    disk_need,
    memory_available,
    memory_pressure,
)
from image_builder.errors import SurroundingsError
from image_builder.plan.tree import Node

Grow = Callable[..., dict[str, Node]]


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("MemTotal:  100 kB\nMemAvailable:   20480 kB\nBuffers: 1 kB\n", 20 * MIB),
        ("MemTotal:  100 kB\n", 0),
        ("", 0),
    ],
)
def test_memory_that_is_available(text: str, size_bytes: int) -> None:
    assert memory_available(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("some avg10=23.42 avg60=1.00 avg300=0.10 total=1\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n", 23.42),
        ("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", 0.0),
        ("", 0.0),
    ],
)
def test_memory_pressure(text: str, percent: float) -> None:
    assert memory_pressure(text) == percent


def test_a_step_needs_what_it_needed_last_time_else_what_its_kind_needs(tree: Grow) -> None:
    nodes = tree("a: base prepare squashfs", base="base", prepare="prepare")
    budget = Budget({nodes["base"]: 77}.get, total=1)
    assert [budget.need(n) for n in nodes.values()] == [77, 400 * MIB, 1500 * MIB]


def test_what_is_taken_is_taken_until_given_back(tree: Grow) -> None:
    nodes = tree("a: x", "b: y", "c: z")
    budget = Budget(lambda _: 40, total=100)
    x, y, z = nodes.values()
    assert [budget.take(n, alone=False) for n in (x, y, z)] == [True, True, False]
    assert budget.take(z, alone=True), "with nothing else running there is nothing to wait for"
    budget.give_back(z)
    budget.give_back(y)
    budget.give_back(y)
    assert [budget.take(n, alone=False) for n in (z, y)] == [True, False]


def test_who_was_refused_is_overtaken_only_while_there_is_room_for_both(tree: Grow) -> None:
    nodes = tree("a: first", "b: large", "c: x", "d: y")
    needs = {"first": 50, "large": 70, "x": 20, "y": 20}
    budget = Budget(lambda n: needs[n.spec.name], total=100)

    def take(name: str) -> bool:
        return budget.take(nodes[name], alone=False)

    assert [take(name) for name in ("first", "large", "x", "y")] == [True, False, True, False]
    budget.give_back(nodes["x"])
    assert take("y"), "the place of x is free again"
    budget.give_back(nodes["first"])
    assert [take("x"), take("large")] == [False, True]
    budget.give_back(nodes["large"])
    assert take("x"), "nobody waits any more"


def test_under_pressure_no_second_step_is_started(tree: Grow, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/proc/pressure/memory": "some avg10=50.00 avg60=1.00 avg300=0.10 total=1\n"}
    monkeypatch.setattr("image_builder.build.resources._read", lambda path: files[path])
    (x,) = tree("a: x").values()
    budget = Budget(lambda _: 1, total=1000)
    assert not budget.take(x, alone=False)
    assert budget.take(x, alone=True)
    files["/proc/pressure/memory"] = ""  # a kernel that does not tell
    assert budget.take(x, alone=False)


def test_compressors_share_the_memory() -> None:
    budget = Budget(lambda _: None, total=8000 * MIB)
    assert [budget.share_mib(jobs) for jobs in (1, 4, 0, 1000)] == [8000, 2000, 8000, 256]


def test_a_full_disk_is_said_with_what_to_do(tmp_path: Path) -> None:
    check_disk(tmp_path, need=0)
    with pytest.raises(SurroundingsError, match=r"no space: \d+ MiB left, a step needs \d+ MiB") as caught:
        check_disk(tmp_path, need=1 << 62)
    assert "store prune" in caught.value.hint
    assert caught.value.exit_status == 3


def test_a_step_is_asked_for_what_it_wrote_the_last_time_and_a_quarter_more() -> None:
    assert disk_need("binary", 8 << 30) == (10 << 30) + 256 * MIB
    assert disk_need("chroot", 0) == disk_need("chroot", None) == 512 * MIB
    assert disk_need("image", None) == 1024 * MIB, "not known: what its kind usually writes"


def test_a_step_ends_before_it_has_the_last_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk_is_short(tmp_path) == ""
    monkeypatch.setattr(resources, "RESERVE_DISK", 1 << 62)
    said = disk_is_short(tmp_path)
    assert re.fullmatch(r"no space left on the disk but \d+ MiB, which are not for it: it was ended", said)


def test_one_step_may_take_what_is_there_but_a_rest() -> None:
    assert Budget(lambda _: None, total=800 * MIB).limit_bytes() == 950 * MIB
    assert Budget(lambda _: None, total=0).limit_bytes() is None, "the kernel did not say"
