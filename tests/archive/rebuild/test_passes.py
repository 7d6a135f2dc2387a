"""The passes of a rebuild with real database, scheduler, repository and jobs; sbuild's part is a small program."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from small_ground import ground

from image_builder.archive.builder.assignment import Assignment
from image_builder.archive.database.open import open_database
from image_builder.archive.model import Base, Key
from image_builder.archive.rebuild import orders, taking
from image_builder.archive.rebuild.ground import Ground
from image_builder.archive.rebuild.machine import Machine, machine
from image_builder.archive.rebuild.passes import Rebuild
from image_builder.archive.states import State

# In place of `python -m image_builder.archive.builder`: leaves what sbuild would, as the assignment says.
BUILDER = Path(__file__).with_name("builder.py.txt")
MACHINE = Machine(slots=2, parallel=1, memory_bytes=64 << 30, disk_bytes=1 << 40)
QUICK = {"trigger_min_seconds": 0.01, "heartbeat_seconds": 1, "delay_seconds": {"give-back": 0, "builder-fault": 0}}


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stands in for sbuild; its log of who was built with what."""
    said = tmp_path / "built"
    monkeypatch.setattr(orders, "COMMAND", (sys.executable, str(BUILDER), str(said)))
    monkeypatch.setattr(taking.Taking, "_accept_source", lambda *_: None)  # there is no archive to fetch it from
    return said


def run(made: Ground, *stages: int) -> dict[str, dict[State, int]]:
    with open_database(made.config.database) as database:
        return Rebuild(made, database, MACHINE, lambda _: None).run(stages)


PASSES = [{"stage": 0, "base": "old", "packages": "all"}, {"stage": 1, "base": "both", "packages": "all"}]


def test_stage_1_is_built_with_what_stage_0_made(builder: Path, tmp_path: Path) -> None:
    made = ground(tmp_path, passes=PASSES, schedule=QUICK, toolchain={"version_suffix": "+x1"})
    ended = run(made)
    assert ended["small stage 0"][State.INSTALLED] == 2
    assert ended["small stage 1"][State.INSTALLED] == 2
    lines = [json.loads(line) for line in builder.read_text().splitlines()]
    assert sorted(one["source"] for one in lines[:2]) == ["tool", "water"]
    assert all(one["repository"] == [] for one in lines[:2]), "stage 0 sees the old archive only"
    # What stage 0 has made is there for all of stage 1, in whatever order that is built.
    again = {one["source"]: one["repository"] for one in lines[2:]}
    assert again.keys() == {"tool", "water"}
    assert "libwater-dev 1-1+x1" in again["tool"]
    result = made.results.read("stable", "amd64", "tool")
    assert result is not None
    assert (result.stage, result.binary_version) == (1, "2-1+x1")
    assert {name.name for name in made.built("amd64", now=0)} == {"libwater-dev", "tool"}


def test_within_a_pass_who_makes_a_build_dependency_comes_first(builder: Path, tmp_path: Path) -> None:
    made = ground(tmp_path, passes=[{"stage": 1, "base": "both", "packages": "all"}], schedule=QUICK)
    assert run(made)["small stage 1"][State.INSTALLED] == 2
    first, second = (json.loads(line) for line in builder.read_text().splitlines())
    assert (first["source"], second["source"]) == ("water", "tool")
    assert second["repository"] == ["libwater-dev 1-1"], "the one that was just built"


def test_a_second_run_builds_nothing(builder: Path, tmp_path: Path) -> None:
    made = ground(tmp_path, passes=PASSES, schedule=QUICK)
    first = run(made)
    before = builder.read_text()
    assert run(made) == first
    assert builder.read_text() == before


def test_one_stage_alone(builder: Path, tmp_path: Path) -> None:
    made = ground(tmp_path, passes=PASSES, schedule=QUICK)
    assert list(run(made, 0)) == ["small stage 0"]
    assert len(builder.read_text().splitlines()) == 2


def test_a_failure_is_kept_with_its_cause(builder: Path, tmp_path: Path) -> None:
    builder.with_name("tool fails").touch()
    made = ground(tmp_path, passes=PASSES[:1], schedule={**QUICK, "alone": False})
    ended = run(made)["small stage 0"]
    assert (ended[State.INSTALLED], ended[State.BUILD_ATTEMPTED]) == (1, 1)
    with open_database(made.config.database) as database:
        record = database.attempts(1, Key("stable", "amd64", "tool"))[-1]
    assert record.reason == "the compiler refused the source"
    kept = made.results.history(record.attempt.identity)
    assert kept is not None
    assert (kept / "tool_2-1_amd64.short.log").read_text() == "tool.c:1:1: error: it does not compile\n"


def test_what_is_not_there_is_waited_for(builder: Path, tmp_path: Path) -> None:
    made = ground(tmp_path, passes=PASSES[:1], schedule=QUICK)
    there = [one for one in made.archive.binaries if one.name != "libwater-dev"]
    ended = run(replace(made, archive=replace(made.archive, binaries=there)))["small stage 0"]
    assert ended[State.BD_UNINSTALLABLE] == 1
    assert [json.loads(line)["source"] for line in builder.read_text().splitlines()] == ["water"]


def test_an_assignment_says_all_a_builder_needs(builder: Path, tmp_path: Path) -> None:
    toolchain = {"flags": {"CFLAGS": {"append": "-O3"}}, "build_profiles": ["nocheck"], "packages": ["gcc-15"]}
    made = ground(tmp_path, passes=PASSES[:1], schedule=QUICK, toolchain=toolchain)
    run(made)
    files = sorted((made.config.work / "assignments").iterdir())
    assert len(files) == 2
    one = Assignment.read(files[0])
    assert (one.base, one.architecture, one.build_all, one.repository) == (Base.OLD, "amd64", False, None)
    assert one.means.environment == {"DEB_CFLAGS_APPEND": "-O3"}
    assert (one.means.build_profiles, one.means.packages) == (("nocheck",), ("gcc-15",))
    assert [pin.uri for pin in one.pins] == [one.sources[0].uri]
    assert builder.exists()


def test_what_a_machine_gives(tmp_path: Path) -> None:
    given = machine(tmp_path, slots=3, parallel=2, memory=12 << 30, disk=5 << 30)
    assert given == Machine(3, 2, 12 << 30, 5 << 30)
    assert given.has_memory_for(4 << 30)
    assert not given.has_memory_for((4 << 30) + 1)
    found = machine(tmp_path, slots=None, parallel=None, memory=None, disk=None)
    assert found.slots >= 1
    assert found.parallel >= 1
