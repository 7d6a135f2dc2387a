"""The whole of Debian main on amd64, planned on its real indices, and held against dose-builddebcheck for all of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from debian_indices import ARCHITECTURE, SUITE, Indices, as_dose_reads, fetch

from image_builder.archive.classify import classify
from image_builder.archive.database.open import open_database
from image_builder.archive.importer import Archive, read_archive, take_in
from image_builder.archive.importing import Status
from image_builder.archive.indices.packages import read_packages
from image_builder.archive.indices.sources import latest, read_sources
from image_builder.archive.installability import dose
from image_builder.archive.installability.checker import Checker
from image_builder.archive.installability.judge import Judge
from image_builder.archive.installability.question import Answer, Question
from image_builder.archive.installability.reasons import words
from image_builder.archive.installability.report import read_report
from image_builder.archive.installability.universe import Universe
from image_builder.archive.model import Base, BinaryPackage, SourcePackage
from image_builder.archive.states import State
from image_builder.run import run

pytestmark = pytest.mark.full

BROKEN = {
    ("cmucl", "21d-2.1"): "cmucl (>= 21c)",
    ("doxygen", "1.9.1-2"): "llvm-11-dev",
    ("gcc-11", "11.3.0-8"): "gnat-10:native",
    ("grub2", "2.06-2"): "gcc-10",
    ("jquery", "3.3.1~dfsg-3"): "node-uglify",
    ("simde", "0.7.2-6"): "gcc-10",
}


@pytest.fixture(scope="module")
def indices(tmp_path_factory: pytest.TempPathFactory) -> Indices:
    return fetch(tmp_path_factory.mktemp("indices"))


@pytest.fixture(scope="module")
def sources(indices: Indices) -> list[SourcePackage]:
    return read_sources(indices.sources)


@pytest.fixture(scope="module")
def binaries(indices: Indices) -> list[BinaryPackage]:
    return read_packages(indices.packages)


@pytest.fixture(scope="module")
def questions(sources: list[SourcePackage]) -> list[Question]:
    return as_dose_reads(sources)


@pytest.fixture(scope="module")
def answers(
    binaries: list[BinaryPackage], questions: list[Question], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Answer]:
    return Checker(ARCHITECTURE, tmp_path_factory.mktemp("checker")).check(binaries, questions)


def test_counts(indices: Indices, sources: list[SourcePackage], binaries: list[BinaryPackage]) -> None:
    kept = sum(one.extra_source_only for one in sources)
    once = sum(one.architectures == ("all",) for one in sources)
    wide = sum(any("any" in word.split("-") for word in one.architectures) for one in sources)
    if indices.known:
        assert (len(sources), kept, once, wide, len(binaries)) == (34_335, 36, 18_212, 15_731, 63_440)
    assert 0 < once + wide <= len(sources)


def test_every_source_has_one_status(sources: list[SourcePackage], binaries: list[BinaryPackage]) -> None:
    wanted = latest(sources)
    real = classify(wanted, binaries, ARCHITECTURE)
    once = classify(wanted, binaries, "all")
    assert real.keys() == once.keys() == wanted.keys() == {one.name for one in sources if not one.extra_source_only}
    counts = Counter(one.status for one in real.values())
    assert counts[Status.ARCH_ALL_ONLY] == sum(one.architectures == ("all",) for one in wanted.values())
    # A stable release has what it was made from.
    assert counts[Status.INSTALLED] > 0.99 * (len(wanted) - counts[Status.ARCH_ALL_ONLY])
    assert Counter(one.status for one in once.values())[Status.INSTALLED] > 0.5 * len(wanted)


def test_dose_says_the_same_of_all(
    indices: Indices, questions: list[Question], answers: Mapping[str, Answer], tmp_path: Path
) -> None:
    report = tmp_path / "report"
    command = ["dose-builddebcheck", "-e", "-f", "--deb-emulate-sbuild", f"--deb-native-arch={ARCHITECTURE}"]
    run([*command, f"--outfile={report}", indices.packages, indices.sources], accept=(0, 1))
    with report.open() as f:
        theirs = {(entry.name.removeprefix("src:"), entry.version) for entry in read_report(f, str(report))}
    name = {question.name: (question.name.split("---")[-1], question.version) for question in questions}
    ours = {name[asked]: answer for asked, answer in answers.items() if not answer.installable}
    assert ours.keys() == theirs
    if indices.known:
        assert len(questions) == 34_278
        assert ours.keys() == BROKEN.keys()
        for source, relation in BROKEN.items():
            assert f"needs {relation}, which no package provides" in words(ours[source].reasons).splitlines()


def test_all_of_it_is_planned(indices: Indices, tmp_path: Path) -> None:
    archive = read_archive(indices.pinned, [ARCHITECTURE])
    with open_database(tmp_path / "state.db", durable=False) as database:
        plan = database.add_run("everything", 0, Base.OLD, 0.0)
        merged = take_in(database, plan.identity, SUITE, [ARCHITECTURE], archive, [], 1.0)
        judge = Judge(database, plan, SUITE, {ARCHITECTURE: [ARCHITECTURE, "all"]}, tmp_path / "cache")
        judge.judge(archive.sources, {ARCHITECTURE: archive.binaries}, 2.0)
        counts = {place[2]: Counter(states) for place, states in database.counts(plan.identity).items()}
        blocked = {
            row.key.source: row.bd_problem for row in database.packages(plan.identity, states=[State.BD_UNINSTALLABLE])
        }
    once = [one for one in archive.sources.values() if "all" in one.architectures]
    assert sum(counts["all"].values()) == len(once)
    real = sum(one.architectures != ("all",) for one in archive.sources.values())
    assert sum(counts[ARCHITECTURE].values()) == merged[ARCHITECTURE].added
    assert 0.99 * real < sum(counts[ARCHITECTURE].values()) <= real
    assert all("which" in problem or "only" in problem for problem in blocked.values())
    _plan_of_known(indices, archive, counts, blocked)


def _plan_of_known(
    indices: Indices, archive: Archive, counts: Mapping[str, Counter[State]], blocked: Mapping[str, str]
) -> None:
    if not indices.known:
        return
    assert len(archive.sources) == 34_288
    assert counts[ARCHITECTURE] == {State.NEEDS_BUILD: 16_038, State.AUTO_NOT_FOR_US: 59}
    assert counts["all"] == {State.NEEDS_BUILD: 22_570}
    # Of the six that dose names five are versions that are only kept for Built-Using. The sixth, cmucl, lacks itself
    # where it is built for i386; what it makes for all architectures can be built.
    assert blocked == {}


@pytest.mark.parametrize("seed", range(3))
def test_after_random_changes_dose_says_the_same_of_some(
    seed: int, questions: Sequence[Question], binaries: Sequence[BinaryPackage], tmp_path: Path
) -> None:
    chance = random.Random(seed)
    asked = chance.sample(list(questions), 40)
    universe = Universe(binaries, ARCHITECTURE)
    some = [universe.packages[number] for number in sorted(dose.reachable(universe, asked))]
    checker = Checker(ARCHITECTURE, tmp_path)
    verdicts = []
    for _ in range(4):
        answers = checker.check(some, asked)
        theirs = {entry.name: entry.installable for entry in dose.ask(Universe(some, ARCHITECTURE), asked, tmp_path)}
        assert {name: answer.installable for name, answer in answers.items()} == theirs
        verdicts += theirs.values()
        some = _changed(some, asked, chance)
    assert set(verdicts) == {True, False}


def _changed(some: list[BinaryPackage], asked: Sequence[Question], chance: random.Random) -> list[BinaryPackage]:
    """Five packages, two of which somebody builds with, differ: gone, of another version, with other relations."""
    direct = {
        alternative.split()[0].split(":")[0] for one in asked for alternative in one.needs.split(", ") if alternative
    }
    near = [number for number, one in enumerate(some) if one.name in direct]
    numbers = {*chance.sample(range(len(some)), 3), *chance.sample(near, 2)}
    changed: list[BinaryPackage] = []
    for number, one in enumerate(some):
        if number not in numbers:
            changed.append(one)
            continue
        other = chance.choice(some).name
        relations = chance.choice(
            [
                {"Depends": f"{one.relations.get('Depends', 'dpkg')}, {other}"},
                {"Conflicts": other},
                {"Breaks": f"{other} (>= 0)"},
            ]
        )
        match chance.randrange(4):
            case 1:
                changed.append(replace(one, version=f"{one.version}+b9"))
            case 2 | 3:
                changed.append(replace(one, relations={**one.relations, **relations}))
    return changed
