"""A store in a temporary directory, and layers to put into it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from image_builder.layers import Construction, Layer, Store, background

Put = Callable[..., Layer]


@pytest.fixture(autouse=True)
def no_wait_for_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are computed when the machine is idle, which it is not while tests run."""
    monkeypatch.setattr(background, "DIGESTS_S", 0.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        yield store


@pytest.fixture
def key() -> Callable[[int], str]:
    """Keys that differ in their first digits."""
    return lambda number: f"{number:04x}" * 16


@pytest.fixture
def put(store: Store, key: Callable[[int], str]) -> Put:
    """Make a layer in the store; it is an error if it is there."""

    def put(
        number: int, files: Mapping[str, str] = {"file": "content"}, *, used: float | None = None, **meta: object
    ) -> Layer:
        with store.building(key(number)) as construction:
            assert isinstance(construction, Construction)
            for name, content in files.items():
                path = construction.diff / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
            layer = construction.commit(meta)
        if used is not None:
            os.utime(layer.directory / "used", (used, used))
        return layer

    return put
