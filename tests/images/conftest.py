"""Real builds in a store of their own, made once for all tests of this folder: real archive, real live-build."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from building import CONFIG, SHIPPED, TOP, Project, left_behind


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the whole run; it lies where overlays can have their upper layers."""
    return tmp_path_factory.mktemp("images") / "store"


@pytest.fixture(scope="session")
def shipped(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """All shipped targets, built at once from nothing."""
    project = Project(tmp_path_factory.mktemp("shipped"), store)
    (project.folder / "image-builder.yaml").write_text(textwrap.dedent(CONFIG))
    (project.folder / "hooks.d").symlink_to(TOP / "hooks.d")
    project.build(*SHIPPED)
    return project


@pytest.fixture
def small(shipped: Project, tmp_path: Path) -> Iterator[Callable[[], Project]]:
    """Projects of a base without packages, and hooks made for the test; what is left behind fails the test."""

    def make() -> Project:
        folder = tmp_path / f"project{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "image-builder.lock").write_bytes((shipped.folder / "image-builder.lock").read_bytes())
        return Project(folder, shipped.store)

    yield make
    assert left_behind(shipped.store) == []
