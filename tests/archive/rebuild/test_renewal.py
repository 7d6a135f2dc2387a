"""What is wanted again is built again by the next run: by hand, and because the toolchain is another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_sbuild import QUICK, run, stand_in
from small_ground import ground

from image_builder.archive.database.open import open_database
from image_builder.archive.model import Key
from image_builder.archive.rebuild.ground import Ground
from image_builder.archive.requests import Action, Request
from image_builder.archive.states import State

ONE_PASS = [{"stage": 0, "base": "old", "packages": "all"}]
TOOL, WATER = Key("stable", "amd64", "tool"), Key("stable", "amd64", "water")


@pytest.fixture
def fake_sbuild(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return stand_in(monkeypatch, tmp_path)


def built(said: Path) -> list[str]:
    return sorted(json.loads(line)["source"] for line in said.read_text().splitlines())


def laid(folder: Path, **toolchain: object) -> Ground:
    return ground(folder, passes=ONE_PASS, schedule=QUICK, toolchain=toolchain)


def toolchains(made: Ground) -> dict[str, str]:
    results = made.stages.results(0)
    found = {name: results.read("stable", "amd64", name) for name in ("tool", "water")}
    return {name: result.toolchain for name, result in found.items() if result is not None}


def test_a_package_somebody_wants_is_built_again_and_no_other(fake_sbuild: Path, tmp_path: Path) -> None:
    made = laid(tmp_path)
    run(made)
    with open_database(made.config.database) as database:
        database.move(1, TOOL, Request(Action.WANT, user="me", number=5), 1e9)
    ended = run(made)
    assert built(fake_sbuild) == ["tool", "tool", "water"]
    assert ended["small stage 0"] == {State.INSTALLED: 2}
    run(made)
    assert built(fake_sbuild) == ["tool", "tool", "water"], "once"


def test_another_toolchain_is_a_reason_to_build_all_again(fake_sbuild: Path, tmp_path: Path) -> None:
    before = laid(tmp_path, flags={"CFLAGS": {"append": "-O3"}})
    run(before)
    assert set(toolchains(before).values()) == {before.config.toolchain.digest()}
    run(before)
    assert built(fake_sbuild) == ["tool", "water"], "the same one is none"
    after = laid(tmp_path, flags={"CFLAGS": {"append": "-O1"}})
    assert run(after)["small stage 0"] == {State.INSTALLED: 2}
    assert built(fake_sbuild) == ["tool", "tool", "water", "water"]
    assert toolchains(after) == dict.fromkeys(("tool", "water"), after.config.toolchain.digest())
    assert after.config.toolchain.digest() != before.config.toolchain.digest()
    with open_database(after.config.database) as database:
        assert database.run(1).toolchain == after.config.toolchain.digest()
        moves = [one for one in database.transactions(1, key=TOOL) if one.action == "want"]
    assert [(one.user, one.previous_state) for one in moves] == [("toolchain", State.INSTALLED)]
    run(after)
    assert built(fake_sbuild) == ["tool", "tool", "water", "water"]


def test_what_failed_is_tried_with_the_new_one(fake_sbuild: Path, tmp_path: Path) -> None:
    failing = fake_sbuild.with_name("tool fails")
    failing.touch()
    made = laid(tmp_path)
    assert run(made)["small stage 0"][State.BUILD_ATTEMPTED] == 1
    failing.unlink()
    assert run(made)["small stage 0"][State.BUILD_ATTEMPTED] == 1, "the same version with the same toolchain: no"
    assert run(laid(tmp_path, build_options=["nocheck"]))["small stage 0"] == {State.INSTALLED: 2}


def test_what_is_not_for_us_stays_so(fake_sbuild: Path, tmp_path: Path) -> None:
    made = laid(tmp_path)
    run(made)
    with open_database(made.config.database) as database:
        database.move(1, WATER, Request(Action.NO_BUILD, user="me", message="no"), 1e9)
    ended = run(laid(tmp_path, build_options=["nocheck"]))
    assert ended["small stage 0"] == {State.INSTALLED: 1, State.NOT_FOR_US: 1}
    assert built(fake_sbuild) == ["tool", "tool", "water"]
