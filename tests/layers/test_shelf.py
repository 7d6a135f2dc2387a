"""Values and downloads by key."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest

from image_builder.errors import PipelineError
from image_builder.layers import Store

CONTENT = b"a package"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_values(store: Store) -> None:
    assert store.recall("solution", "key") is None
    store.remember("solution", "key", {"packages": [1, "ü"]})
    store.remember("solution", "any key / at all", 2)
    store.remember("config", "key", 3)
    assert store.recall("solution", "key") == {"packages": [1, "ü"]}
    assert store.recall("solution", "any key / at all") == 2
    assert store.recall("config", "key") == 3
    store.remember("solution", "key", None)
    assert store.recall("solution", "key") is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "other", "value": 1}', "\0" * 30])
def test_a_damaged_value_is_none(store: Store, content: str) -> None:
    store.remember("solution", "key", 1)
    (path,) = (store.root / "values/solution").iterdir()
    path.write_text(content)
    assert store.recall("solution", "key") is None


@pytest.mark.parametrize("kind", ["", "../x", "A", "a/b"])
def test_a_kind_is_a_name(store: Store, kind: str) -> None:
    with pytest.raises(PipelineError, match="not a kind"):
        store.remember(kind, "key", 1)


def test_downloads(store: Store, tmp_path: Path) -> None:
    assert store.blob(SHA256) is None
    added = store.add_blob(io.BytesIO(CONTENT), SHA256)
    assert store.blob(SHA256) == added
    assert added.read_bytes() == CONTENT
    (tmp_path / "again").write_bytes(CONTENT)
    assert store.add_blob(tmp_path / "again", SHA256) == added
    assert (tmp_path / "again").exists(), "a copy"


def test_another_content_is_refused_and_leaves_nothing(store: Store) -> None:
    with pytest.raises(PipelineError, match=f"expected {SHA256}"):
        store.add_blob(io.BytesIO(b"tampered"), SHA256)
    assert store.blob(SHA256) is None
    assert list((store.root / "drafts").iterdir()) == []


def test_a_damaged_download_is_found_by_a_deep_look(store: Store) -> None:
    store.add_blob(io.BytesIO(CONTENT), SHA256).write_bytes(b"a parcel!")
    assert store.verify(deep=False) == []
    (problem,) = store.verify(deep=True)
    assert (problem.key, "SHA-256 is" in problem.what) == (SHA256, True)


def test_what_is_in_use_is_not_pruned(store: Store) -> None:
    store.add_blob(io.BytesIO(CONTENT), SHA256)
    store.remember("solution", "key", 1)
    with Store(store.root) as other:
        assert [item.kind for item in other.prune(0)] == ["value"]
        store.close()
        assert [item.kind for item in other.prune(0)] == ["download"]
    assert store.blob(SHA256) is None
