"""A store in a temporary directory, and layers to put into it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_builder.layers import Construction, Layer, Store

KEYS = [f"{number:x}" * 64 for number in range(1, 16)]


def put(store: Store, key: str, files: dict[str, str] | None = None, **meta: object) -> Layer:
    """Make a layer; one that is there already is an error."""
    with store.building(key) as construction:
        assert isinstance(construction, Construction)
        for name, content in (files or {"file": "content"}).items():
            path = construction.diff / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return construction.commit(meta)


def used_at(layer: Layer, seconds: float) -> None:
    """Say when a layer was used last."""
    os.utime(layer.directory / "used", (seconds, seconds))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        yield store
