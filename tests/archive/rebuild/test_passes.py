"""The passes of a rebuild with real database, scheduler, repository and jobs; sbuild's part is a small program."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_sbuild import QUICK, run, stand_in
from small_ground import ground

from image_builder.archive.builder.assignment import Assignment
from image_builder.archive.database.open import open_database
from image_builder.archive.model import Base, Key
from image_builder.archive.rebuild.machine import Machine, machine
from image_builder.archive.requests import Action, Moved, Request
from image_builder.archive.states import State


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stands in for sbuild; its log of who was built with what."""
    return stand_in(monkeypatch, tmp_path)


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
    result = made.stages.results(1).read("stable", "amd64", "tool")
    assert result is not None
    assert (result.stage, result.binary_version) == (1, "2-1+x1")
    assert set(made.repository.winners("stable", "amd64")) == {"libwater-dev", "tool"}
    first = made.stages.results(0).read("stable", "amd64", "tool")
    assert first is not None, "what stage 0 has made stays beside that"
    assert (first.stage, first.run) == (0, "small stage 0")


def test_stage_2_is_built_with_results_of_stage_1_only(builder: Path, tmp_path: Path) -> None:
    passes = [*PASSES, {"stage": 2, "base": "built", "packages": "all"}]
    made = ground(
        tmp_path, whole=True, passes=passes, schedule={**QUICK, "slots": 1}, toolchain={"version_suffix": "+x1"}
    )
    ended = run(made)
    assert [ended[f"small stage {stage}"][State.INSTALLED] for stage in (0, 1, 2)] == [3, 3, 3]
    lines = [json.loads(line) for line in builder.read_text().splitlines()]
    by_stage = [lines[:3], lines[3:6], lines[6:]]
    attempts = [{one["attempt"] for one in some} for some in by_stage]
    assert [len(some) for some in attempts] == [3, 3, 3]
    assert all(one["made_by"] == {} for one in by_stage[0])
    # Whatever of stage 2 was there already when another was built: all it saw was stage 1's, and all of that.
    for one in by_stage[2]:
        assert set(one["made_by"].values()) == attempts[1]
        assert one["made_by"].keys() == {"base", "build-essential", "libwater-dev", "tool"}
    # A later stage, and the order in time, change nothing of what an earlier one was offered.
    made.stages.repository(2).rebuild("stable")
    stage_1 = made.stages.repository(2).index("stable", "amd64", now=0) / "Packages"
    newest = made.repository.index("stable", "amd64", now=0) / "Packages"
    for path, wanted in ((stage_1, attempts[1]), (newest, attempts[2])):
        assert {line.split()[1] for line in path.read_text().splitlines() if line.startswith("Attempt: ")} == wanted


def test_stage_2_has_nothing_of_what_failed_in_stage_1(builder: Path, tmp_path: Path) -> None:
    builder.with_name("water fails").touch()
    passes = [{"stage": 1, "base": "both", "packages": "all"}, {"stage": 2, "base": "built", "packages": "all"}]
    made = ground(tmp_path, whole=True, passes=passes, schedule={**QUICK, "alone": False})
    ended = run(made)
    assert ended["small stage 1"] == {State.INSTALLED: 2, State.BUILD_ATTEMPTED: 1}, "tool: with the archive's water"
    assert ended["small stage 2"] == {State.INSTALLED: 1, State.BUILD_ATTEMPTED: 1, State.BD_UNINSTALLABLE: 1}
    with open_database(made.config.database) as database:
        tool = database.package(database.run("small stage 2").identity, Key("stable", "amd64", "tool"))
    assert tool is not None
    assert "libwater-dev" in tool.bd_problem
    # The archive's own build of it is there, and is not used.
    last = json.loads(builder.read_text().splitlines()[-1])
    assert (last["source"], "libwater-dev" in last["made_by"]) != ("tool", True)


def test_built_after_a_part_uses_its_own_of_the_rest(builder: Path, tmp_path: Path) -> None:
    """Stage 1 of everything on results only: those of stage 0, and of what that did not build, its own."""
    passes = [{"stage": 0, "base": "old", "packages": ["core"]}, {"stage": 1, "base": "built", "packages": "all"}]
    made = ground(tmp_path, whole=True, passes=passes, schedule=QUICK)
    assert run(made)["small stage 1"][State.INSTALLED] == 3
    lines = [json.loads(line) for line in builder.read_text().splitlines()]
    core, tool = lines[0]["attempt"], next(one for one in lines if one["source"] == "tool")
    water = next(one["attempt"] for one in lines if one["source"] == "water")
    assert tool["made_by"] == {"base": core, "build-essential": core, "libwater-dev": water}


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


def test_a_clock_that_was_set_back_since_delays_nothing(builder: Path, tmp_path: Path) -> None:
    made = ground(tmp_path, passes=PASSES[:1], schedule=QUICK)
    run(made)
    with open_database(made.config.database) as database:
        tomorrow = database.latest() + 86_400.0
        asked = Request(Action.GIVE_BACK, "somebody", override=True, not_before=tomorrow - 1.0)
        answer = database.move(1, Key("stable", "amd64", "tool"), asked, tomorrow)
        assert isinstance(answer, Moved)
    assert run(made)["small stage 0"][State.INSTALLED] == 2
    assert [json.loads(line)["source"] for line in builder.read_text().splitlines()][2:] == ["tool"]


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
    kept = made.stages.results(0).history(record.attempt.identity)
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


def test_nothing_is_tried_against_results_before_they_have_what_every_chroot_has(builder: Path, tmp_path: Path) -> None:
    passes = [{"stage": 1, "base": "both", "packages": "all"}, {"stage": 2, "base": "built", "packages": "all"}]
    made = ground(tmp_path, passes=passes, schedule=QUICK)
    ended = run(made)
    assert ended["small stage 1"] == {State.INSTALLED: 2}
    assert ended["small stage 2"] == {State.BD_UNINSTALLABLE: 2}
    with open_database(made.config.database) as database:
        water = database.package(database.run("small stage 2").identity, Key("stable", "amd64", "water"))
    assert water is not None
    assert "build-essential" in water.bd_problem
    assert len(builder.read_text().splitlines()) == 2
