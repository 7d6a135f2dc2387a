"""Whose result is taken, and whose is not."""

from __future__ import annotations

import pytest
from rebuild_rows import ARCHITECTURE, LEASE, NOW, SUITE, begin, deliver, key, queue, start

from image_builder.archive.database.records import Finish, Result, Start
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Found, Status, Verdict
from image_builder.archive.model import Attempt, Outcome
from image_builder.archive.requests import Action, Moved, Refusal, Request
from image_builder.archive.states import Cause, State


def said(answer: object) -> str:
    assert isinstance(answer, Refusal), answer
    return answer.what


def test_a_result_with_the_live_token_is_taken(db: Database) -> None:
    run = begin(db)
    attempt = start(db, run)
    assert (attempt.run, attempt.key, attempt.version) == ("test stage 1", key("hello"), "1.0-1")
    assert [record.attempt for record in db.live_attempts(run.identity)] == [attempt]
    answer = deliver(db, attempt)
    assert isinstance(answer, Moved)
    row = db.package(run.identity, key("hello"))
    assert row is not None
    assert (row.state, row.last_build_seconds) == (State.BUILT, 42.0)
    (record,) = db.attempts(run.identity, key("hello"))
    assert (record.state, record.outcome, record.seconds, record.log) == (
        "finished",
        Outcome.SUCCEEDED,
        42.0,
        "log.zst",
    )
    assert (record.memory_bytes, record.disk_bytes, record.finished) == (1 << 20, 1 << 21, NOW + 60)
    (entry,) = db.history("hello")
    assert (entry.version, entry.run, entry.outcome, entry.worker) == ("1.0-1", run.name, Outcome.SUCCEEDED, "w1")
    assert db.live_attempts() == []


def test_several_moves_of_one_result_are_made_together_or_not_at_all(db: Database) -> None:
    run = begin(db)
    attempt = start(db, run)
    result = Result(Outcome.SUCCEEDED, "1.0-1", 42.0)
    built, handed = Request(Action.BUILT, user="w1"), Request(Action.UPLOADED, user="w1")
    wrong = db.finish(attempt.identity, attempt.token, result, [built, Request(Action.BINARY_NMU, user="w1")], NOW)
    assert isinstance(wrong, Refusal)
    assert len(db.live_attempts()) == 1
    installed = Request(Action.INSTALLED, user="repository")
    answer = db.finish(attempt.identity, attempt.token, result, [built, handed, installed], NOW + 1)
    assert isinstance(answer, Moved)
    assert answer.package.state is State.INSTALLED
    assert [t.action for t in db.transactions(run.identity, since=NOW + 1)] == ["installed", "uploaded", "built"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"token": "forged"}, "has another token"),
        ({"token": "ä\udc80"}, "another token"),
        ({"version": "1.0-2"}, "is version 1.0-2, not 1.0-1"),
    ],
)
def test_a_result_that_is_not_what_was_ordered_is_refused(db: Database, words: dict[str, str], why: str) -> None:
    run = begin(db)
    attempt = start(db, run)
    assert why in said(deliver(db, attempt, **words))
    assert [record.attempt for record in db.live_attempts()] == [attempt]
    line = db.transactions(run.identity, limit=1)[0]
    assert (line.action, line.state) == ("refused-result", State.BUILDING)
    assert isinstance(deliver(db, attempt), Moved)


def test_twice_is_once(db: Database) -> None:
    run = begin(db)
    attempt = start(db, run)
    deliver(db, attempt)
    assert "was delivered before" in said(deliver(db, attempt))
    assert len(db.history("hello")) == 1
    assert said(db.finish(99, "x", Result(Outcome.SUCCEEDED, "1", 1), Request(Action.BUILT, "w1"), NOW)) == (
        "there was no attempt 99"
    )


