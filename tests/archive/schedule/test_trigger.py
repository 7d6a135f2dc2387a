"""What the trigger makes of results, with the real database; several architectures."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import pytest
from small_world import binary, source

from image_builder.archive.database.open import open_database
from image_builder.archive.database.store import Database
from image_builder.archive.importing import INSTALLABLE, Found, Status, Verdict
from image_builder.archive.model import Base, Key
from image_builder.archive.order import build_graph
from image_builder.archive.requests import Action, Request
from image_builder.archive.schedule.gate import Gate
from image_builder.archive.schedule.seams import Lane
from image_builder.archive.schedule.trigger import RepositoryTrigger
from image_builder.archive.states import State

AMD64, ALL, ARM64 = (Lane("s", a, m) for a, m in (("amd64", "amd64"), ("all", "amd64"), ("arm64", "arm64")))
SOURCES = [source("lib"), source("doc", "lib"), source("app", "doc"), source("both", "app"), source("end", "both")]
BINARIES = [binary(one.name, one.name) for one in SOURCES]
ROWS = {AMD64: ("lib", "app", "both", "end"), ALL: ("doc", "both"), ARM64: ("lib", "app", "both", "end")}


class World:
    """A run of two architectures, and of what is built once for both; `both` has a row in each."""

    def __init__(
        self, database: Database, base: Base = Base.BOTH, lanes: Collection[Lane] = (AMD64, ALL, ARM64)
    ) -> None:
        self.database, self.now = database, 1000.0
        self.run = database.add_run("r", 1, base, self.now)
        self.problems: dict[str, str] = {}
        self.asked: list[tuple[Lane, frozenset[str] | None]] = []
        self.published: list[float] = []
        for lane in lanes:
            found = [Found(name, "1-1", Status.UNCOMPILED) for name in ROWS[lane]]
            database.merge(self.run.identity, lane.suite, lane.architecture, found, self.now)
        gates = {m: Gate(build_graph(SOURCES, BINARIES, architecture=m), base) for m in ("amd64", "arm64")}
        self.trigger = RepositoryTrigger(
            database, self.run, {lane: gates[lane.machine] for lane in lanes}, publish=self.published.append,
            check=self.check, waits=lambda lane: {"lib": INSTALLABLE},  # noqa: ARG005
        )  # fmt: skip

    def check(self, lane: Lane, asked: Collection[str] | None) -> Mapping[str, Verdict]:
        self.asked.append((lane, None if asked is None else frozenset(asked)))
        names = ROWS[lane] if asked is None else asked
        return {name: Verdict(self.problems.get(name, "")) for name in names}

    def look(self) -> int:
        self.now += 900.0
        return self.trigger(self.now)

    def move(self, lane: Lane, name: str, *actions: Action, **words: object) -> None:
        for action in actions:
            request = Request(action, "me", override=True, **words)  # type: ignore[arg-type]
            self.now += 1.0
            self.database.move(self.run.identity, Key(lane.suite, lane.architecture, name), request, self.now)

    def build(self, lane: Lane, name: str) -> None:
        self.move(lane, name, Action.TAKE, Action.BUILT, Action.UPLOADED)

    def state(self, lane: Lane, name: str) -> State:
        row = self.database.package(self.run.identity, Key(lane.suite, lane.architecture, name))
        assert row is not None
        return row.state


@pytest.fixture
def database() -> Iterator[Database]:
    with open_database(":memory:") as found:
        yield found


def test_what_was_handed_in_is_installed_after_it_was_published_and_opens_what_waits(database: Database) -> None:
    world = World(database)
    assert world.look() == 2
    assert (world.state(AMD64, "lib"), world.state(ALL, "doc")) == (State.NEEDS_BUILD, State.BD_UNINSTALLABLE)
    world.build(AMD64, "lib")
    assert world.state(AMD64, "lib") is State.UPLOADED
    assert world.look() == 1
    assert world.published == [1900.0, 2803.0]
    assert (world.state(AMD64, "lib"), world.state(ALL, "doc")) == (State.INSTALLED, State.NEEDS_BUILD)


def test_a_move_of_somebody_whose_clock_is_behind_is_seen_too(database: Database) -> None:
    world = World(database)
    world.look()
    world.build(AMD64, "lib")
    world.look()
    assert world.state(AMD64, "lib") is State.INSTALLED
    now, world.now = world.now, world.now - 86_400.0
    world.move(AMD64, "lib", Action.WANT)
    world.now = now
    assert world.state(AMD64, "lib") is State.BD_UNINSTALLABLE
    world.look()
    assert world.state(AMD64, "lib") is State.NEEDS_BUILD


def test_what_is_built_once_for_all_opens_on_every_architecture(database: Database) -> None:
    world = World(database)
    world.look()
    world.build(AMD64, "lib")
    world.build(ARM64, "lib")
    world.look()
    world.build(ALL, "doc")
    world.look()
    assert (world.state(AMD64, "app"), world.state(ARM64, "app")) == (State.NEEDS_BUILD, State.NEEDS_BUILD)


def test_an_architecture_does_not_wait_for_another(database: Database) -> None:
    world = World(database)
    world.look()
    world.build(ARM64, "lib")
    world.look()
    assert world.state(ALL, "doc") is State.BD_UNINSTALLABLE  # it is built on amd64, with amd64's lib


def test_a_source_with_two_rows_is_there_when_both_are_done(database: Database) -> None:
    world = World(database, lanes=(AMD64, ALL))
    world.look()
    for lane, name in ((AMD64, "lib"), (ALL, "doc"), (AMD64, "app"), (ALL, "both")):
        world.build(lane, name)
        world.look()
    assert world.state(AMD64, "end") is State.BD_UNINSTALLABLE
    world.build(AMD64, "both")
    world.look()
    assert world.state(AMD64, "end") is State.NEEDS_BUILD


def test_what_is_not_in_the_run_is_not_waited_for(database: Database) -> None:
    world = World(database, lanes=(AMD64,))  # nobody builds doc
    world.look()
    assert world.state(AMD64, "app") is State.NEEDS_BUILD


def test_a_failure_and_a_ban_open_what_waits_with_base_both(database: Database) -> None:
    world = World(database, lanes=(AMD64, ALL))
    world.look()
    world.move(AMD64, "lib", Action.TAKE, Action.ATTEMPTED)
    world.look()
    assert world.state(ALL, "doc") is State.NEEDS_BUILD
    world.move(ALL, "doc", Action.NO_BUILD)
    world.look()
    assert world.state(AMD64, "app") is State.NEEDS_BUILD


def test_only_what_may_have_changed_is_asked_again(database: Database) -> None:
    world = World(database, lanes=(AMD64, ALL))
    world.look()
    assert world.asked == [(AMD64, None), (ALL, None)]
    world.look()
    world.asked.clear()
    world.build(AMD64, "lib")
    world.look()
    assert world.asked == [(AMD64, frozenset()), (ALL, frozenset({"doc"}))]


def test_a_problem_is_kept_and_one_given_back_is_tested_again(database: Database) -> None:
    world = World(database, lanes=(AMD64,))
    world.problems = {"lib": "needs zlib1g-dev, which no package provides"}
    world.look()
    assert world.state(AMD64, "lib") is State.BD_UNINSTALLABLE
    world.problems = {}
    world.move(AMD64, "app", Action.TAKE, Action.GIVE_BACK)
    assert world.state(AMD64, "app") is State.BD_UNINSTALLABLE
    world.look()
    assert world.state(AMD64, "app") is State.NEEDS_BUILD


def test_a_package_in_dep_wait_is_asked_for(database: Database) -> None:
    world = World(database, lanes=(AMD64,))
    world.look()
    world.move(AMD64, "lib", Action.TAKE)
    world.move(AMD64, "lib", Action.DEP_WAIT, message="zlib1g-dev (>= 2)")
    assert world.state(AMD64, "lib") is State.DEP_WAIT
    world.look()
    assert world.state(AMD64, "lib") is State.NEEDS_BUILD


def test_a_second_trigger_knows_what_the_first_one_knew(database: Database) -> None:
    world = World(database, lanes=(AMD64, ALL))
    world.look()
    world.build(AMD64, "lib")
    world.look()
    gate = Gate(build_graph(SOURCES, BINARIES, architecture="amd64"), Base.BOTH)
    world.trigger = RepositoryTrigger(
        database, world.run, {AMD64: gate, ALL: gate}, publish=world.published.append, check=world.check,
        waits=lambda lane: {},  # noqa: ARG005
    )  # fmt: skip
    world.look()
    assert [gate.is_open(name) for name in ("lib", "doc", "app")] == [True, True, False]
    assert world.state(ALL, "doc") is State.NEEDS_BUILD


def test_what_cannot_be_built_now_is_not_waited_for_with_base_both(database: Database) -> None:
    world = World(database, lanes=(AMD64, ALL))
    world.problems = {"lib": "needs gcc-10, which no package provides", "doc": "needs tex, which no package provides"}
    world.look()
    assert world.state(AMD64, "lib") is State.BD_UNINSTALLABLE
    assert world.state(ALL, "doc") is State.BD_UNINSTALLABLE  # asked about as soon as nobody waits for lib
    assert world.state(AMD64, "app") is State.NEEDS_BUILD


def test_it_is_waited_for_with_base_built(database: Database) -> None:
    world = World(database, Base.BUILT, lanes=(AMD64, ALL))
    world.problems = {"lib": "needs gcc-10, which no package provides"}
    world.look()
    world.problems = {}
    world.look()
    assert world.state(ALL, "doc") is State.BD_UNINSTALLABLE


def test_a_package_in_dep_wait_is_not_waited_for_with_base_both(database: Database) -> None:
    world = World(database, lanes=(AMD64, ALL))
    world.trigger.waits = lambda lane: {}  # noqa: ARG005
    world.look()
    world.move(AMD64, "lib", Action.TAKE)
    world.move(AMD64, "lib", Action.DEP_WAIT, message="zlib1g-dev (>= 2)")
    world.look()
    assert (world.state(AMD64, "lib"), world.state(ALL, "doc")) == (State.DEP_WAIT, State.NEEDS_BUILD)
