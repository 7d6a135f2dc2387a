"""Every move from every state: which are legal, for whom, and what they do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from package_rows import package

from image_builder.archive.moves import decide
from image_builder.archive.requests import Action, Moved, Refusal, Request
from image_builder.archive.states import NOT_TESTED, Cause, Package, State

NOW = 500.0
NB, BD, BLD, BLT, BA = State.NEEDS_BUILD, State.BD_UNINSTALLABLE, State.BUILDING, State.BUILT, State.BUILD_ATTEMPTED
UP, INS, DW, FLD = State.UPLOADED, State.INSTALLED, State.DEP_WAIT, State.FAILED
NFU, AUTO = State.NOT_FOR_US, State.AUTO_NOT_FOR_US

# Action → state → where it leads; states not named: refused. "same": legal, and nothing changes. All by the recorded
# builder, in the version the package has.
PLAIN: dict[Action, dict[State, State | str]] = {
    Action.TAKE: {NB: BLD, BLD: "same", BLT: "same", BA: "same", AUTO: BLD},
    Action.BUILT: {BLD: BLT, BA: BLT},
    Action.ATTEMPTED: {BLD: BA, BA: "same"},
    Action.UPLOADED: {BLD: UP, BLT: UP, BA: UP},
    Action.FAILED: dict.fromkeys((BLD, BLT, BA, DW, FLD, NB, UP, BD), FLD),
    Action.DEP_WAIT: {s: DW for s in State if s not in (INS, NFU)},
    Action.GIVE_BACK: {BLD: BD, BLT: BD, BA: BD},
    Action.NO_BUILD: {**dict.fromkeys(State, NFU), NFU: FLD},
    Action.BINARY_NMU: {INS: BD},
    Action.PRIORITY: {s: s for s in State},
    Action.PERMANENT_PRIORITY: {s: s for s in State},
    Action.EXTRA_DEPENDS: {s: s for s in State},
    Action.EXTRA_CONFLICTS: {s: s for s in State},
    Action.CANCEL: {BLD: BA},
    Action.WANT: {**{s: BD for s in State if s not in (BLD, NFU)}, NB: NB},
    Action.CLEAN: {**{s: BD for s in State if s not in (BLD, NFU, AUTO)}, BD: "same"},
    Action.INSTALLED: {**{s: INS for s in State if s is not NFU}, INS: "same"},
}
# What --override adds.
OVERRIDE: dict[Action, dict[State, State | str]] = {
    Action.TAKE: {BLD: BLD, BLT: BLD, BA: BLD, FLD: BLD},
    Action.GIVE_BACK: {BD: NB, DW: BD, NB: BD, UP: BD, INS: BD, FLD: BD, NFU: BD, AUTO: BD},
    Action.WANT: {BLD: BD, NFU: BD},
    Action.CLEAN: {BLD: BD},
}
WORDS: dict[Action, dict[str, Any]] = {
    Action.FAILED: {"message": "broken"},
    Action.DEP_WAIT: {"message": "libbar-dev (>= 2)"},
    Action.BINARY_NMU: {"message": "rebuild for perl", "number": 1},
    Action.PRIORITY: {"number": 9},
    Action.PERMANENT_PRIORITY: {"number": 9},
    Action.EXTRA_DEPENDS: {"message": "libbar-dev (>= 2)"},
    Action.EXTRA_CONFLICTS: {"message": "libbar-dev (<< 2)"},
}


def ask(row: Package, action: Action, user: str = "me", **words: Any) -> Moved | Refusal:
    return decide(row, Request(action, user=user, **{**WORDS.get(action, {}), **words}), NOW)


def moved(row: Package, action: Action, user: str = "me", **words: Any) -> Package:
    answer = ask(row, action, user, **words)
    assert isinstance(answer, Moved), answer
    return answer.package


def refused(row: Package, action: Action, user: str = "me", **words: Any) -> str:
    answer = ask(row, action, user, **words)
    assert isinstance(answer, Refusal), answer
    return answer.what


@pytest.mark.parametrize("override", [False, True], ids=["", "override"])
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("action", Action)
def test_the_table(action: Action, state: State, override: bool) -> None:
    row = package(state)
    expected = PLAIN[action].get(state)
    if override:
        expected = OVERRIDE.get(action, {}).get(state, expected)
    answer = ask(row, action, override=override)
    if expected is None:
        assert isinstance(answer, Refusal)
        assert answer.what.startswith("hello: ")
    elif expected == "same":
        assert isinstance(answer, Moved)
        assert (answer.package, answer.changed) == (row, False)
    else:
        assert isinstance(answer, Moved)
        assert (answer.package.state, answer.changed) == (expected, True)


@pytest.mark.parametrize(
    ("action", "states"),
    [
        (Action.FAILED, {NB, UP, BD}),
        (Action.DEP_WAIT, {NB, FLD, BD}),
    ],
)
def test_what_is_legal_with_a_word(action: Action, states: set[State]) -> None:
    said = {
        state
        for state in State
        if isinstance(answer := ask(package(state), action), Moved) and "all the same" in " ".join(answer.warnings)
    }
    assert said == states


OWN = (Action.BUILT, Action.ATTEMPTED, Action.UPLOADED, Action.FAILED, Action.DEP_WAIT, Action.GIVE_BACK)


@pytest.mark.parametrize("action", Action)
def test_who_may_move_what_another_has_taken(action: Action) -> None:
    row = package(State.BUILDING)
    answer = ask(row, action, "you")
    if action in OWN:
        assert answer == Refusal("hello: not taken by you, but by me", hint="--override does it all the same")
        assert isinstance(ask(row, action, "you", override=True), Moved)
    elif action is Action.TAKE:
        assert answer == Refusal("hello: already taken by me, in version 2.10-3")
    else:
        assert isinstance(answer, Refusal) == (PLAIN[action].get(State.BUILDING) is None)


@pytest.mark.parametrize(
    ("builder", "user", "may"),
    [
        ("buildd_amd64-host7", "buildd_amd64", True),
        ("buildd_amd64-host7", "buildd_amd64-host8", False),
        ("buildd_amd64-host7", "buildd", False),
        ("w-", "w", False),
        ("a-b-c", "a-b", False),
        ("", "anybody", True),
    ],
)
def test_a_builders_name_may_carry_its_host(builder: str, user: str, may: bool) -> None:
    assert isinstance(ask(package(State.BUILDING, builder=builder), Action.BUILT, user), Moved) is may


@pytest.mark.parametrize("action", [a for a in Action if a is not Action.TAKE])
def test_the_version_must_be_the_packages(action: Action) -> None:
    state = next(iter(PLAIN[action]))
    row = package(state)
    assert "the version is 2.10-3" in refused(row, action, version="2.10-4")
    assert isinstance(ask(row, action, version="2.10-3"), Moved)
    assert "is no version" in refused(row, action, version="2.10-3 or so")


def test_uploaded_asks_for_the_whole_version() -> None:
    row = package(State.BUILT, binary_nmu=2)
    assert "the version is 2.10-3+b2" in refused(row, Action.UPLOADED, version="2.10-3")
    assert moved(row, Action.UPLOADED, version="2.10-3+b2").state is State.UPLOADED
    assert moved(package(State.BUILDING, binary_nmu=2), Action.BUILT, version="2.10-3").state is State.BUILT


@pytest.mark.parametrize(
    ("state", "version", "override", "legal"),
    [
        (UP, "2.10-2", False, False),
        (UP, "2.10-3", True, False),
        (UP, "2.10-4", False, True),
        (INS, "2.10-2", False, False),
        (INS, "2.10-2", True, True),
        (INS, "2.10-3", True, False),
        (INS, "2.10-4", False, True),
        (NB, "2.10-2", False, False),
        (NB, "2.10-2", True, True),
        (NB, "2.10-4", False, True),
        (FLD, "2.10-3", False, False),
        (FLD, "2.10-3", True, True),
        (FLD, "2.10-4", False, True),
        (FLD, "2.10-2", False, True),
        (DW, "2.10-4", True, False),
        (BD, "2.10-4", True, False),
        (NFU, "2.10-4", True, False),
    ],
)
def test_taking_another_version(state: State, version: str, override: bool, legal: bool) -> None:
    answer = ask(package(state), Action.TAKE, version=version, override=override)
    assert isinstance(answer, Moved) is legal
    if isinstance(answer, Moved):
        assert (answer.package.version, answer.package.builder) == (version, "me")


def test_taking_a_newer_version_of_what_another_builds_says_so() -> None:
    answer = ask(package(State.BUILDING), Action.TAKE, "you", version="2.10-4")
    assert isinstance(answer, Moved)
    assert answer.package.builder == "you"
    assert answer.warnings == ("hello: me is building the older version 2.10-3",)
    assert "already taken by me" in refused(package(State.BUILDING), Action.TAKE, "you", version="2.10-2")


def test_a_binary_nmu_goes_along_with_its_version_only() -> None:
    row = package(State.NEEDS_BUILD, binary_nmu=1, binary_nmu_changelog="for perl")
    taken = ask(row, Action.TAKE, version="2.10-3+b1")
    assert isinstance(taken, Moved)
    assert (taken.package.version, taken.package.full_version) == ("2.10-3", "2.10-3+b1")
    assert taken.warnings == ("hello: needs binary NMU 1: for perl",)
    assert moved(row, Action.TAKE, version="2.10-4").full_version == "2.10-4"


def test_failed_adds_to_what_was_said() -> None:
    first = moved(package(State.BUILDING), Action.FAILED, message="one")
    second = moved(first, Action.FAILED, message="two")
    assert (first.failed, second.failed, second.builder) == ("one", "one\ntwo", "me")
    assert "with a reason" in refused(package(State.BUILDING), Action.FAILED, message="  ")


def test_dep_wait_merges_and_keeps_who_said_so() -> None:
    row = package(State.DEP_WAIT, depends="libfoo-dev (>= 1)", builder="")
    merged = moved(row, Action.DEP_WAIT, "you", message="libfoo-dev (>= 2), b2")
    assert (merged.depends, merged.builder) == ("libfoo-dev (>= 2), b2", "you")
    assert "cannot be waited for" in refused(row, Action.DEP_WAIT, message="a | b")
    assert "what does it wait for" in refused(row, Action.DEP_WAIT, message="")


def test_give_back_clears_builder_and_list_and_may_wait() -> None:
    row = package(State.BUILDING, depends="left over")
    back = moved(row, Action.GIVE_BACK, not_before=900.0, cause=Cause.CHROOT_PROBLEM, message="no mirror")
    assert (back.builder, back.depends, back.bd_problem) == ("", "", NOT_TESTED)
    assert (back.not_before, back.cause, back.reason) == (900.0, Cause.CHROOT_PROBLEM, "no mirror")
    unchecked = decide(row, Request(Action.GIVE_BACK, user="me"), NOW, auto_dep_wait=False)
    assert isinstance(unchecked, Moved)
    assert unchecked.package.state is State.NEEDS_BUILD


def test_give_back_out_of_bd_uninstallable_holds_until_the_next_check() -> None:
    answer = ask(package(State.BD_UNINSTALLABLE), Action.GIVE_BACK, override=True)
    assert isinstance(answer, Moved)
    assert answer.warnings == ("hello: taken for installable until the next check of build dependencies",)


def test_not_for_us_toggles() -> None:
    row = package(State.BUILDING, binary_nmu=1, binary_nmu_changelog="x", depends="y")
    gone = moved(row, Action.NO_BUILD, message="too large")
    assert (gone.state, gone.builder, gone.depends, gone.binary_nmu, gone.reason) == (NFU, "", "", None, "too large")
    back = ask(gone, Action.NO_BUILD)
    assert isinstance(back, Moved)
    assert (back.action, back.package.state, back.package.failed) == ("no-build(rev)", FLD, "Was Not-For-Us previously")


def test_what_the_configuration_forbids_is_allowed_there() -> None:
    row = package(State.NOT_FOR_US, cause=Cause.BLACKLIST, reason="patent")
    assert "the configuration says so: patent" in refused(row, Action.NO_BUILD)
    assert moved(row, Action.NO_BUILD, override=True).state is State.FAILED


class TestBinaryNmu:
    def test_lands_where_installability_is_tested(self) -> None:
        row = moved(package(State.INSTALLED, builder="b", priority_once=3), Action.BINARY_NMU)
        assert (row.state, row.full_version, row.notes) == (BD, "2.10-3+b1", "out-of-date")
        assert (row.builder, row.priority_once, row.binary_nmu_changelog) == ("", 0, "rebuild for perl")

    def test_is_newer_than_what_is_installed(self) -> None:
        row = package(State.INSTALLED, installed_version="2.10-3+b2", binary_nmu=2)
        assert "2.10-3+b2 is not newer" in refused(row, Action.BINARY_NMU, number=2)
        assert moved(row, Action.BINARY_NMU, number=3).full_version == "2.10-3+b3"

    @pytest.mark.parametrize("state", [s for s in State if s is not State.INSTALLED])
    def test_one_that_is_planned_can_be_raised_or_cancelled_from_everywhere(self, state: State) -> None:
        row = package(state, binary_nmu=2, binary_nmu_changelog="x", installed_version="2.10-3+b1")
        assert "planned already" in refused(row, Action.BINARY_NMU, number=2)
        assert moved(row, Action.BINARY_NMU, number=3).full_version == "2.10-3+b3"
        back = moved(row, Action.BINARY_NMU, number=0)
        assert (back.state, back.binary_nmu, back.binary_nmu_changelog) == (INS, 1, "")

    def test_nothing_to_cancel(self) -> None:
        for state in (State.INSTALLED, State.NEEDS_BUILD):
            assert "no binary NMU is planned" in refused(package(state), Action.BINARY_NMU, number=0)

    def test_says_what_it_lacks(self) -> None:
        assert "line for the changelog" in refused(package(State.INSTALLED), Action.BINARY_NMU, message="")
        assert "cannot be -1" in refused(package(State.INSTALLED), Action.BINARY_NMU, number=-1)


@pytest.mark.parametrize(
    ("action", "field", "value"),
    [
        (Action.PRIORITY, "priority_once", 9),
        (Action.PERMANENT_PRIORITY, "priority_permanent", 9),
        (Action.EXTRA_DEPENDS, "extra_depends", "libbar-dev (>= 2)"),
        (Action.EXTRA_CONFLICTS, "extra_conflicts", "libbar-dev (<< 2)"),
    ],
)
def test_values_change_nothing_else(action: Action, field: str, value: object) -> None:
    row = package()
    assert moved(row, action) == replace(row, **{field: value})
    again = ask(moved(row, action), action)
    assert isinstance(again, Moved)
    assert not again.changed


def test_extra_relations_are_relations() -> None:
    assert "hello: " in refused(package(), Action.EXTRA_DEPENDS, message="foo (>= 2")
    assert moved(package(), Action.EXTRA_DEPENDS, message="foo (>= 2)\n , bar").extra_depends == "foo (>= 2) , bar"
    assert moved(package(extra_depends="foo"), Action.EXTRA_DEPENDS, message="").extra_depends == ""


def test_a_cancelled_build_says_by_whom() -> None:
    row = moved(package(State.BUILDING), Action.CANCEL, "admin")
    assert (row.state, row.cause, row.reason) == (BA, Cause.CANCELLED, "cancelled by admin")


def test_wanted_again_comes_first_and_has_forgotten_delays() -> None:
    row = moved(package(State.BUILD_ATTEMPTED, not_before=9e9), Action.WANT, number=1000)
    assert (row.priority_once, row.not_before, row.builder) == (1000, 0.0, "")


def test_clean_leaves_nothing_of_earlier_builds() -> None:
    row = package(State.FAILED, failed="x", old_failed="y", installed_version="2.10-2", binary_nmu=4, depends="z")
    bare = moved(row, Action.CLEAN)
    assert (bare.failed, bare.old_failed, bare.installed_version, bare.depends) == ("", "", "", "")
    assert (bare.binary_nmu, bare.notes, bare.version) == (None, "uncompiled", "2.10-3")


def test_installed_is_said_of_the_binaries() -> None:
    row = moved(package(State.UPLOADED, binary_nmu=1), Action.INSTALLED, "repository")
    assert row.installed_version == "2.10-3+b1"