def test_a_binary_nmu_must_come_with_its_number(db: Database) -> None:
    run = begin(db)
    deliver(db, start(db, run))
    db.merge(run.identity, SUITE, ARCHITECTURE, [Found("hello", "1.0-1", Status.INSTALLED)], NOW)
    db.move(run.identity, key("hello"), Request(Action.BINARY_NMU, user="me", number=1, message="perl"), NOW)
    db.judge(run.identity, SUITE, ARCHITECTURE, {"hello": Verdict()}, {}, NOW)
    attempt = start(db, run)
    assert attempt.binary_nmu == 1
    assert "is version 1.0-1, not 1.0-1+b1" in said(deliver(db, attempt))
    assert isinstance(deliver(db, attempt, version="1.0-1+b1"), Moved)


def test_a_worker_that_was_thought_dead_cannot_deliver(db: Database) -> None:
    run = begin(db)
    first = start(db, run, worker="w1")
    assert db.expired(NOW + LEASE) == []
    (late,) = db.expired(NOW + LEASE + 1)
    answer = db.expire(late.attempt.identity, NOW + LEASE + 1, not_before=NOW + 900)
    assert isinstance(answer, Moved)
    assert (answer.package.state, answer.package.cause, answer.package.not_before) == (
        State.BD_UNINSTALLABLE,
        Cause.BUILDER_FAULT,
        NOW + 900,
    )
    db.judge(run.identity, SUITE, ARCHITECTURE, {"hello": Verdict()}, {}, NOW + 700)
    second = start(db, run, worker="w2", now=NOW + 900)
    assert "comes too late: w1 was not heard of" in said(deliver(db, first))
    assert isinstance(deliver(db, second, worker="w2"), Moved)
    assert db.attempt_counts(run.identity, key("hello"), "1.0-1") == {
        Outcome.BUILDER_FAULT: 1,
        Outcome.SUCCEEDED: 1,
    }


def test_a_lease_that_is_over_is_live_until_somebody_ends_it(db: Database) -> None:
    """The work is not lost because nobody looked; whoever is first decides."""
    run = begin(db)
    attempt = start(db, run)
    assert isinstance(deliver(db, attempt, now=NOW + 2 * LEASE), Moved)
    assert "has ended already" in said(db.expire(attempt.identity, NOW + 2 * LEASE))


def test_heartbeats_renew_leases(db: Database) -> None:
    run = begin(db)
    one, other = start(db, run, "acl"), start(db, run, "hello")
    beats = [(one.identity, one.token), (other.identity, "forged"), (99, "x")]
    assert db.heartbeat(beats, NOW + 500, LEASE) == {one.identity}
    assert [record.attempt.identity for record in db.expired(NOW + 700)] == [other.identity]
    assert "was heard of again" in said(db.expire(one.identity, NOW + 700))
    db.move(run.identity, key("acl"), Request(Action.CANCEL, user="admin"), NOW + 710)
    assert db.heartbeat(beats, NOW + 720, LEASE) == set()


@pytest.mark.parametrize(
    "request_",
    [
        Request(Action.CANCEL, user="admin"),
        Request(Action.GIVE_BACK, user="w1"),
        Request(Action.NO_BUILD, user="admin"),
        Request(Action.TAKE, user="w2", override=True),
        Request(Action.BUILT, user="w1"),
        Request(Action.CLEAN, user="admin", override=True),
    ],
    ids=lambda request: request.action.value,
)
def test_every_other_end_of_a_build_makes_its_token_worthless(db: Database, request_: Request) -> None:
    run = begin(db)
    attempt = start(db, run)
    assert isinstance(db.move(run.identity, key("hello"), request_, NOW + 1), Moved)
    assert db.live_attempts() == []
    before = db.package(run.identity, key("hello"))
    assert "comes too late" in said(deliver(db, attempt))
    assert db.package(run.identity, key("hello")) == before
    assert db.history("hello") == []


def test_nobody_builds_a_package_twice_at_once(db: Database) -> None:
    run = begin(db)
    start(db, run, worker="w1")
    for worker in ("w1", "w2"):
        answer = db.start(run.identity, key("hello"), worker, NOW, lease_seconds=LEASE, time_limit_seconds=9)
        assert isinstance(answer, Refusal)
    assert len(db.attempts(run.identity, key("hello"))) == 1


