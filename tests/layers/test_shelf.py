"""Values and downloads by key."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from image_builder.errors import PipelineError
from image_builder.layers import Store
from proxy.blobs import Blobs
from proxy.store.upkeep import busy, in_use


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


def download(store: Store, content: bytes, used: float = 1000) -> Path:
    path = store.root / "archive/sha256" / hashlib.sha256(content).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (used, used))
    return path


def test_a_damaged_download_is_found_by_a_deep_look(store: Store) -> None:
    store.downloads()
    sound, damaged = download(store, b"a package"), download(store, b"another")
    damaged.write_bytes(b"anothex")
    assert store.verify(deep=False) == []
    assert [problem.path for problem in store.verify(deep=True)] == [damaged]
    assert sound.exists()


def snap(store: Store, content: bytes) -> Path:
    path = store.root / "archive/sha3-384" / hashlib.sha3_384(content).hexdigest()
    (path.parent / "partial").mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_snaps_are_kept_like_packages(store: Store) -> None:
    store.downloads()
    sound, damaged = snap(store, b"a snap"), snap(store, b"another")
    damaged.write_bytes(b"anothex")
    (problem,) = store.verify(deep=True)
    assert (problem.path, problem.what[:11]) == (damaged, "SHA3-384 is")
    assert store.prune(0) == []  # in use
    store.close()
    gone = Store(store.root).prune(0)
    assert sorted(item.kind for item in gone) == ["snap", "snap"]
    assert not sound.exists()
    assert (store.root / "archive/sha3-384/partial").is_dir()


def test_downloads_in_use_are_not_pruned(store: Store) -> None:
    assert store.downloads() == store.root / "archive"
    store.remember("solution", "key", 1)
    deb = download(store, b"a package")
    lists = store.root / "archive/lists/0123"
    lists.mkdir(parents=True)
    (lists / "InRelease").write_text("x" * 10_000)
    with Store(store.root) as other:
        assert [item.kind for item in other.prune(0)] == ["value"]
        store.close()
        would = other.prune(0, dry_run=True)
        assert [(item.kind, item.size_bytes > 10_000) for item in would] == [("download", False), ("lists", True)]
        assert other.prune(0) == would
    assert not deb.exists()
    assert not lists.exists()


def test_downloads_somebody_serves_are_not_pruned(store: Store) -> None:
    """`snapshot-proxy serve` knows nothing of layers, and holds what it gives out in its own way."""
    store.remember("solution", "key", 1)
    deb = download(store, b"a package")
    with Store(store.root) as other:
        with in_use(Blobs(deb.parent)):
            assert [item.kind for item in other.prune(0)] == ["value"]
        assert [item.kind for item in other.prune(0)] == ["download"]


def test_what_is_held_is_let_go_when_the_store_is_closed(store: Store) -> None:
    blobs = Blobs(store.downloads() / "sha256")
    store.until_closed(in_use(blobs))
    assert busy(blobs)
    store.close()
    assert not busy(blobs)
