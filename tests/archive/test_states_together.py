"""Whatever is asked in whatever order, a package is never in two minds: what it says fits its state."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from package_rows import HELLO

from image_builder.archive.importing import Found, Status, Verdict, blacklist, judge, merge
from image_builder.archive.moves import decide
from image_builder.archive.requests import Action, Moved, Request
from image_builder.archive.states import TAKEN, Cause, Package, State

USERS = st.sampled_from(["me", "you", "admin"])
VERSIONS = st.sampled_from(["1.0-1", "1.0-2", "1:0.5-1"])
NUMBERS = st.one_of(st.none(), st.integers(1, 3))
VERDICTS = st.sampled_from([None, Verdict(), Verdict("needs libfoo-dev, which no package provides")])
REQUESTS = st.builds(
    Request,
    action=st.sampled_from(Action),
    user=USERS,
    version=st.one_of(st.none(), VERSIONS),
    override=st.booleans(),
    message=st.sampled_from(["", "libfoo-dev (>= 2)", "it says: no"]),
    number=st.integers(-1, 4),
    not_before=st.sampled_from([0.0, 1e9]),
)


class OnePackage(RuleBasedStateMachine):
    """The life of a package, and of the clock, which only sometimes goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.row = Package(key=HELLO, version="1.0-1", state=State.NEEDS_BUILD)
        self.auto_dep_wait = True

    @rule(seconds=st.integers(-100, 100_000))
    def time(self, seconds: int) -> None:
        self.now += seconds

    @rule(auto=st.booleans())
    def terms(self, auto: bool) -> None:
        if self.row.state is not State.BD_UNINSTALLABLE:
            self.auto_dep_wait = auto

    @rule(request=REQUESTS)
    def ask(self, request: Request) -> None:
        before = self.row
        answer = decide(before, request, self.now, auto_dep_wait=self.auto_dep_wait)
        if not isinstance(answer, Moved):
            assert answer.what.startswith("hello: ")
            return
        self.row = answer.package
        if not answer.changed:
            assert self.row == before
        if self.row.state is not before.state:
            assert (self.row.previous_state, self.row.state_change) == (before.state, self.now)
        if self.row.version != before.version:
            assert request.action is Action.TAKE
        owner = before.builder in ("", request.user) or request.override
        if before.state in TAKEN and self.row.state in {State.BUILT, State.UPLOADED, State.DEP_WAIT}:
            assert owner
        assert self.row.priority_permanent == (
            request.number if request.action is Action.PERMANENT_PRIORITY else before.priority_permanent
        )

    @rule(status=st.sampled_from(Status), version=VERSIONS, number=NUMBERS)
    def import_(self, status: Status, version: str, number: int | None) -> None:
        before = self.row
        found = Found("hello", version, status, binary_nmu=number, binaries=("hello",))
        landing = State.BD_UNINSTALLABLE if self.auto_dep_wait else State.NEEDS_BUILD
        seen = merge(before, found, HELLO, self.now, landing=landing)
        assert seen is not None
        self.row = seen
        if before.state is State.NOT_FOR_US:
            assert self.row is before
        assert merge(seen, found, HELLO, self.now + 1, landing=landing) == seen  # a second look finds nothing new

    @rule(build=VERDICTS, waits=VERDICTS)
    def check(self, build: Verdict | None, waits: Verdict | None) -> None:
        before = self.row
        self.row = judge(before, build, waits, self.now, auto_dep_wait=self.auto_dep_wait)
        if self.row.state is not before.state:
            assert before.state in {State.NEEDS_BUILD, State.BD_UNINSTALLABLE, State.DEP_WAIT}
            assert self.row.state in {State.NEEDS_BUILD, State.BD_UNINSTALLABLE}
        assert replace(self.row, state=before.state) == replace(
            before,
            previous_state=self.row.previous_state,
            state_change=self.row.state_change,
            bd_problem=self.row.bd_problem,
            bd_chain=self.row.bd_chain,
            cause=self.row.cause,
            reason=self.row.reason,
            not_before=self.row.not_before,
            builder=self.row.builder,
        )

    @rule(reason=st.one_of(st.none(), st.just("patents")))
    def forbid(self, reason: str | None) -> None:
        if self.auto_dep_wait:
            self.row = blacklist(self.row, reason, self.now)

    @invariant()
    def says_what_fits_its_state(self) -> None:
        row = self.row
        assert bool(row.bd_problem) == (row.state is State.BD_UNINSTALLABLE)
        assert bool(row.failed) == (row.state is State.FAILED)
        if row.state in {State.BUILDING, State.BUILT}:
            assert row.builder
        if row.state is State.DEP_WAIT:
            assert row.depends
        if row.state in {State.NOT_FOR_US, State.NEEDS_BUILD, State.BD_UNINSTALLABLE}:
            assert not row.builder
        if row.state is State.NOT_FOR_US:
            assert row.binary_nmu is None
        if row.cause is Cause.BLACKLIST:
            assert row.state is State.NOT_FOR_US
        if row.cause is Cause.CANCELLED:
            assert row.state is State.BUILD_ATTEMPTED
        if row.not_before:
            assert row.state in {State.NEEDS_BUILD, State.BD_UNINSTALLABLE}


OnePackage.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestOnePackage = OnePackage.TestCase
