"""Whole builds killed at random moments of every phase: nothing is left or lost, and the bytes are the same.

IMAGE_BUILDER_KILL_SEED repeats the moments of a failed run, which names its seed.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from building import Project, copy_releases, copy_without_layers
from killing import PHASES, SIGNALS, TARGET, Killer, adopting, durations, fill, verify

pytestmark = pytest.mark.root


@dataclass
class Undisturbed:
    """A build nobody disturbed, in a store of its own."""

    project: Project
    seconds: dict[str, float]  # phase -> how long it took

    @property
    def sums(self) -> str:
        return self.project.artefact("SHA256SUMS").read_text()


@pytest.fixture
def undisturbed(small: Callable[[], Project], tmp_path: Path) -> Undisturbed:
    shared = small()
    project = Project(shared.folder, tmp_path / "undisturbed")
    copy_without_layers(shared.store, project.store)
    fill(project)
    began = time.monotonic()
    said = project.run("build", TARGET).stderr
    return Undisturbed(project, durations(said, time.monotonic() - began))


@pytest.fixture
def killer(undisturbed: Undisturbed, tmp_path: Path) -> Iterator[Killer]:
    """Of a project with the same hooks and lock, and an empty store."""
    seed = os.environ.get("IMAGE_BUILDER_KILL_SEED") or os.urandom(4).hex()
    print(f"IMAGE_BUILDER_KILL_SEED={seed}")
    folder = tmp_path / "killed"
    shutil.copytree(undisturbed.project.folder, folder, ignore=shutil.ignore_patterns("builds"), symlinks=True)
    with adopting():
        yield Killer(Project(folder, tmp_path / "store"), random.Random(seed), undisturbed.seconds)


def round_of_kills(killer: Killer, undisturbed: Undisturbed, *, whole: bool) -> None:
    """From an empty store on: every phase is killed by every signal, then the build is let through.

    whole: make the tool root too, which takes half a minute; else it is a copy.
    """
    project = killer.project
    if project.store.exists():
        shutil.rmtree(project.store)
    copy_releases(undisturbed.project, project.store)
    for by in SIGNALS:
        killer.kill("tool root", by)
    if not whole:
        shutil.rmtree(project.store)
        copy_without_layers(undisturbed.project.store, project.store)
    for phase in PHASES[1:]:
        for by in SIGNALS:
            killer.kill(phase, by)
    project.run("build", TARGET)
    assert project.artefact("SHA256SUMS").read_text() == undisturbed.sums
    verify(project, "--deep")
    for place in ("building", "failed", "trash", "drafts", "archive/tmp"):
        assert [p for p in (project.store / place).glob("*") if p.name != ".lock"] == [], place
    assert killer.control_groups() == []
    print(f"{killer.count} builds killed: {killer.hit}")
    assert all(killer.hit.values()), killer.hit


def test_some_dozens(killer: Killer, undisturbed: Undisturbed) -> None:
    round_of_kills(killer, undisturbed, whole=False)
    assert killer.count >= 24


@pytest.mark.full
def test_a_hundred(killer: Killer, undisturbed: Undisturbed) -> None:
    for number in range(4):
        round_of_kills(killer, undisturbed, whole=number == 0)
    assert killer.count >= 100
