"""Damage to a kept layer is found."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from image_builder.layers import Layer, Store, background
from image_builder.layers.digest import digest

Put = Callable[..., Layer]


def turn_a_byte(path: Path) -> None:
    """As a bad disk does: size and times stay."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_sound_store(store: Store, put: Put) -> None:
    put(1)
    assert store.verify(deep=False) == []
    assert store.verify(deep=True) == []


@pytest.fixture(autouse=True)
def wait_for_digests(no_wait_for_digests: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - after it
    monkeypatch.setattr(background, "DIGESTS_S", 60.0)


def test_the_digest_is_computed_by_the_end_of_the_build(store: Store, put: Put) -> None:
    layer = put(1, {"a/b": "x", "c": "y"})
    store.close()
    assert layer.digest == digest(layer.diff)


def test_a_turned_bit_is_found_by_a_deep_look(store: Store, put: Put) -> None:
    layer = put(1)
    store.close()
    turn_a_byte(layer.diff / "file")
    assert store.verify(deep=False) == []
    (problem,) = store.verify(deep=True)
    assert problem.key == layer.key
    assert "content differs" in problem.what


def test_a_changed_file_is_found_by_a_quick_look(store: Store, put: Put) -> None:
    layer = put(1)
    (layer.diff / "file").write_text("longer than it was")
    assert [problem.what.split(":")[0] for problem in store.verify(deep=False)] == ["file"]


def test_a_lost_listing_is_a_problem(store: Store, put: Put) -> None:
    (put(1).directory / "listing").unlink()
    (problem,) = store.verify(deep=False)
    assert "listing cannot be read" in problem.what
