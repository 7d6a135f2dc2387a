"""What the importer and the check of build dependencies do to a package."""

from __future__ import annotations

from typing import Any

import pytest
from package_rows import HELLO, package

from image_builder.archive.importing import INSTALLABLE, Found, Status, Verdict, blacklist, judge, merge
from image_builder.archive.model import Key
from image_builder.archive.states import NOT_TESTED, Cause, Package, State

NOW = 500.0
BROKEN = Verdict("needs libfoo-dev, which no package provides", "[]")
THERE = (Status.INSTALLED, Status.RELATED)
NOT_HERE = (Status.PACKAGES_ARCH_SPECIFIC, Status.OVERWRITTEN_BY_ARCH_ALL, Status.ARCH_NOT_IN_ARCH_LIST)
WANTED = (Status.UNCOMPILED, Status.OUT_OF_DATE)


def found(status: Status, version: str = "2.10-3", **fields: Any) -> Found:
    return Found("hello", version, status, section="devel", priority="optional", binaries=("hello",), **fields)


def merged(row: Package | None, one: Found, **options: Any) -> Package:
    result = merge(row, one, HELLO, NOW, **options)
    assert result is not None
    return result


class TestNewSources:
    @pytest.mark.parametrize(
        ("status", "state"),
        [
            (Status.INSTALLED, State.INSTALLED),
            (Status.RELATED, State.INSTALLED),
            (Status.UNCOMPILED, State.NEEDS_BUILD),
            (Status.OUT_OF_DATE, State.NEEDS_BUILD),
            (Status.OVERWRITTEN_BY_ARCH_ALL, State.AUTO_NOT_FOR_US),
            (Status.ARCH_NOT_IN_ARCH_LIST, State.AUTO_NOT_FOR_US),
        ],
    )
    def test_land(self, status: Status, state: State) -> None:
        row = merged(None, found(status))
        assert (row.state, row.previous_state, row.state_change) == (state, None, NOW)
        assert (row.version, row.section, row.priority, row.binaries) == ("2.10-3", "devel", "optional", "hello")
        assert row.notes == ("" if status is Status.INSTALLED else status.value)

    def test_can_land_untested(self) -> None:
        row = merged(None, found(Status.UNCOMPILED), landing=State.BD_UNINSTALLABLE)
        assert (row.state, row.bd_problem) == (State.BD_UNINSTALLABLE, NOT_TESTED)

    @pytest.mark.parametrize("status", Status)
    def test_are_skipped_when_others_make_their_binaries_by_now(self, status: Status) -> None:
        assert merge(None, found(status, taken_over=True), HELLO, NOW) is None

    def test_are_skipped_when_a_list_keeps_them_away(self) -> None:
        assert merge(None, found(Status.PACKAGES_ARCH_SPECIFIC), HELLO, NOW) is None

    def test_for_all_architectures_are_built_once(self) -> None:
        one = found(Status.ARCH_ALL_ONLY)
        assert merge(None, one, HELLO, NOW) is None
        assert merge(package(), one, HELLO, NOW) == package()
        there = merge(None, one, Key("trixie", "all", "hello"), NOW)
        assert there is not None
        assert there.state is State.AUTO_NOT_FOR_US

    def test_have_the_number_of_the_binaries_that_are_there(self) -> None:
        row = merged(None, found(Status.INSTALLED, binary_nmu=2))
        assert (row.installed_version, row.binary_nmu) == ("2.10-3+b2", 2)


class TestTheSameVersion:
    @pytest.mark.parametrize("status", WANTED)
    @pytest.mark.parametrize("state", [s for s in State if s is not State.AUTO_NOT_FOR_US])
    def test_is_not_wanted_again(self, state: State, status: Status) -> None:
        row = package(state)
        assert merged(row, found(status)) is row

    @pytest.mark.parametrize("status", WANTED)
    def test_is_when_the_reason_against_it_has_ended(self, status: Status) -> None:
        row = merged(package(State.AUTO_NOT_FOR_US), found(status))
        assert (row.state, row.notes) == (State.NEEDS_BUILD, status.value)

    @pytest.mark.parametrize("status", THERE)
    @pytest.mark.parametrize("state", [s for s in State if s is not State.NOT_FOR_US])
    def test_is_installed_whatever_we_thought(self, state: State, status: Status) -> None:
        row = merged(package(state, extra_depends="x", depends="y"), found(status))
        assert (row.state, row.installed_version) == (State.INSTALLED, "2.10-3")
        assert row.extra_depends == ("x" if state is State.INSTALLED else "")

    @pytest.mark.parametrize("status", THERE)
    def test_is_not_installed_while_a_binary_nmu_is_wanted(self, status: Status) -> None:
        row = package(State.BUILDING, binary_nmu=2)
        assert merged(row, found(status, binary_nmu=1)) is row
        assert merged(row, found(status, binary_nmu=2)).state is State.INSTALLED
        lost = package(State.INSTALLED, binary_nmu=2, binary_nmu_changelog="why")
        again = merged(lost, found(status, binary_nmu=1))
        assert (again.state, again.full_version, again.binary_nmu_changelog) == (State.NEEDS_BUILD, "2.10-3+b2", "why")

    @pytest.mark.parametrize("status", NOT_HERE)
    @pytest.mark.parametrize("state", State)
    def test_may_not_be_for_us(self, state: State, status: Status) -> None:
        row = merged(package(state), found(status))
        stays = {State.NOT_FOR_US, State.FAILED, State.DEP_WAIT}
        assert row.state is (state if state in stays else State.AUTO_NOT_FOR_US)

    def test_that_was_seen_before_is_as_it_was(self) -> None:
        for status in (Status.INSTALLED, *NOT_HERE):
            once = merged(package(), found(status))
            assert merge(once, found(status), HELLO, NOW + 1) is once


