"""Two runs compared: what is told, from which difference on, and why something most likely failed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from image_builder.archive.comparing.compare import Bounds, Changed, Grown, compare
from image_builder.archive.comparing.facts import Binary, Ended
from image_builder.archive.comparing.likely import Likely, likely, line_of
from image_builder.archive.model import Key, Outcome
from image_builder.archive.states import Cause, State

HEADER = "cc -c x.c\nx.c:1:10: fatal error: zlib.h: No such file or directory\ncompilation terminated.\n"


def key(source: str, architecture: str = "amd64") -> Key:
    return Key("trixie", architecture, source)


def good(seconds: float = 60.0, **binaries: Binary) -> Ended:
    return Ended("1-1", State.INSTALLED, outcome=Outcome.SUCCEEDED, seconds=seconds, binaries=binaries)


def bad(log: str = "", **words: Any) -> Ended:
    return Ended("1-1", State.BUILD_ATTEMPTED, **{"outcome": Outcome.ATTEMPTED, "log": log, **words})


OPEN = Ended("1-1", State.NEEDS_BUILD)
NOT_WANTED = Ended("1-1", State.AUTO_NOT_FOR_US)


def test_each_package_is_told_once() -> None:
    first = {
        key("broken"): good(), key("mended"): bad(HEADER), key("never"): bad(HEADER), key("same"): good(),
        key("gone"): good(), key("waits"): good(), key("forbidden"): good(),
    }  # fmt: skip
    second = {
        key("broken"): bad(HEADER), key("mended"): good(), key("never"): bad(HEADER), key("same"): good(),
        key("new"): good(), key("waits"): OPEN, key("forbidden"): NOT_WANTED, key("new and bad"): bad(HEADER),
    }  # fmt: skip
    found = compare(first, second)
    assert [(one.key.source, one.new) for one in found.failures] == [
        ("broken", True), ("never", False), ("new and bad", False),
    ]  # fmt: skip
    assert found.fixed == [key("mended")]
    assert found.only_first == [key("forbidden"), key("gone")]
    assert found.only_second == [key("new"), key("new and bad")]
    assert found.open == [key("waits")]
    assert (found.same, found.unknown) == (1, 0)
    assert (found.slower, found.larger, found.dependencies, found.other_versions) == ([], [], [], [])


def test_the_same_run_twice_differs_in_nothing() -> None:
    run = {key("a"): good(100.0, a=Binary(9, 99, {"Depends": frozenset({"libc6"})})), key("b"): bad(HEADER)}
    found = compare(run, run)
    assert [one.new for one in found.failures] == [False]
    assert (found.fixed, found.slower, found.larger, found.dependencies) == ([], [], [], [])


def test_failures_are_grouped_by_likely_cause_the_largest_group_first() -> None:
    names = ["a", "b", "c", "d"]
    logs = {"a": "x.c:3:1: error: no\n", "b": HEADER, "c": HEADER, "d": HEADER.replace("zlib.h", "lzma.h")}
    found = compare({key(n): good() for n in names}, {key(n): bad(logs[n]) for n in names})
    assert [(cause.name, cause.what, [one.key.source for one in some]) for cause, some in found.groups(new=True)] == [
        ("header-missing", "zlib.h", ["b", "c"]),
        ("compiler", "", ["a"]),
        ("header-missing", "lzma.h", ["d"]),
    ]
    assert found.groups(new=False) == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(100.0, 130.0, True, id="by the bounds, exactly"),
        pytest.param(100.0, 129.0, False, id="less than half a minute more"),
        pytest.param(4000.0, 4900.0, False, id="less than a quarter more"),
        pytest.param(4000.0, 5000.0, True, id="a quarter more"),
        pytest.param(5000.0, 100.0, False, id="quicker"),
        pytest.param(0.0, 30.0, True, id="from nothing"),
    ],
)
def test_slower(before: float, after: float, told: bool) -> None:
    found = compare({key("a"): good(before)}, {key("a"): good(after)})
    assert found.slower == ([Grown(key("a"), "seconds", before, after)] if told else [])


def test_larger_counts_all_packages_but_debug_symbols() -> None:
    first = {"a": good(tool=Binary(1_000_000, 4_000_000), **{"tool-dbgsym": Binary(10, 10)})}
    second = {"a": good(tool=Binary(1_060_000, 4_100_000), **{"tool-dbgsym": Binary(9_000_000, 9_000_000)})}
    found = compare({key(n): e for n, e in first.items()}, {key(n): e for n, e in second.items()})
    assert found.larger == [Grown(key("a"), "packed", 1_000_000, 1_060_000)], "installed: 2.5 percent only"
    found = compare({key(n): e for n, e in first.items()}, {key(n): e for n, e in second.items()}, Bounds(larger=1.02))
    assert [one.what for one in found.larger] == ["installed", "packed"], "the largest difference first"


def test_other_dependencies() -> None:
    before = Binary(1, 1, {"Depends": frozenset({"libc6 (>= 2.36)", "libgcc-s1"}), "Provides": frozenset({"x"})})
    after = Binary(1, 1, {"Depends": frozenset({"libc6 (>= 2.41)", "libgcc-s1"}), "Breaks": frozenset({"y"})})
    first = {key("a"): good(tool=before, old=Binary(1, 1))}
    found = compare(first, {key("a"): good(tool=after, new=Binary(1, 1))})
    assert found.dependencies == [
        Changed(key("a"), "", "packages", ("old",), ("new",)),
        Changed(key("a"), "tool", "Breaks", (), ("y",)),
        Changed(key("a"), "tool", "Depends", ("libc6 (>= 2.36)",), ("libc6 (>= 2.41)",)),
        Changed(key("a"), "tool", "Provides", ("x",), ()),
    ]


def test_what_is_not_known_is_said_and_not_compared() -> None:
    found = compare({key("a"): replace(good(), binaries=None)}, {key("a"): good(tool=Binary(1 << 30, 0))})
    assert (found.same, found.unknown, found.larger, found.dependencies) == (1, 1, [], [])


MISSING = "needs libfoo-dev (>= 2); libfoo-dev 2.1-1 needs libfoo2 (= 2.1-1), but there is only libfoo2 2.0-4"


@pytest.mark.parametrize(
    ("ended", "name", "what"),
    [
        (bad(HEADER), "header-missing", "zlib.h"),
        (bad("", reason="its tests failed; the last of 2 attempts"), "tests", ""),
        (bad("", reason="no idea"), "unknown", ""),
        (bad(HEADER, outcome=Outcome.TIMEOUT), "timeout", ""),
        (bad("", cause=Cause.TIMEOUT, outcome=None), "timeout", ""),
        (bad("", outcome=Outcome.CHROOT_PROBLEM, cause=Cause.CHROOT_PROBLEM), "chroot", ""),
        (bad("", outcome=Outcome.GIVE_BACK, cause=Cause.RETRIES), "given-back", ""),
        (bad("", outcome=Outcome.CANCELLED, cause=Cause.CANCELLED), "cancelled", ""),
        (bad("", outcome=Outcome.BUILDER_FAULT, reason="out of memory"), "out-of-memory", ""),
        (bad("", outcome=Outcome.BUILDER_FAULT, reason="the disk is full"), "disk-full", ""),
        (bad("", outcome=Outcome.BUILDER_FAULT, reason="not enough room on the disk for it"), "disk-full", ""),
        (bad("", outcome=Outcome.BUILDER_FAULT, reason="what was delivered was refused: x"), "refused", ""),
        (bad("", outcome=Outcome.BUILDER_FAULT, reason="nothing was heard of it"), "machine", ""),
        (Ended("1", State.BD_UNINSTALLABLE, problem=MISSING), "dependency", "libfoo2"),
        (
            Ended("1", State.BD_UNINSTALLABLE, problem="needs what gcc should have made, whose build failed"),
            "dependency", "gcc",
        ),
        (Ended("1", State.BD_UNINSTALLABLE, problem="waits for acl to be built"), "dependency", "acl"),
        (Ended("1", State.DEP_WAIT, problem="libbar-dev (>= 3)", outcome=Outcome.DEP_WAIT), "dependency", "libbar-dev"),
        (bad("", outcome=Outcome.DEP_WAIT, reason="libbar-dev; the last of 4 attempts"), "dependency", "libbar-dev"),
        (Ended("1", State.FAILED, problem="needs a patch", outcome=Outcome.ATTEMPTED, log=HEADER), "header-missing",
         "zlib.h"),
    ],
)  # fmt: skip
def test_likely_cause(ended: Ended, name: str, what: str) -> None:
    found = likely(ended)
    assert (found.name, found.what) == (name, what)
    assert found.words


def test_the_line_shown_is_the_one_that_says_it() -> None:
    assert (
        line_of(bad(HEADER, reason="a header is missing")) == "x.c:1:10: fatal error: zlib.h: No such file or directory"
    )
    assert line_of(bad("", reason="its tests failed")) == "its tests failed"
    assert line_of(Ended("1", State.BD_UNINSTALLABLE, problem=f"{MISSING}\nmore")) == MISSING
    assert (
        line_of(bad(HEADER, outcome=Outcome.TIMEOUT, reason="the time limit was reached"))
        == "the time limit was reached"
    )


def test_one_cause_is_one_group_whatever_the_log_looks_like() -> None:
    assert (
        likely(bad(HEADER))
        == likely(bad("noise\n" * 3 + HEADER))
        == Likely("header-missing", "a header is missing", "zlib.h")
    )
