"""Packages in the database: reading, moves, the book of moves, the importer, installability."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import pytest
from rebuild_rows import ARCHITECTURE, NOW, SUITE, begin, deliver, key, queue, start

from image_builder.archive.database.rows import add_many, load, save
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Found, Status, Verdict
from image_builder.archive.model import Base, Key
from image_builder.archive.priority import Weights
from image_builder.archive.requests import Action, Moved, Refusal, Request
from image_builder.archive.states import NOT_TESTED, Cause, Package, State
from image_builder.errors import PipelineError

BROKEN = Verdict("needs libfoo-dev, which no package provides", '[{"kind": "missing"}]')


def full(state: State = State.BD_UNINSTALLABLE) -> Package:
    """A package with something else in every field."""
    values: dict[str, object] = {}
    for number, field in enumerate(fields(Package)):
        if field.type in ("str",):
            values[field.name] = f"{field.name} ä"
        elif field.type.startswith("int"):
            values[field.name] = number
        elif field.type.startswith("float"):
            values[field.name] = number + 0.5
    values |= {"key": key("hello"), "state": state, "previous_state": State.DEP_WAIT, "cause": Cause.TIMEOUT}
    return Package(**values)  # type: ignore[arg-type]


def test_every_field_comes_back(db: Database) -> None:
    run = db.add_run("test", 0, Base.OLD, NOW).identity
    row = full()
    assert all(getattr(row, field.name) not in ("", None) for field in fields(Package))
    with db.writing() as connection:
        add_many(connection, run, [row], Weights())
        assert load(connection, run, row.key) == row
        bare = Package(key=row.key, version="1", state=State.NEEDS_BUILD)
        save(connection, run, row, bare, Weights())
        assert load(connection, run, row.key) == bare
        save(connection, run, bare, row, Weights())
        assert load(connection, run, row.key) == row


def test_a_move_is_written_with_its_line_in_the_book(db: Database) -> None:
    run = begin(db)
    request = Request(Action.TAKE, user="me", real_user="root", override=True, message="x")
    answer = db.move(run.identity, key("hello"), request, NOW + 1)
    assert isinstance(answer, Moved)
    assert db.package(run.identity, key("hello")) == answer.package
    line = db.transactions(run.identity, key=key("hello"), limit=1)[0]
    assert (line.action, line.previous_state, line.state) == ("take", State.NEEDS_BUILD, State.BUILDING)
    assert (line.user, line.real_user, line.time, line.override) == ("me", "root", NOW + 1, True)
    assert (line.version, line.message, line.run) == ("1.0-1", "x", run.identity)


def test_a_refusal_changes_nothing(db: Database) -> None:
    run = begin(db)
    before = db.package(run.identity, key("hello")), db.transactions()
    assert isinstance(db.move(run.identity, key("hello"), Request(Action.BUILT, user="me"), NOW), Refusal)
    assert (db.package(run.identity, key("hello")), db.transactions()) == before


def test_many_are_answered_each_by_itself(db: Database) -> None:
    run = begin(db, ["a1", "b2", "c3"])
    db.move(run.identity, key("b2"), Request(Action.NO_BUILD, user="me"), NOW)
    keys = [key(name) for name in ("c3", "b2", "nobody", "a1")]
    request = Request(Action.TAKE, user="me")
    dry = db.move_many(run.identity, keys, request, NOW, dry_run=True)
    assert [(k.source, isinstance(a, Moved)) for k, a in dry] == [
        ("a1", True),
        ("b2", False),
        ("c3", True),
        ("nobody", False),
    ]
    assert [p.state for p in db.packages(run.identity)] == [State.NEEDS_BUILD, State.NOT_FOR_US, State.NEEDS_BUILD]
    assert [(k.source, isinstance(a, Moved)) for k, a in db.move_many(run.identity, keys, request, NOW)] == [
        (k.source, isinstance(a, Moved)) for k, a in dry
    ]
    assert [p.state for p in db.packages(run.identity)] == [State.BUILDING, State.NOT_FOR_US, State.BUILDING]
    assert dict(db.move_many(run.identity, [key("nobody")], request, NOW))[key("nobody")] == Refusal(
        "nobody: not known in test stage 1 for trixie amd64"
    )


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", ["a1", "b+2", "b.3"]),
        ("b*", ["b+2", "b.3"]),
        ("b+2", ["b+2"]),
        ("?1", ["a1"]),
        ("[!b]*", ["a1"]),
        ("x", []),
    ],
)
def test_packages_by_pattern(db: Database, pattern: str, names: list[str]) -> None:
    run = begin(db, ["b.3", "b+2", "a1"])
    assert [p.key.source for p in db.packages(run.identity, pattern=pattern)] == names


def test_packages_by_state_suite_and_architecture(db: Database) -> None:
    run = begin(db)
    db.merge(run.identity, "sid", "all", [Found("doc", "1", Status.INSTALLED)], NOW)
    assert [p.key for p in db.packages(run.identity, suite="sid")] == [Key("sid", "all", "doc")]
    assert [p.key.source for p in db.packages(run.identity, architecture="amd64", limit=1)] == ["acl"]
    assert [p.key.source for p in db.packages(run.identity, states=[State.INSTALLED])] == ["doc"]
    assert db.counts() == {
        (run.identity, SUITE, ARCHITECTURE): {State.NEEDS_BUILD: 2},
        (run.identity, "sid", "all"): {State.INSTALLED: 1},
    }


def test_texts_no_database_could_keep_are_mended(db: Database) -> None:
    run = begin(db)
    db.start(run.identity, key("hello"), "w1", NOW, lease_seconds=1, time_limit_seconds=1)
    db.move(run.identity, key("hello"), Request(Action.FAILED, user="w1", message="nul \0, half \udc80"), NOW)
    row = db.package(run.identity, key("hello"))
    assert row is not None
    assert row.failed == "nul �, half ?"


class TestImporter:
    def test_counts_what_it_did(self, db: Database) -> None:
        run = begin(db, ["a1", "b2", "c3"]).identity
        sources = [
            Found("a1", "1.0-1", Status.UNCOMPILED, binaries=("liba1",)),
            Found("b2", "2.0-1", Status.UNCOMPILED),
        ]
        sources.append(Found("d4", "1", Status.INSTALLED))
        merged = db.merge(run, SUITE, ARCHITECTURE, sources, NOW + 5)
        assert (merged.added, merged.changed, merged.removed, merged.untouched) == (1, 1, 1, 1)
        rows = {p.key.source: p for p in db.packages(run)}
        assert {name: row.state for name, row in rows.items()} == {
            "a1": State.NEEDS_BUILD,
            "b2": State.BD_UNINSTALLABLE,
            "d4": State.INSTALLED,
        }
        assert rows["b2"].bd_problem == NOT_TESTED
        assert [(t.key.source, t.action, t.state) for t in db.transactions(run, since=NOW + 5)] == [
            ("c3", "merge: deleted", None),
            ("b2", "merge: uncompiled", State.BD_UNINSTALLABLE),
            ("d4", "merge", State.INSTALLED),
        ]

    def test_can_leave_alone_what_it_did_not_see(self, db: Database) -> None:
        run = begin(db, ["a1", "b2"]).identity
        db.merge(run, SUITE, ARCHITECTURE, [Found("c3", "1", Status.INSTALLED)], NOW, forget_missing=False)
        assert [p.key.source for p in db.packages(run)] == ["a1", "b2", "c3"]

    def test_a_new_version_ends_the_attempt_at_the_old_one(self, db: Database) -> None:
        run = begin(db)
        attempt = start(db, run)
        queue(db, run, ["acl", "hello"], version="1.1-1")
        assert db.live_attempts() == []
        late = deliver(db, attempt)
        assert isinstance(late, Refusal)
        assert "comes too late: version 1.1-1 is wanted by now" in late.what

    def test_a_source_that_leaves_takes_its_attempt_along(self, db: Database) -> None:
        run = begin(db)
        attempt = start(db, run)
        queue(db, run, ["acl"])
        assert db.package(run.identity, key("hello")) is None
        late = deliver(db, attempt)
        assert isinstance(late, Refusal)
        assert "the source left the suite" in late.what
        assert db.transactions(run.identity, key=key("hello"), limit=1)[0].state is None

    def test_expects_the_time_of_the_last_rebuild(self, db: Database) -> None:
        first = begin(db)
        deliver(db, start(db, first))
        second = begin(db, stage=2)
        rows = {p.key.source: p.last_build_seconds for p in db.packages(second.identity)}
        assert rows == {"acl": None, "hello": 42.0}

    def test_blacklist_names_and_forgets(self, db: Database) -> None:
        run = begin(db)
        attempt = start(db, run)
        assert db.blacklist(run.identity, SUITE, ARCHITECTURE, {"hello": "patents"}, NOW) == 1
        assert isinstance(deliver(db, attempt), Refusal)
        assert db.blacklist(run.identity, SUITE, ARCHITECTURE, {"hello": "patents"}, NOW) == 0
        assert db.cause_counts(run.identity) == {(State.NOT_FOR_US, Cause.BLACKLIST): 1}
        assert db.blacklist(run.identity, SUITE, ARCHITECTURE, {}, NOW) == 1
        row = db.package(run.identity, key("hello"))
        assert row is not None
        assert row.state is State.BD_UNINSTALLABLE


class TestInstallability:
    def test_only_what_changed_is_touched(self, db: Database) -> None:
        run = begin(db, ["a1", "b2", "c3"]).identity
        moved = db.judge(run, SUITE, ARCHITECTURE, {"a1": BROKEN, "b2": Verdict(), "nobody": BROKEN}, {}, NOW + 7)
        assert moved == {"a1": State.BD_UNINSTALLABLE}
        row = db.package(run, key("a1"))
        assert row is not None
        assert (row.bd_problem, row.bd_chain, row.state_change) == (BROKEN.problem, BROKEN.chain, NOW + 7)
        number = len(db.transactions(run))
        assert db.judge(run, SUITE, ARCHITECTURE, {"a1": BROKEN}, {}, NOW + 8) == {}
        assert db.judge(run, SUITE, ARCHITECTURE, {"a1": replace(BROKEN, problem="else")}, {}, NOW + 8) == {}
        assert len(db.transactions(run)) == number
        assert db.judge(run, SUITE, ARCHITECTURE, {"a1": Verdict()}, {}, NOW + 9) == {"a1": State.NEEDS_BUILD}
        row = db.package(run, key("a1"))
        assert row is not None
        assert (row.bd_problem, row.bd_chain) == ("", "")

    def test_what_is_waited_for_has_come(self, db: Database) -> None:
        run = begin(db, ["a1", "b2", "c3"]).identity
        for name in ("a1", "b2", "c3"):
            db.move(run, key(name), Request(Action.DEP_WAIT, user="me", message="libfoo-dev"), NOW)
        builds = {"a1": Verdict(), "b2": BROKEN, "c3": Verdict()}
        waits = {"a1": Verdict(), "b2": Verdict(), "c3": BROKEN}
        assert db.judge(run, SUITE, ARCHITECTURE, builds, waits, NOW + 7) == {
            "a1": State.NEEDS_BUILD,
            "b2": State.BD_UNINSTALLABLE,
        }
        assert [p.key.source for p in db.to_judge(run, SUITE, ARCHITECTURE)] == ["a1", "b2", "c3"]

    def test_where_it_is_not_asked_for(self, db: Database) -> None:
        run = db.add_run("free", 0, Base.OLD, NOW, auto_dep_wait=False).identity
        db.merge(run, SUITE, ARCHITECTURE, [Found("hello", "1", Status.UNCOMPILED)], NOW)
        assert db.counts(run)[run, SUITE, ARCHITECTURE] == {State.NEEDS_BUILD: 1}
        assert db.judge(run, SUITE, ARCHITECTURE, {"hello": BROKEN}, {}, NOW) == {}


class TestRuns:
    def test_are_found_by_name_and_number(self, db: Database) -> None:
        first = db.add_run("gcc-15", 0, Base.OLD, NOW, toolchain="ab", configuration='{"a": 1}')
        second = db.add_run("gcc-15", 1, Base.BOTH, NOW + 1, follows=first.identity)
        assert db.runs("gcc-15") == [first, second]
        assert db.runs("other") == []
        assert db.run("gcc-15 stage 1") == db.run(second.identity) == second
        assert (first.name, first.base, first.toolchain, second.follows) == (
            "gcc-15 stage 0",
            Base.OLD,
            "ab",
            first.identity,
        )
        db.finish_run(first.identity, NOW + 9)
        assert db.run(first.identity).finished == NOW + 9

    def test_are_begun_once(self, db: Database) -> None:
        db.add_run("gcc-15", 0, Base.OLD, NOW)
        with pytest.raises(PipelineError, match="gcc-15 stage 0 was begun before"):
            db.add_run("gcc-15", 0, Base.BUILT, NOW)

    def test_name_those_there_are(self, db: Database) -> None:
        with pytest.raises(PipelineError, match="nothing was begun here"):
            db.run("gcc-15 stage 0")
        db.add_run("gcc-15", 0, Base.OLD, NOW)
        with pytest.raises(PipelineError, match="did you mean 'gcc-15 stage 0'"):
            db.run("gcc15 stage 0")


def test_other_weights_reckon_priorities_anew(address: str, opened: Callable[..., Database]) -> None:
    with opened(address) as db:
        begin(db)
        assert not db.reweigh_if_changed()
    heavy = opened(address, weights=Weights(notes={"uncompiled": 1000}))
    with heavy.reading() as connection:
        query = "SELECT min(static_priority), max(static_priority) FROM packages"
        assert connection.exec_driver_sql(query).one() == (998, 998)
    assert not heavy.reweigh_if_changed()