def test_many_at_once_are_the_same_as_one_after_the_other(db: Database) -> None:
    run = begin(db, ["a1", "b2", "c3"])
    wanted = [Start(key("c3"), 60, alone=True), Start(key("nobody"), 60), Start(key("a1"), 90)]
    c3, nobody, a1 = db.start_many(run.identity, wanted, "w1", NOW, lease_seconds=LEASE)
    assert isinstance(c3, Attempt)
    assert isinstance(a1, Attempt)
    assert (c3.key.source, a1.key.source, a1.time_limit_seconds) == ("c3", "a1", 90)
    assert "nobody: not known" in said(nobody)
    assert [r.alone for r in db.live_attempts()] == [True, False]
    built = (Request(Action.BUILT, user="w1"),)
    results = [
        Finish(a1.identity, a1.token, Result(Outcome.SUCCEEDED, "1.0-1", 1.0, worker="host7"), built),
        Finish(77, "x", Result(Outcome.SUCCEEDED, "1.0-1", 1.0), built),
        Finish(c3.identity, "forged", Result(Outcome.SUCCEEDED, "1.0-1", 1.0), built),
    ]
    answers = db.finish_many(results, NOW + 5)
    assert [isinstance(answer, Moved) for answer in answers] == [True, False, False]
    assert db.attempts(run.identity, key("a1"))[0].machine == db.history("a1")[0].worker == "host7"


def test_the_formula_reckons_with_the_longer_of_last_build_and_last_success(db: Database) -> None:
    run = begin(db)

    def build(outcome: Outcome, seconds: float, action: Action) -> float | None:
        db.judge(run.identity, SUITE, ARCHITECTURE, {"hello": Verdict()}, {}, NOW)
        attempt = start(db, run)
        request = Request(action, user="w1", message="x")
        db.finish(attempt.identity, attempt.token, Result(outcome, "1.0-1", seconds), request, NOW)
        row = db.package(run.identity, key("hello"))
        assert row is not None
        db.move(run.identity, key("hello"), Request(Action.GIVE_BACK, user="w1", override=True), NOW)
        return row.last_build_seconds

    assert build(Outcome.ATTEMPTED, 10, Action.ATTEMPTED) == 10
    assert build(Outcome.SUCCEEDED, 50, Action.BUILT) == 50
    assert build(Outcome.ATTEMPTED, 10, Action.ATTEMPTED) == 50
    assert build(Outcome.ATTEMPTED, 70, Action.ATTEMPTED) == 70
    assert build(Outcome.GIVE_BACK, 5, Action.GIVE_BACK) == 70
    assert build(Outcome.SUCCEEDED, 30, Action.BUILT) == 30


def test_what_was_tried_of_packages_whose_end_is_open(db: Database) -> None:
    run = begin(db, ["a1", "b2", "c3"])
    for name in ("a1", "b2", "c3"):
        attempt = start(db, run, name)
        failed = Result(Outcome.ATTEMPTED, "1.0-1", 5)
        db.finish(attempt.identity, attempt.token, failed, Request(Action.ATTEMPTED, user="w1"), NOW)
    db.move(run.identity, key("b2"), Request(Action.FAILED, user="w1", message="x"), NOW)
    queue(db, run, ["c3"], version="2.0-1")
    queue(db, run, ["a1"])
    assert {k.source: [r.outcome for r in records] for k, records in db.retried(run.identity).items()} == {
        "a1": [Outcome.ATTEMPTED]
    }


