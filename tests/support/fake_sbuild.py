"""The passes of a rebuild driven for real, with a small program in sbuild's place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from image_builder.archive.database.open import open_database
from image_builder.archive.rebuild import orders, taking
from image_builder.archive.rebuild.ground import Ground
from image_builder.archive.rebuild.machine import Machine
from image_builder.archive.rebuild.passes import Rebuild
from image_builder.archive.states import State

# In place of `python -m image_builder.archive.builder`: leaves what sbuild would, as the assignment says.
BUILDER = Path(__file__).parents[1] / "archive/rebuild/builder.py.txt"
MACHINE = Machine(slots=2, parallel=1, memory_bytes=64 << 30, disk_bytes=1 << 40)
QUICK = {"trigger_min_seconds": 0.01, "heartbeat_seconds": 1, "delay_seconds": {"give-back": 0, "builder-fault": 0}}


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Let it stand in for sbuild from now on; return its log of who was built with what.

    A file beside that, "NAME fails", lets builds of NAME fail.
    """
    said = folder / "built"
    monkeypatch.setattr(orders, "COMMAND", (sys.executable, str(BUILDER), str(said)))
    monkeypatch.setattr(taking.Taking, "_accept_source", lambda *_: None)  # there is no archive to fetch it from
    return said


def run(made: Ground, *stages: int) -> dict[str, dict[State, int]]:
    with open_database(made.config.database) as database:
        return Rebuild(made, database, MACHINE, lambda _: None).run(stages)
