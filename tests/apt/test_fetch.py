from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from image_builder.apt.fetch import prefetch
from image_builder.apt.solution import Package
from image_builder.errors import PipelineError
from proxy.blobs import Blobs


def package(path: Path, served: str, **changes: Any) -> Package:
    data = path.read_bytes()
    fields: dict[str, Any] = {
        "name": path.name.partition("_")[0],
        "architecture": "all",
        "version": "1.0",
        "sha256": hashlib.sha256(data).hexdigest(),
        "size_bytes": len(data),
        "uri": f"{served}/pool/{path.name.replace('%', '%25')}",
    }
    return Package(**(fields | changes))


@pytest.fixture
def debs(archive: Any) -> list[Path]:
    return sorted((archive.folder / "pool").iterdir())


def test_what_is_missing_is_fetched_once(debs: list[Path], served: str, tmp_path: Path) -> None:
    store = Blobs(tmp_path / "store")
    packages = [package(path, served) for path in debs]
    seen: list[tuple[int, int]] = []
    total = sum(p.size_bytes for p in packages)
    assert prefetch(packages * 2, store, progress=lambda there, of: seen.append((there, of))) == total
    assert (seen[0], seen[-1]) == ((0, total), (total, total))
    assert [store.read(p.sha256) for p in packages] == [path.read_bytes() for path in debs]
    for path in debs:
        path.unlink()
    assert prefetch(packages, store) == 0
    assert sorted(path.name for path in store.folder.iterdir()) == sorted(p.sha256 for p in packages)


def test_half_a_file_is_fetched_again(debs: list[Path], served: str, tmp_path: Path) -> None:
    store = Blobs(tmp_path / "store")
    one = package(debs[0], served)
    store.folder.mkdir()
    store.path(one.sha256).write_bytes(b"half")
    assert prefetch([one], store) == one.size_bytes
    assert store.read(one.sha256) == debs[0].read_bytes()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"sha256": "0" * 64}, "SHA-256 is .* the signed index says 0000", id="other bytes"),
        pytest.param({"size_bytes": 10}, "longer than the 10 bytes", id="longer"),
    ],
)
def test_a_package_unlike_its_index_is_not_kept(
    changes: dict[str, Any], said: str, debs: list[Path], served: str, tmp_path: Path
) -> None:
    store = Blobs(tmp_path / "store")
    with pytest.raises(PipelineError, match=said):
        prefetch([package(debs[0], served, **changes), package(debs[1], served)], store)
    assert not store.has("0" * 64)
    assert [path for path in tmp_path.rglob("*") if path.name == "0" * 64] == []


def test_the_builds_own_packages_are_not_fetched(tmp_path: Path) -> None:
    own = Package("own", "all", "1", "0" * 64, 1, "file:/packages/./own_1_all.deb")
    assert prefetch([own], Blobs(tmp_path / "store")) == 0