class TestANewVersion:
    @pytest.mark.parametrize("status", WANTED)
    @pytest.mark.parametrize("state", [s for s in State if s is not State.NOT_FOR_US])
    def test_needs_a_build(self, state: State, status: Status) -> None:
        row = package(
            state,
            binary_nmu=1,
            binary_nmu_changelog="x",
            priority_once=5,
            priority_permanent=7,
            depends="a",
            not_before=9,
        )
        new = merged(row, found(status, "2.12-1"))
        assert (new.state, new.version, new.notes) == (State.NEEDS_BUILD, "2.12-1", status.value)
        assert (new.builder, new.binary_nmu, new.binary_nmu_changelog, new.depends) == ("", None, "", "")
        assert (new.priority_once, new.priority_permanent, new.not_before) == (0, 7, 0.0)
        assert ("2.10-3" in new.old_failed) == (state is State.FAILED)

    def test_supersedes_one_that_is_being_built(self) -> None:
        new = merged(package(State.BUILDING), found(Status.UNCOMPILED, "2.12-1"))
        assert (new.cause, new.reason) == (Cause.SUPERSEDED, "2.10-3 was being built by me")

    @pytest.mark.parametrize("status", Status)
    def test_changes_nothing_of_what_people_called_not_for_us(self, status: Status) -> None:
        row = package(State.NOT_FOR_US)
        assert merged(row, found(status, "2.12-1")) is row


class TestBlacklist:
    @pytest.mark.parametrize("state", [s for s in State if s is not State.NOT_FOR_US])
    def test_forbids_and_allows_again(self, state: State) -> None:
        gone = blacklist(package(state, binary_nmu=1), "patents", NOW)
        assert (gone.state, gone.cause, gone.reason) == (State.NOT_FOR_US, Cause.BLACKLIST, "patents")
        assert (gone.builder, gone.depends, gone.binary_nmu) == ("", "", None)
        assert blacklist(gone, "patents", NOW) is gone
        assert blacklist(gone, "still patents", NOW).reason == "still patents"
        back = blacklist(gone, None, NOW)
        assert (back.state, back.cause, back.bd_problem) == (State.BD_UNINSTALLABLE, Cause.NONE, NOT_TESTED)

    def test_leaves_alone_what_people_called_not_for_us(self) -> None:
        row = package(State.NOT_FOR_US, reason="too large")
        assert blacklist(row, "patents", NOW) is row
        assert blacklist(row, None, NOW) is row

    def test_leaves_alone_what_it_does_not_name(self) -> None:
        assert blacklist(package(), None, NOW) == package()


class TestJudge:
    @pytest.mark.parametrize(
        ("state", "build", "waits", "after"),
        [
            (State.NEEDS_BUILD, INSTALLABLE, None, State.NEEDS_BUILD),
            (State.NEEDS_BUILD, BROKEN, None, State.BD_UNINSTALLABLE),
            (State.NEEDS_BUILD, None, None, State.NEEDS_BUILD),
            (State.BD_UNINSTALLABLE, INSTALLABLE, None, State.NEEDS_BUILD),
            (State.BD_UNINSTALLABLE, BROKEN, None, State.BD_UNINSTALLABLE),
            (State.BD_UNINSTALLABLE, None, None, State.BD_UNINSTALLABLE),
            (State.DEP_WAIT, INSTALLABLE, BROKEN, State.DEP_WAIT),
            (State.DEP_WAIT, BROKEN, BROKEN, State.DEP_WAIT),
            (State.DEP_WAIT, INSTALLABLE, INSTALLABLE, State.NEEDS_BUILD),
            (State.DEP_WAIT, BROKEN, INSTALLABLE, State.BD_UNINSTALLABLE),
            (State.DEP_WAIT, INSTALLABLE, None, State.DEP_WAIT),
        ],
    )
    def test_table(self, state: State, build: Verdict | None, waits: Verdict | None, after: State) -> None:
        row = judge(package(state), build, waits, NOW)
        assert row.state is after
        if after is State.BD_UNINSTALLABLE and build is not None:
            assert (row.bd_problem, row.bd_chain) == (BROKEN.problem, BROKEN.chain)
        assert (judge(row, build, waits, NOW + 1) is row) or state is State.DEP_WAIT

    @pytest.mark.parametrize(
        "state", [s for s in State if s not in (State.NEEDS_BUILD, State.BD_UNINSTALLABLE, State.DEP_WAIT)]
    )
    def test_others_are_not_its_business(self, state: State) -> None:
        row = package(state)
        assert judge(row, BROKEN, INSTALLABLE, NOW) is row

    def test_a_changed_reason_is_no_change_of_state(self) -> None:
        row = judge(package(State.BD_UNINSTALLABLE), BROKEN, None, NOW)
        other = judge(row, Verdict("needs something else"), None, NOW + 9)
        assert (other.bd_problem, other.state_change) == ("needs something else", row.state_change)

    def test_where_it_is_not_asked_for_only_lists_count(self) -> None:
        row = package(State.NEEDS_BUILD)
        assert judge(row, BROKEN, None, NOW, auto_dep_wait=False) is row
        waited = judge(package(State.DEP_WAIT), BROKEN, INSTALLABLE, NOW, auto_dep_wait=False)
        assert waited.state is State.NEEDS_BUILD

    def test_a_delay_outlives_the_check(self) -> None:
        row = package(State.BD_UNINSTALLABLE, not_before=900.0)
        assert judge(row, INSTALLABLE, None, NOW).not_before == 900.0
