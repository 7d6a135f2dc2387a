"""Answers about small archives, held against those of dose-builddebcheck for the same."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packages_by_hand import binary

from image_builder.archive.installability import dose
from image_builder.archive.installability.checker import Checker
from image_builder.archive.installability.question import Question, asked_about
from image_builder.archive.installability.reasons import words
from image_builder.archive.installability.universe import Universe
from image_builder.archive.model import BinaryPackage
from image_builder.errors import CommandError

BASE = [
    binary("build-essential", Depends="gcc"),
    binary("gcc", "4", Depends="libc6 (>= 2)"),
    binary("libc6", "2.3", Multi_Arch="same"),
    binary("dash", Essential="yes", Pre_Depends="libc6"),
]
ARCHIVE = [
    *BASE,
    binary("a", Depends="b (>= 2) | c"),
    binary("c", Depends="d (= 5)"),
    binary("d", "5", Architecture="all", Depends="nothere"),
    binary("e", Conflicts="f", Depends="g"),
    binary("g", "1:2~rc1"),
    binary("f", "2+b1", Depends="v1"),
    binary("v", "2", Architecture="all", Provides="v1 (= 3), v2"),
    binary("left", Depends="e | f"),
    binary("right", Depends="f | e"),
    binary("circle", Depends="circle-data"),
    binary("circle-data", Depends="circle"),
    binary("tool", Multi_Arch="allowed"),
    binary("lax", Depends="g:any"),
]
QUESTIONS = {
    "nothing": ("", "", "yes"),
    "missing": ("nope (>= 3)", "", "needs nope (>= 3), which no package provides"),
    "too-old": ("g (>= 1:2)", "", "needs g (>= 1:2), but there is only g 1:2~rc1"),
    "far": (
        "g, a",
        "",
        "needs a; a 1 needs b (>= 2) | c; c 1 needs d (= 5); d 5 needs nothere, which no package provides",
    ),
    "clash": ("e, f", "", "needs e and f, which conflict: e 1 conflicts with f"),
    "no-clash": ("e, g, left", "", "yes"),
    "one-way": ("left, f", "", "yes"),
    "both-ways": ("left, right", "", "yes"),
    "avoids": ("left", "e", "yes"),
    "avoids-itself": ("e", "g", "must not meet g, but needs e; e 1 needs g"),
    "virtual": ("v1 (>= 3), v2", "", "yes"),
    "virtual-version": ("v2 (>= 3)", "", "needs v2 (>= 3), but there is only v2 provided by v"),
    "first": ("nope | g", "", "needs nope, which no package provides"),
    "circle": ("circle", "", "yes"),
    "allowed": ("tool:any", "", "yes"),
    "lax": ("lax", "", "yes"),
    "native": ("g:native, gcc:amd64", "", "yes"),
    "avoids-all": ("", "dash", "must not meet dash, which is always there"),
}


def ask(cases: Mapping[str, tuple[str, str, str]]) -> list[Question]:
    return [Question(f"source---{name}", "1", needs, avoids) for name, (needs, avoids, _) in cases.items()]


@pytest.fixture
def checker(tmp_path: Path) -> Checker:
    return Checker("amd64", tmp_path)


def said(checker: Checker, binaries: Iterable[BinaryPackage], questions: Iterable[Question]) -> dict[str, str]:
    answers = checker.check(binaries, questions)
    return {asked_about(name)[1]: "yes" if a.installable else words(a.reasons) for name, a in answers.items()}


def by_dose(binaries: Sequence[BinaryPackage], questions: Sequence[Question], folder: Path) -> dict[str, bool]:
    return {entry.name: entry.installable for entry in dose.ask(Universe(binaries, "amd64"), questions, folder)}


def test_answers_in_words(checker: Checker) -> None:
    assert said(checker, ARCHIVE, ask(QUESTIONS)) == {name: expected for name, (*_, expected) in QUESTIONS.items()}


def test_dose_says_the_same(checker: Checker, tmp_path: Path) -> None:
    questions = ask(QUESTIONS)
    answers = checker.check(ARCHIVE, questions)
    assert {name: answer.installable for name, answer in answers.items()} == by_dose(ARCHIVE, questions, tmp_path)


def test_without_build_essential_nothing_can_be_built(checker: Checker) -> None:
    assert said(checker, BASE[1:], [Question("source---x", "1", "gcc")]) == {
        "x": "needs build-essential, which no package provides"
    }


def test_only_what_a_change_can_affect_is_asked_again(checker: Checker, caplog: pytest.LogCaptureFixture) -> None:
    questions = ask(QUESTIONS)
    said(checker, ARCHIVE, questions)
    caplog.set_level(logging.DEBUG)
    mended = [binary("nothere") if one.name == "circle" else one for one in ARCHIVE]
    answers = said(checker, mended, questions)
    assert "asked 2, of dose 0: 1 yes, 1 no" in caplog.text  # far, circle
    assert (answers["far"], answers["circle"]) == ("yes", "needs circle, which no package provides")
    assert said(checker, mended, questions) == answers
    assert caplog.text.count("asked") == 1


def test_a_set_that_dose_found_is_tried_first(checker: Checker, caplog: pytest.LogCaptureFixture) -> None:
    """q, r: the first alternatives exclude each other, and so do the first and the last."""
    knot = [
        *BASE,
        binary("q", Depends="q1 | q2 | q3"),
        binary("r", Depends="r1 | r2 | r3"),
        binary("s", Depends="s1 | s2"),
        *(binary(name, Conflicts=others) for name, others in KNOT.items()),
    ]
    questions = [Question("source---x", "1", "q, r, s")]
    caplog.set_level(logging.DEBUG)
    assert said(checker, knot, questions) == {"x": "yes"}
    assert "of dose 1" in caplog.text
    caplog.clear()
    assert said(checker, [*knot[1:], binary("build-essential", "2", Depends="gcc")], questions) == {"x": "yes"}
    assert "asked 1, of dose 0" in caplog.text


KNOT = {"q1": "s1, s2", "q2": "r1", "q3": "r1, r2, s1", "r1": "s1", "r2": "s1, s2", "r3": "s1", "s1": "q2", "s2": ""}


def test_a_question_that_changes_is_asked_again(checker: Checker) -> None:
    assert said(checker, ARCHIVE, [Question("source---x", "1", "g")]) == {"x": "yes"}
    assert said(checker, ARCHIVE, [Question("source---x", "1", "g, zz")]) == {
        "x": "needs zz, which no package provides"
    }
    assert said(checker, ARCHIVE, []) == {}


def test_a_package_that_cannot_be_read_is_none(checker: Checker, tmp_path: Path) -> None:
    archive = [*BASE, binary("x", Conflicts="a (>>", Provides="y"), binary("z", Depends="x | b ("), binary("ok")]
    questions = [Question(f"source---{name}", "1", name) for name in ("x", "y", "z", "ok")]
    answers = said(checker, archive, questions)
    assert [answers["ok"], answers["x"]] == ["yes", "needs x; x 1 needs a (>>, which no package provides"]
    assert by_dose(archive, questions, tmp_path) == {
        f"source---{name}": text == "yes" for name, text in answers.items()
    }


def test_when_dose_fails_nothing_is_said(checker: Checker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "dose"
    program.write_text("#!/bin/sh\necho no memory >&2\nexit 64\n")
    program.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(dose, "PROGRAM", str(program))
        with pytest.raises(CommandError, match="exit 64\nno memory"):
            said(checker, ARCHIVE, ask(QUESTIONS))
    assert said(checker, ARCHIVE, ask(QUESTIONS))["clash"].startswith("needs e and f")
    assert [path.name for path in (tmp_path / "tmp").glob("*/tmp*")] == []


NAMES = [f"p{n}" for n in range(6)]
RELATION = st.builds(
    "{}{}".format,
    st.sampled_from([*NAMES, "virtual"]),
    st.sampled_from(["", "", " (>= 2)", " (<< 2)", " (= 1)", ":any"]),
)
DEPENDS = st.lists(st.lists(RELATION, min_size=1, max_size=3).map(" | ".join), max_size=3).map(", ".join)
AVOIDS = st.lists(RELATION.filter(lambda text: ":any" not in text), max_size=2).map(", ".join)


@st.composite
def packages(draw: st.DrawFn) -> BinaryPackage:
    fields = {
        "Depends": draw(DEPENDS),
        "Pre_Depends": draw(st.just("") | DEPENDS),
        "Conflicts": draw(st.just("") | AVOIDS),
        "Breaks": draw(st.just("") | AVOIDS),
        "Provides": draw(st.sampled_from(["", "", "virtual", "virtual (= 2)", "p0 (= 1)", "p1"])),
        "Multi_Arch": draw(st.sampled_from(["no", "same", "foreign", "allowed"])),
        "Essential": draw(st.sampled_from(["no"] * 9 + ["yes"])),
        "Architecture": draw(st.sampled_from(["amd64", "all"])),
    }
    return binary(
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from(["1", "2"])),
        **{name: text for name, text in fields.items() if text not in ("", "no")},
    )


ARCHIVES = st.lists(packages(), max_size=8, unique_by=lambda one: (one.name, one.version))
ASKED = st.lists(st.tuples(DEPENDS, AVOIDS), min_size=1, max_size=5)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(ARCHIVES, ASKED), min_size=1, max_size=3))
def test_after_any_changes_dose_says_the_same(
    tmp_path: Path, steps: list[tuple[list[BinaryPackage], list[tuple[str, str]]]]
) -> None:
    checker = Checker("amd64", tmp_path)
    for archive, asked in steps:
        binaries = [*BASE, *archive]
        questions = [Question(f"source---{n}", "1", needs, avoids) for n, (needs, avoids) in enumerate(asked)]
        answers = checker.check(binaries, questions)
        assert {name: answer.installable for name, answer in answers.items()} == by_dose(binaries, questions, tmp_path)
        assert all(words(answer.reasons) for answer in answers.values() if not answer.installable)
