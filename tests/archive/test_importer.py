"""An archive comes into the database of a rebuild, and is followed as it changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from packages_by_hand import binary, source

from image_builder.archive.database.open import open_database
from image_builder.archive.database.records import Run
from image_builder.archive.database.store import Database
from image_builder.archive.importer import Archive, Rules, take_in
from image_builder.archive.indices.local import LocalPackages
from image_builder.archive.installability.judge import Judge
from image_builder.archive.model import Base, BinaryPackage, Key, SourcePackage
from image_builder.archive.requests import Action, Moved, Request
from image_builder.archive.states import Cause, State

TOOLS = [
    binary("build-essential", Depends="gcc"),
    binary("gcc", "12", Source="gcc-defaults"),
    binary("dash", Essential="yes"),
]


@dataclass(frozen=True)
class Entry:
    package: str
    reason: str
    architectures: Sequence[str] = ()


class World:
    """A rebuild of a small archive on amd64, an hour later with each look."""

    def __init__(self, database: Database, run: Run, cache: Path) -> None:
        self.database, self.run, self.now = database, run, 0.0
        self.judge = Judge(database, run, "trixie", {"amd64": ["amd64", "all"]}, cache)
        self.sources: list[SourcePackage] = []
        self.binaries = list(TOOLS)
        self.results: list[BinaryPackage] = []
        self.local: list[SourcePackage] = []
        self.rules = Rules()
        self.chosen: set[str] | None = None

    def look(self) -> dict[str, str]:
        """What the database has after a look: "source" or "source:all" -> "state version"."""
        self.now += 3600
        local = {one.name: one for one in self.local}
        sources = {one.name: one for one in self.sources} | local
        archive = Archive(sources, self.binaries, LocalPackages(local, {}, {}, {}))
        take_in(
            self.database, self.run.identity, "trixie", ["amd64"], archive, self.results, self.now,
            chosen=self.chosen, rules=self.rules,
        )  # fmt: skip
        self.judge.judge(sources, {"amd64": [*self.binaries, *self.results]}, self.now)
        return self.states()

    def states(self) -> dict[str, str]:
        rows = self.database.packages(self.run.identity)
        name = {row.key: row.key.source + (":all" if row.key.architecture == "all" else "") for row in rows}
        return {name[row.key]: f"{row.state} {row.version}" for row in rows}

    def move(self, name: str, action: Action, message: str = "", user: str = "me") -> None:
        request = Request(action, user=user, message=message)
        answer = self.database.move(self.run.identity, Key("trixie", "amd64", name), request, self.now)
        assert isinstance(answer, Moved), answer

    def problem(self, name: str, architecture: str = "amd64") -> str:
        row = self.database.package(self.run.identity, Key("trixie", architecture, name))
        assert row is not None
        return row.bd_problem


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_database(tmp_path / "state.db", durable=False) as database:
        run = database.add_run("test", 1, Base.BOTH, 0.0)
        yield World(database, run, tmp_path / "cache")


def test_from_nothing_all_is_built(world: World) -> None:
    world.sources = [
        source("a"),
        source("b", Build_Depends="nothere"),
        source("c", Architecture="all"),
        source("d", Architecture="any all", Build_Depends_Indep="texlive"),
        source("e", Architecture="arm64"),
        source("f", Architecture="arm64 all"),
    ]
    assert world.look() == {
        "a": "Needs-Build 1",
        "b": "BD-Uninstallable 1",
        "c:all": "Needs-Build 1",
        "d": "Needs-Build 1",
        "d:all": "BD-Uninstallable 1",
        "e": "Auto-Not-For-Us 1",
        "f": "Auto-Not-For-Us 1",
        "f:all": "Needs-Build 1",
    }
    assert world.problem("b") == "needs nothere, which no package provides"
    assert world.problem("d", "all") == "needs texlive, which no package provides"


def test_nothing_new_changes_nothing(world: World) -> None:
    world.sources = [source("a"), source("b", Build_Depends="nothere"), source("c", Architecture="all")]
    first = world.look()
    moves = len(world.database.transactions(world.run.identity))
    assert world.look() == first
    assert len(world.database.transactions(world.run.identity)) == moves


def test_what_was_built_is_installed_and_lets_others_build(world: World) -> None:
    world.sources = [source("a", Binary="liba"), source("b", Build_Depends="liba")]
    assert world.look() == {"a": "Needs-Build 1", "b": "BD-Uninstallable 1"}
    world.results = [binary("liba", "1+b2", Source="a")]
    assert world.look() == {"a": "Installed 1", "b": "Needs-Build 1"}
    world.results = []
    world.binaries.append(binary("liba", Source="a", Depends="gone"))
    world.look()
    assert world.problem("b") == "needs liba; liba 1 needs gone, which no package provides"


def test_a_new_version_is_wanted_an_old_failure_stays(world: World) -> None:
    world.sources = [source("a"), source("b")]
    world.look()
    for name in ("a", "b"):
        world.move(name, Action.TAKE)
        world.move(name, Action.FAILED, "does not compile")
    world.sources[0] = source("a", "2")
    assert world.look() == {"a": "Needs-Build 2", "b": "Failed 1"}


def test_what_left_the_archive_goes(world: World) -> None:
    world.sources = [source("a"), source("b")]
    world.look()
    del world.sources[0]
    assert world.look() == {"b": "Needs-Build 1"}


def test_not_for_us_is_not_touched(world: World) -> None:
    world.sources = [source("a")]
    world.look()
    world.move("a", Action.NO_BUILD)
    world.sources = [source("a", "2")]
    assert world.look()["a"].startswith("Not-For-Us")


def test_the_blacklist_says_why_and_can_be_lifted(world: World) -> None:
    world.sources = [source("linux-a"), source("linux-b"), source("other")]
    world.rules = Rules(blacklist=[Entry("linux-*", "takes a day"), Entry("*", "only on arm", ["arm64"])])
    assert world.look() == {"linux-a": "Not-For-Us 1", "linux-b": "Not-For-Us 1", "other": "Needs-Build 1"}
    row = world.database.package(world.run.identity, Key("trixie", "amd64", "linux-a"))
    assert row is not None
    assert (row.cause, row.reason) == (Cause.BLACKLIST, "takes a day")
    world.rules = Rules(blacklist=[Entry("linux-b", "takes a day")])
    assert world.look() == {"linux-a": "Needs-Build 1", "linux-b": "Not-For-Us 1", "other": "Needs-Build 1"}


def test_a_local_package_supersedes_a_newer_one(world: World) -> None:
    world.sources = [source("a", "9")]
    world.binaries.append(binary("a", "9"))
    world.local = [source("a", "1+mine")]
    assert world.look() == {"a": "Needs-Build 1+mine"}
    world.results = [binary("a", "1+mine")]
    assert world.look() == {"a": "Installed 1+mine"}


def test_whose_binaries_another_source_makes_is_not_taken_in(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.sources = [source("old", "1", Binary="tool"), source("new", "2", Binary="tool")]
    world.binaries.append(binary("tool", "2", Source="new"))
    assert world.look() == {"new": "Needs-Build 2"}
    assert "so new ones are not taken in: old" in caplog.text


def test_only_what_is_chosen(world: World) -> None:
    world.sources = [source("a"), source("b")]
    world.chosen = {"b"}
    assert world.look() == {"b": "Needs-Build 1"}
    world.chosen = None
    assert world.look() == {"a": "Needs-Build 1", "b": "Needs-Build 1"}


def test_what_is_kept_for_built_using_is_not_built(world: World) -> None:
    world.sources = [replace(source("a"), extra_source_only=True)]
    assert world.look() == {}


def test_a_field_that_cannot_be_read_is_the_package_s_own_problem(world: World) -> None:
    world.sources = [source("a", Build_Depends="b (>> "), source("b")]
    assert world.look() == {"a": "BD-Uninstallable 1", "b": "Needs-Build 1"}
    assert "where a relation should stand" in world.problem("a")


def test_a_dep_wait_ends_when_all_is_there(world: World) -> None:
    world.sources = [source("a")]
    world.look()
    world.move("a", Action.TAKE)
    world.move("a", Action.DEP_WAIT, "bb (>= 2), cc")
    world.binaries.append(binary("bb", "1"))
    assert world.look() == {"a": "Dep-Wait 1"}
    world.binaries += [binary("bb", "2"), binary("cc")]
    assert world.look() == {"a": "Needs-Build 1"}


def test_extra_dependencies_and_conflicts_count(world: World) -> None:
    world.sources = [source("a"), source("b")]
    world.look()
    world.move("a", Action.EXTRA_DEPENDS, "x [amd64], y [arm64]")
    world.move("b", Action.EXTRA_CONFLICTS, "gcc")
    assert world.look() == {"a": "BD-Uninstallable 1", "b": "BD-Uninstallable 1"}
    assert world.problem("a") == "needs x, which no package provides"
    assert world.problem("b").startswith("must not meet gcc")


def test_a_version_the_importer_has_not_seen_is_not_judged(world: World) -> None:
    world.sources = [source("a")]
    world.look()
    newer = source("a", "2", Build_Depends="nothere")
    world.judge.judge({"a": newer}, {"amd64": TOOLS}, world.now)
    assert world.states() == {"a": f"{State.NEEDS_BUILD} 1"}
