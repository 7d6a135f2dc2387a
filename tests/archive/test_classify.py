"""What binaries say of sources: the table of wanna-build's classification, and lists by architecture."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packages_by_hand import binary, source

from image_builder.archive.classify import ArchitectureRule, classify, read_rules
from image_builder.archive.importing import Found, Status
from image_builder.archive.model import BinaryPackage, SourcePackage
from image_builder.errors import ConfigError, SurroundingsError


@dataclass
class Case:
    """One source, and what there is beside it."""

    source: SourcePackage
    expected: Status
    binaries: list[BinaryPackage] = field(default_factory=list)
    rules: dict[str, ArchitectureRule] = field(default_factory=dict)
    architecture: str = "amd64"
    binary_nmu: int | None = None
    others: list[BinaryPackage] = field(default_factory=list)
    related: list[SourcePackage] = field(default_factory=list)


def only(*architectures: str) -> ArchitectureRule:
    return ArchitectureRule(frozenset(architectures), excluded=False)


def but(*architectures: str) -> ArchitectureRule:
    return ArchitectureRule(frozenset(architectures), excluded=True)


TWO = source("x", "2-1", Binary="x, x-data", Architecture="any all")
ALL = source("x", "2-1", Architecture="all")
CASES = {
    "no binary": Case(source("x"), Status.UNCOMPILED),
    "this version": Case(source("x"), Status.INSTALLED, [binary("x")]),
    "one of two is enough": Case(source("x", Binary="x, y"), Status.INSTALLED, [binary("y", Source="x")]),
    "a binary NMU of it": Case(source("x"), Status.INSTALLED, [binary("x", "1+b2")], binary_nmu=2),
    "the highest binary NMU counts": Case(
        source("x", Binary="x, y"),
        Status.INSTALLED,
        [binary("x", "1+b9"), binary("y", "1+b10", Source="x (1)")],
        binary_nmu=10,
    ),
    "a binary with a version of its own": Case(source("x", "7"), Status.INSTALLED, [binary("x", "3", Source="x (7)")]),
    "an older version": Case(source("x", "2"), Status.OUT_OF_DATE, [binary("x", "1")]),
    "a newer version": Case(source("x", "2"), Status.OUT_OF_DATE, [binary("x", "3")]),
    "the name of another source": Case(source("x"), Status.UNCOMPILED, [binary("x", Source="y")]),
    "another architecture": Case(source("x"), Status.UNCOMPILED, [binary("x", Architecture="arm64")]),
    "only the part for all is there": Case(
        TWO, Status.UNCOMPILED, [binary("x-data", "2-1", Source="x", Architecture="all")]
    ),
    "nothing for real architectures": Case(ALL, Status.ARCH_ALL_ONLY, [binary("x", "2-1", Architecture="all")]),
    "built for all": Case(ALL, Status.INSTALLED, [binary("x", "2-1", Architecture="all")], architecture="all"),
    "not yet built for all": Case(ALL, Status.UNCOMPILED, architecture="all"),
    "outdated for all": Case(ALL, Status.OUT_OF_DATE, [binary("x", "1-1", Architecture="all")], architecture="all"),
    "the real part says nothing about all": Case(TWO, Status.UNCOMPILED, [binary("x", "2-1")], architecture="all"),
    "has nothing for all": Case(source("x"), Status.ARCH_NOT_IN_ARCH_LIST, architecture="all"),
    "other architectures": Case(source("x", Architecture="arm64 hurd-any"), Status.ARCH_NOT_IN_ARCH_LIST),
    "a wildcard": Case(source("x", Architecture="arm64 linux-any"), Status.UNCOMPILED),
    "built though not in its list": Case(source("x", Architecture="arm64"), Status.INSTALLED, [binary("x")]),
    "other architectures and all": Case(source("x", Architecture="arm64 all"), Status.ARCH_NOT_IN_ARCH_LIST),
    "everything is for all by now": Case(
        source("x", "2-1"), Status.OVERWRITTEN_BY_ARCH_ALL, [binary("x", "2-1", Architecture="all")]
    ),
    "everything is for all in the archive": Case(
        source("x", "2-1"), Status.OVERWRITTEN_BY_ARCH_ALL, others=[binary("x", "2-1", Architecture="all")]
    ),
    "outdated binaries for all do not exist": Case(
        source("x", "2-1"), Status.UNCOMPILED, [binary("x", "1-1", Architecture="all")]
    ),
    "one is not for all": Case(
        TWO, Status.UNCOMPILED, others=[binary("x-data", "2-1", Source="x", Architecture="all")]
    ),
    "a list by source": Case(source("x"), Status.PACKAGES_ARCH_SPECIFIC, rules={"%x": only("arm64")}),
    "a list by source has us": Case(source("x"), Status.UNCOMPILED, rules={"%x": only("arm64", "amd64")}),
    "a list by source excludes us": Case(source("x"), Status.PACKAGES_ARCH_SPECIFIC, rules={"%x": but("amd64")}),
    "a list by source excludes others": Case(source("x"), Status.UNCOMPILED, rules={"%x": but("arm64")}),
    "a list wins over binaries that are there": Case(
        source("x"), Status.PACKAGES_ARCH_SPECIFIC, [binary("x")], {"%x": but("amd64")}
    ),
    "a list by binary, for one of two": Case(source("x", Binary="x, y"), Status.UNCOMPILED, rules={"x": only("arm64")}),
    "a list by binary, for all it makes": Case(source("x"), Status.PACKAGES_ARCH_SPECIFIC, rules={"x": only("arm64")}),
    "a list for one, and the other is for all": Case(
        TWO,
        Status.PACKAGES_ARCH_SPECIFIC,
        [binary("x-data", "2-1", Source="x", Architecture="all")],
        {"x": only("arm64")},
    ),
    "in the suite below": Case(source("x", "2"), Status.RELATED, related=[source("x", "2")]),
    "another version in the suite below": Case(source("x", "2"), Status.UNCOMPILED, related=[source("x", "1")]),
    "the archive's binaries are no results": Case(source("x"), Status.UNCOMPILED, others=[binary("x")]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_table(case: Case) -> None:
    found = classify(
        {"x": case.source}, case.binaries, case.architecture, case.rules, others=case.others, related=case.related
    )
    assert {name: (one.status, one.binary_nmu) for name, one in found.items()} == {
        "x": (case.expected, case.binary_nmu)
    }


def test_what_a_row_gets_to_know() -> None:
    one = source("x", "1:2", Section="libs", Priority="required")
    assert classify({"x": one}, [], "amd64") == {
        "x": Found("x", "1:2", Status.UNCOMPILED, None, "libs", "required", "main", ("x",), False)
    }


@pytest.mark.parametrize(
    ("binaries", "others", "expected"),
    [
        pytest.param([], [], False, id="nothing there"),
        pytest.param([], [binary("x", "3", Source="y")], True, id="another source has it newer"),
        pytest.param([], [binary("x", "1", Source="y")], False, id="another source has it older"),
        pytest.param([], [binary("x", "9", Source="y (1)")], False, id="the source's version counts"),
        pytest.param([binary("x", "3")], [], True, id="the index of sources is older than that of binaries"),
        pytest.param([], [binary("x", "3", Source="y"), binary("x-doc", "2", Source="x")], False, id="it still lives"),
        pytest.param([], [binary("x", "3", Source="y", Architecture="arm64")], False, id="elsewhere"),
    ],
)
def test_taken_over(binaries: list[BinaryPackage], others: list[BinaryPackage], expected: bool) -> None:
    found = classify({"x": source("x", "2", Binary="x, x-doc")}, binaries, "amd64", others=others)
    assert found["x"].taken_over is expected


NAMES = st.sampled_from(["a", "b", "c"])
VERSIONS = st.sampled_from(["1", "1+b1", "2", "3"])
ARCHITECTURES = st.sampled_from(["amd64", "arm64", "all"])


@given(
    st.lists(st.builds(lambda n, v, a: source(n, v, Architecture=a), NAMES, st.sampled_from("123"), ARCHITECTURES)),
    st.lists(
        st.builds(lambda n, v, a, s: binary(n, v, Architecture=a, Source=s), NAMES, VERSIONS, ARCHITECTURES, NAMES),
        unique_by=lambda one: (one.name, one.version),
    ),
    st.sampled_from(["amd64", "arm64", "all"]),
    st.randoms(use_true_random=False),
)
def test_every_source_has_one_status_whatever_the_order(
    sources: list[SourcePackage], binaries: list[BinaryPackage], architecture: str, random: Random
) -> None:
    latest = {one.name: one for one in sources}
    found = classify(latest, binaries, architecture)
    assert found.keys() == latest.keys()
    random.shuffle(binaries)
    assert classify(latest, binaries, architecture) == found


def test_rules_are_read(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# all of it\n%linux: amd64 arm64 # why\n\nvalgrind: !armel !mips\n")
    assert read_rules(tmp_path / "list") == {"%linux": only("amd64", "arm64"), "valgrind": but("armel", "mips")}


@pytest.mark.parametrize("line", ["linux", "linux:", "linux: amd64 !arm64"])
def test_a_rule_that_is_none_is_refused_with_its_line(line: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"%a: amd64\n{line}\n")
    with pytest.raises(ConfigError, match=r"list, line 2: 'linux.*' is no rule"):
        read_rules(tmp_path / "list")


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsError, match="cannot be read"):
        read_rules(tmp_path / "list")
