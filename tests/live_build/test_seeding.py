"""Which snaps a hook sees, and what of them is in its key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from image_builder.errors import ConfigError
from image_builder.live_build.seeding import Seeding
from image_builder.lock import SnapPin


def pin(name: str, *needs: str, **more: Any) -> SnapPin:
    fields = {"name": name, "snap_id": "a" * 32, "revision": 1, "sha3_384": "0" * 96, "size_bytes": 1, "needs": needs}
    return SnapPin.model_validate({**fields, "channel": "latest/stable", **more})


PINS = (pin("core22"), pin("hello", "core22"), pin("other", "core22"), pin("snapd"))
SEEDING = Seeding(PINS, ("hello", "other"), {"small": ("hello",)}, lambda pins: [p.name for p in pins])


def taken(words: Sequence[str] | None, target: str = "large") -> list[str] | None:
    found = SEEDING.taken(words, target, "base/x.chroot")
    return None if found is None else [one.name for one in found]


def test_what_a_hook_sees() -> None:
    assert taken(None) is None
    assert taken(["all"]) == ["core22", "hello", "other", "snapd"]
    assert taken(["all"], "small") == ["core22", "hello", "snapd"]
    assert taken(["other"], "small") == ["core22", "other", "snapd"]


def test_a_hook_that_sees_nothing_it_could_seed() -> None:
    with pytest.raises(ConfigError, match=r"base/x\.chroot \(of t\): seeds snaps, and none are asked for"):
        Seeding().taken(["all"], "t", "base/x.chroot")
    with pytest.raises(ConfigError, match="absent is not in the lock"):
        taken(["absent"])


@pytest.mark.parametrize(
    "change",
    [{"revision": 2}, {"sha3_384": "1" * 96}, {"channel": "latest/edge"}, {"classic": True}, {"type": "base"}],
)
def test_what_changes_the_seed_changes_the_key(change: dict[str, Any]) -> None:
    assert SEEDING.digest([pin("hello")]) != SEEDING.digest([pin("hello", **change)])


def test_another_cohort_of_the_same_revision_changes_no_key() -> None:
    assert SEEDING.digest([pin("hello")]) == SEEDING.digest([pin("hello", cohort="x", effective_channel="latest/beta")])


def test_assertions_model_and_trust_are_in_the_key() -> None:
    plain = Seeding(PINS, ("hello",))
    digests = {
        one.digest(PINS)
        for one in (plain, Seeding(PINS, ("hello",), proofs=lambda _: ["a"]), Seeding(PINS, ("hello",), others=("m",)))
    }
    assert len(digests) == 3
