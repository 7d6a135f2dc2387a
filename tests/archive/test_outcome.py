"""Whose fault a failed build is: the judgement over sbuild's status and the end of its log."""

from __future__ import annotations

import pytest

from image_builder.archive.model import Outcome
from image_builder.archive.outcome import Ended, cause_of, failing_lines, judge, summary_of

RULE = "+" + "-" * 78 + "+\n"


def log(text: str, **fields: str) -> str:
    """The end of a log as sbuild writes it."""
    heading = RULE + "| Summary".ljust(79) + "|\n" + RULE + "\n"
    return text + "\n" + heading + "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in fields.items())


def unmet(*lines: str) -> str:
    return log(
        "The following packages have unmet dependencies:\n"
        + "\n".join(lines)
        + "\nE: Unable to correct problems, you have held broken packages.\n",
        Fail_Stage="install-deps",
        Status="given-back",
    )


DUMMY = "sbuild-build-depends-main-dummy"
WAITS = {
    f" {DUMMY} : Depends: libfoo-dev (>= 2.1) but 1.0-1 is to be installed": "libfoo-dev (>= 2.1)",
    f" {DUMMY} : Depends: libfoo-dev but it is not installable": "libfoo-dev",
    f" {DUMMY} : Depends: libfoo-dev (>> 2) but it is not installable": "libfoo-dev (>> 2)",
    f" {DUMMY} : Depends: libfoo-dev (= 2) but it is not installable": "libfoo-dev",
    f" {DUMMY}:amd64 : Depends: libfoo-dev:amd64 (>= 2) but it is not installable": "libfoo-dev (>= 2)",
    " libbar-dev : Depends: libfoo1 (>= 3) but it is not installable": "libfoo1 (>= 3)",
    " builddeps:./foo.dsc : Depends: libfoo-dev (>= 4) but it is not installable": "libfoo-dev (>= 4)",
}


@pytest.mark.parametrize(("line", "dependency"), WAITS.items())
def test_what_apt_does_not_find_is_waited_for(line: str, dependency: str) -> None:
    judged = judge(Ended(3), unmet(line))
    assert (judged.outcome, judged.dependency) == (Outcome.DEP_WAIT, dependency)
    assert dependency.split(maxsplit=1)[0] in judged.cause


def test_the_second_line_of_a_complaint_is_indented() -> None:
    judged = judge(
        Ended(3),
        unmet(
            f" {DUMMY} : Depends: debhelper but it is not going to be installed",
            "                                   Depends: libfoo-dev (>= 2) but it is not installable",
        ),
    )
    assert judged.dependency == "libfoo-dev (>= 2)"


DOUBTFUL = " sbuild-build-depends-main-dummy : Depends: libfoo-dev (>= 2) but it is not going to be installed"


@pytest.mark.parametrize(
    ("direct", "available", "outcome"),
    [
        (["libfoo-dev"], {}, Outcome.DEP_WAIT),  # it asks for it, and nobody has it
        (["libfoo-dev"], {"libfoo-dev": "2"}, Outcome.ATTEMPTED),  # there it is: the reason lies deeper
        (["other-dev"], {}, Outcome.ATTEMPTED),  # not its own wish
        (["libfoo-dev"], None, Outcome.ATTEMPTED),  # not known what there is
    ],
)
def test_a_doubtful_complaint_is_held_against_what_there_is(
    direct: list[str], available: dict[str, str] | None, outcome: Outcome
) -> None:
    assert judge(Ended(3), unmet(DOUBTFUL), direct=direct, available=available).outcome == outcome


@pytest.mark.parametrize(
    ("ended", "text", "outcome", "words"),
    [
        (Ended(0), "", Outcome.SUCCEEDED, "built"),
        (Ended(2), log("foo.c:3:5: error: x", Status="attempted", Fail_Stage="build"), Outcome.ATTEMPTED, "refused"),
        (Ended(3), log("", Status="given-back", Fail_Stage="apt-get-update"), Outcome.GIVE_BACK, "apt-get-update"),
        (Ended(3), log("", Status="given-back", Fail_Stage="fetch-src"), Outcome.GIVE_BACK, "fetch-src"),
        (Ended(3), log("", Status="given-back", Fail_Stage="create-session"), Outcome.CHROOT_PROBLEM, "create-session"),
        (Ended(3), log("", Status="given-back", Fail_Stage="check-space"), Outcome.BUILDER_FAULT, "room"),
        (Ended(3), log("", Status="skipped", Fail_Stage="arch-check"), Outcome.ATTEMPTED, "architecture"),
        (Ended(1), "E: chroot tarball is not readable", Outcome.CHROOT_PROBLEM, "chroot"),
        (Ended(2), log("cc: No space left on device", Status="attempted"), Outcome.BUILDER_FAULT, "disk is full"),
        (Ended(2), log("cc1plus: out of memory", Status="attempted"), Outcome.BUILDER_FAULT, "memory"),
        (Ended(2, out_of_memory=True), log("", Status="attempted"), Outcome.BUILDER_FAULT, "memory"),
        (Ended(137), "half a log", Outcome.GIVE_BACK, "signal 9"),
        (Ended(137, timed_out=True), "half a log", Outcome.TIMEOUT, "limit"),
        (Ended(143, cancelled=True), "half a log", Outcome.CANCELLED, "request"),
    ],
)
def test_who_is_at_fault(ended: Ended, text: str, outcome: Outcome, words: str) -> None:
    judged = judge(ended, text)
    assert judged.outcome == outcome
    assert words in judged.cause
    assert not judged.dependency


def test_the_summary_of_a_log_cut_short_is_empty() -> None:
    assert summary_of("Status: attempted\n") == {}
    assert summary_of(log("", Status="successful", Build_Time="12")) == {"Status": "successful", "Build-Time": "12"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/usr/bin/ld: a.o: in function `main':\na.c:(.text+0x5): undefined reference to `f'", "the linker failed"),
        ("a.c:1:10: fatal error: zlib.h: No such file or directory", "a header is missing"),
        ("dh_install: error: missing files, aborting", "files missing from what was installed"),
        ("dh_auto_test: error: make -j2 check returned exit code 2", "its tests failed"),
        ("make: *** [debian/rules:8: binary] Error 25", "its build failed"),
        ("something nobody has seen before", "the build failed"),
    ],
)
def test_causes_have_the_same_words_for_all_of_one_kind(text: str, words: str) -> None:
    assert cause_of(text) == words


def test_the_lines_that_say_what_failed() -> None:
    assert failing_lines(["cc -c a.c", "a.c:1:10: fatal error: zlib.h: No such file", "done"]) == [2]
