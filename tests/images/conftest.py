"""Real builds in a store of their own, made once for all tests of this folder: real archive, real live-build."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from building import CONFIG, QUICK, SHIPPED, TOP, Project, left_behind


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the whole run, where overlays can have their upper layers.

    Its name is nobody else's: by it is told whose a process is, and fresh_roots.sh may be running the same tests.
    """
    return tmp_path_factory.mktemp(f"images-{os.urandom(4).hex()}") / "store"


@pytest.fixture(scope="session")
def locked(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lock of every build, so that what they have in common is made once."""
    project = Project(tmp_path_factory.mktemp("locked"), store)
    project.run("lock")
    return project.folder / "image-builder.lock"


@pytest.fixture(scope="session")
def checkout(store: Path, locked: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    """Makes projects with the shipped hooks; further: lines for their configuration."""

    def make(further: str = "") -> Project:
        project = Project(tmp_path_factory.mktemp("checkout"), store)
        (project.folder / "image-builder.yaml").write_text(textwrap.dedent(CONFIG) + further)
        (project.folder / "hooks.d").symlink_to(TOP / "hooks.d")
        shutil.copy2(locked, project.folder)
        return project

    return make


@pytest.fixture(scope="session")
def shipped(checkout: Callable[..., Project]) -> Project:
    """The shipped targets that are quick to make, built at once."""
    project = checkout()
    project.build(*QUICK)
    return project


@pytest.fixture(scope="session")
def formats(checkout: Callable[..., Project]) -> Project:
    """All shipped targets, built at once: for long tests."""
    project = checkout()
    project.build(*SHIPPED)
    return project


@pytest.fixture
def small(store: Path, locked: Path, tmp_path: Path) -> Iterator[Callable[[], Project]]:
    """Makes projects with the hooks of the test, on a base without packages; what is left behind fails the test."""

    def make() -> Project:
        folder = tmp_path / f"project{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        shutil.copy2(locked, folder)
        return Project(folder, store)

    yield make
    assert left_behind(store) == []