def test_who_is_given_back_by_hand_is_tried_as_if_for_the_first_time(db: Database) -> None:
    run = begin(db)

    def fail(action: Action) -> None:
        db.judge(run.identity, SUITE, ARCHITECTURE, {"hello": Verdict()}, {}, NOW)
        attempt = start(db, run)
        result = Result(Outcome.ATTEMPTED, "1.0-1", 5)
        db.finish(attempt.identity, attempt.token, result, Request(action, user="w1"), NOW)

    fail(Action.GIVE_BACK)
    fail(Action.ATTEMPTED)
    assert db.attempt_counts(run.identity, key("hello"), "1.0-1") == {Outcome.ATTEMPTED: 2}
    back = Request(Action.GIVE_BACK, user="w1")
    db.move_many(run.identity, [key("hello")], back, NOW, dry_run=True)
    assert len(db.retried(run.identity)[key("hello")]) == 2
    db.move(run.identity, key("hello"), back, NOW)
    assert db.retried(run.identity) == {}
    fail(Action.GIVE_BACK)
    assert db.attempt_counts(run.identity, key("hello"), "1.0-1") == {Outcome.ATTEMPTED: 1}
    assert len(db.attempts(run.identity, key("hello"))) == 3


def test_a_lease_has_one_holder(db: Database) -> None:
    assert db.claim("scheduler", "one", NOW, 60)
    assert db.claim("scheduler", "one", NOW + 30, 60)
    assert not db.claim("scheduler", "two", NOW + 80, 60)
    assert db.holder("scheduler", NOW + 80) == "one"
    assert db.holder("scheduler", NOW + 91) is None
    assert db.claim("scheduler", "two", NOW + 91, 60)
    db.release("scheduler", "one")
    assert db.holder("scheduler", NOW + 92) == "two"
    db.release("scheduler", "two")
    assert db.holder("scheduler", NOW + 92) is None


def test_of_each_package_the_attempt_that_ended_last(db: Database) -> None:
    run, other = begin(db, ["acl", "hello", "never"]), begin(db, ["acl"], stage=2)
    for of, name, outcome in ((run, "acl", Outcome.ATTEMPTED), (run, "acl", Outcome.TIMEOUT),
                              (run, "hello", Outcome.GIVE_BACK), (other, "acl", Outcome.CHROOT_PROBLEM)):  # fmt: skip
        db.judge(of.identity, SUITE, ARCHITECTURE, {name: Verdict()}, {}, NOW)
        attempt = start(db, of, name)
        result = Result(outcome, "1.0-1", 5, reason=str(outcome))
        db.finish(attempt.identity, attempt.token, result, Request(Action.GIVE_BACK, user="w1"), NOW)
    db.judge(run.identity, SUITE, ARCHITECTURE, {"acl": Verdict()}, {}, NOW)
    start(db, run, "acl")  # one that is under way has no end
    last = db.last_attempts(run.identity)
    assert {k.source: one.outcome for k, one in last.items()} == {"acl": Outcome.TIMEOUT, "hello": Outcome.GIVE_BACK}
    assert {one.run for one in last.values()} == {run.identity}
    assert db.last_attempts(other.identity)[key("acl")].reason == "chroot-problem"


def test_what_was_written_since_whatever_its_time(db: Database) -> None:
    assert (db.last_move(), db.latest()) == (0, float("-inf"))
    run = begin(db)
    seen = db.last_move()
    assert seen > 0
    assert db.transactions(run.identity, since=NOW + 1, after=seen) == []
    db.move(run.identity, key("hello"), Request(Action.PRIORITY, user="me", number=5), NOW - 86_400)
    (late,) = db.transactions(run.identity, since=NOW + 1, after=seen)
    assert (late.key, late.time) == (key("hello"), NOW - 86_400)
    assert db.transactions(run.identity, since=NOW + 1) == []
    assert db.last_move() > seen


def test_the_latest_time_anybody_has_seen(db: Database) -> None:
    run = begin(db)
    assert db.latest() == NOW
    attempt = start(db, run, now=NOW + 5)
    db.heartbeat([(attempt.identity, attempt.token)], NOW + 100, LEASE)
    assert db.latest() == NOW + 100
    deliver(db, attempt, now=NOW + 60)
    assert db.latest() == NOW + 60, "a heartbeat counts as long as its attempt lives"
