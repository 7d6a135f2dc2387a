"""What comes next, in the database's order and in the formula's own words."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from rebuild_rows import ARCHITECTURE, NOW, SUITE, begin, key

from image_builder.archive.database.open import open_database
from image_builder.archive.database.records import Expected
from image_builder.archive.database.rows import add_many
from image_builder.archive.database.store import Database
from image_builder.archive.model import Base
from image_builder.archive.priority import DAY, Order, Weights, calculated_priority, days_waiting
from image_builder.archive.requests import Action, Request
from image_builder.archive.states import Package, State


def names(db: Database, run: int, *, now: float = NOW, **options: object) -> list[str]:
    found = db.next_jobs(run, SUITE, ARCHITECTURE, now, **{"limit": 99, **options})  # type: ignore[arg-type]
    return [package.key.source for package in found]


def test_what_people_ask_for_comes_first_then_the_longest_path(db: Database) -> None:
    run = begin(db, ["a1", "b2", "c3", "d4", "e5"]).identity
    db.set_paths(run, SUITE, ARCHITECTURE, {"a1": 10.0, "b2": 30.0, "c3": 20.0, "d4": 20.0, "nobody": 1.0})
    assert names(db, run) == ["b2", "c3", "d4", "a1", "e5"]
    db.move(run, key("a1"), Request(Action.PRIORITY, user="me", number=1), NOW)
    db.move(run, key("e5"), Request(Action.PERMANENT_PRIORITY, user="me", number=2), NOW)
    assert names(db, run) == ["e5", "a1", "b2", "c3", "d4"]
    assert names(db, run, limit=2) == ["e5", "a1"]
    assert names(db, run, limit=2, skip={"e5", "b2"}) == ["a1", "c3"]
    db.set_paths(run, SUITE, ARCHITECTURE, {"d4": 99.0})
    assert names(db, run, limit=3) == ["e5", "a1", "d4"]


def test_only_what_can_be_started_now(db: Database) -> None:
    run = begin(db, ["a1", "b2", "c3"]).identity
    db.move(run, key("a1"), Request(Action.TAKE, user="w1"), NOW)
    db.move(run, key("b2"), Request(Action.TAKE, user="w1"), NOW)
    later = Request(Action.GIVE_BACK, user="w1", not_before=NOW + 50)
    db.move(run, key("b2"), later, NOW)
    db.move(run, key("b2"), Request(Action.GIVE_BACK, user="w1", override=True, not_before=NOW + 50), NOW)
    assert names(db, run) == ["c3"]
    assert db.next_moment(run, SUITE, ARCHITECTURE, NOW) == NOW + 50
    assert names(db, run, now=NOW + 50) == ["b2", "c3"]
    assert db.next_moment(run, SUITE, ARCHITECTURE, NOW + 50) is None
    assert names(db, run, order=Order.WANNA_BUILD) == ["c3"]


def test_expected_use_is_kept_and_goes_along(db: Database) -> None:
    run = begin(db, ["a1"]).identity
    db.set_expected(run, SUITE, ARCHITECTURE, {"a1": Expected(600.0, 1 << 31, 1 << 40)})
    attempt = db.start(run, key("a1"), "w1", NOW, lease_seconds=9, time_limit_seconds=9)
    assert (attempt.expected_seconds, attempt.memory_bytes, attempt.disk_bytes) == (600.0, 1 << 31, 1 << 40)  # type: ignore[union-attr]


ROWS = st.lists(
    st.builds(
        Package,
        key=st.sampled_from([key(f"p{n}") for n in range(8)]),
        version=st.just("1"),
        state=st.sampled_from([State.NEEDS_BUILD, State.NEEDS_BUILD, State.BUILDING]),
        state_change=st.sampled_from([NOW - days * DAY - rest for days in range(9) for rest in (0, 1, 5)]),
        notes=st.sampled_from(["uncompiled", "out-of-date"]),
        priority=st.sampled_from(["required", "optional"]),
        priority_once=st.integers(-3, 3),
        not_before=st.sampled_from([0.0, NOW + 1]),
        remaining_seconds=st.sampled_from([0.0, 1.5, 9e9]),
    ),
    unique_by=lambda row: row.key,
)


@settings(max_examples=60)
@given(ROWS)
def test_the_queries_are_the_formulas(rows: list[Package]) -> None:
    with open_database(":memory:") as db:
        run = db.add_run("test", 0, Base.OLD, NOW).identity
        with db.writing() as connection:
            add_many(connection, run, rows, Weights())
        ready = [row for row in rows if row.state is State.NEEDS_BUILD and row.not_before <= NOW]

        def formula(row: Package) -> tuple[int, int, float, str]:  # CWTn
            age = NOW - row.state_change
            return (-calculated_priority(row, NOW, Weights()), -days_waiting(row, NOW), -(age % DAY), row.key.source)

        def path(row: Package) -> tuple[int, float, str]:
            return -(row.priority_once + row.priority_permanent), -row.remaining_seconds, row.key.source

        for order, urgency in ((Order.WANNA_BUILD, formula), (Order.PATH, path)):
            expected = [row.key.source for row in sorted(ready, key=urgency)]
            assert names(db, run, order=order) == expected


def test_the_formula_on_both_databases(db: Database) -> None:
    run = db.add_run("test", 0, Base.OLD, NOW).identity
    ages = {"a1": 0.0, "b2": DAY - 1.0, "c3": DAY, "d4": DAY + 1.0, "e5": 7.0 * DAY, "f6": 6.0 * DAY}
    plain = Package(key=key("x"), version="1", state=State.NEEDS_BUILD)
    rows = [replace(plain, key=key(name), state_change=NOW - age) for name, age in ages.items()]
    rows.append(replace(plain, key=key("g7"), state_change=NOW, notes="out-of-date"))
    with db.writing() as connection:
        add_many(connection, run, rows, Weights())
    assert names(db, run, order=Order.WANNA_BUILD) == ["g7", "e5", "f6", "d4", "c3", "b2", "a1"]
