"""What builds of each stage may install, of what the stages have made: for each base, and however it came about."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rebuild_rows import begin, start
from rebuilt import deliver, quick_folder, tree

from image_builder.archive.configuration import Pass
from image_builder.archive.database.open import open_database
from image_builder.archive.model import Base
from image_builder.archive.repository.repository import Repository
from image_builder.archive.repository.useforbuild import Flag, Flags
from image_builder.archive.stages import Stages, follows_itself, log_folder, seen
from image_builder.errors import ConfigError

SUITES = {"stable": ("amd64", "arm64")}
BOOTSTRAP = Pass(stage=0, base=Base.OLD, packages="base-system")
ALL_ON_BOTH = Pass(stage=1, base=Base.BOTH)
ALL_ON_BUILT = Pass(stage=2, base=Base.BUILT)


@pytest.mark.parametrize(
    ("passes", "stage", "stages"),
    [
        pytest.param([BOOTSTRAP, ALL_ON_BOTH], 0, (), id="old: nothing that was built"),
        pytest.param([BOOTSTRAP, ALL_ON_BOTH], 1, (0, 1), id="both: earlier stages, and above them its own"),
        pytest.param([BOOTSTRAP, ALL_ON_BOTH, ALL_ON_BUILT], 2, (0, 1), id="built, after all: those before only"),
        pytest.param([BOOTSTRAP, Pass(stage=1, base=Base.BUILT)], 1, (1, 0), id="built, after a part: then its own"),
        pytest.param(
            [Pass(stage=0, base=Base.OLD, packages=("a*",)), Pass(stage=5, base=Base.BUILT, packages=("a*",))], 5, (0,),
            id="built, after the same part",
        ),
        pytest.param([Pass(stage=3, base=Base.BOTH)], 3, (3,), id="both, with nothing before"),
    ],
)  # fmt: skip
def test_whose_results_count(passes: list[Pass], stage: int, stages: tuple[int, ...]) -> None:
    assert seen(passes, stage) == stages
    assert follows_itself(passes, stage) == (stage in stages)


PASSES = [BOOTSTRAP, ALL_ON_BOTH, ALL_ON_BUILT, Pass(stage=3, base=Base.BOTH)]


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as made:
        yield made


@pytest.fixture
def stages(folder: Path) -> Stages:
    return Stages(folder / "results", folder / "repository", SUITES, PASSES)


def build(stages: Stages, stage: int, source: str, *names: str, architecture: str = "amd64") -> None:
    """Let a stage deliver binaries; what is in them says which stage it was."""
    files = [name if name.endswith(".deb") else f"{name}_1_{architecture}.deb" for name in names]
    deliver(stages.results(stage), source, architecture, files, 100 * stage + len(names))


def offered(repository: Repository, architecture: str = "amd64") -> dict[str, int]:
    """Binary name -> the stage whose build of it is offered, by looking at the files."""
    repository.update("stable")
    found = tree(repository.full("stable", architecture))
    return {
        name.removesuffix(".deb"): int(data.split()[2]) // 100 for name, data in found.items() if name.endswith(".deb")
    }


def test_each_pass_is_offered_what_its_base_says(stages: Stages) -> None:
    build(stages, 0, "gcc", "gcc", "libgcc1")
    build(stages, 0, "glibc", "libc6")
    build(stages, 1, "gcc", "gcc", "libgcc2")
    build(stages, 1, "hello", "hello")
    with pytest.raises(ValueError, match="install nothing that was built"):
        stages.repository(0)
    # A later build hides all of an earlier one, also what it no longer makes; what was not built again is still there.
    both = {"gcc": 1, "libgcc2": 1, "hello": 1, "libc6": 0}
    assert offered(stages.repository(1)) == both
    assert offered(stages.repository(2)) == both

    build(stages, 2, "gcc", "gcc", "libgcc3")
    build(stages, 2, "more", "more")
    assert offered(stages.repository(1)) == both, "a later stage changes nothing for an earlier one"
    assert offered(stages.repository(2)) == both, "against what was built before: its own results are not used"
    assert offered(stages.newest) == {"gcc": 2, "libgcc3": 2, "hello": 1, "libc6": 0, "more": 2}

    build(stages, 3, "hello", "hello")
    assert offered(stages.repository(3)) == offered(stages.newest)
    assert offered(stages.newest)["hello"] == 3


def test_an_earlier_stage_built_again_does_not_hide_a_later_one(stages: Stages) -> None:
    """The order in time does not matter, only that of the stages."""
    build(stages, 1, "gcc", "gcc")
    build(stages, 0, "gcc", "gcc", "libgcc1")
    assert offered(stages.repository(1)) == {"gcc": 1}
    stages.results(1).remove("stable", "amd64", "gcc")
    assert offered(stages.repository(1)) == {"gcc": 0, "libgcc1": 0}


def test_what_is_for_all_comes_from_the_latest_stage_that_made_it(stages: Stages) -> None:
    build(stages, 0, "doc", "doc_1_all.deb", "data_1_all.deb", architecture="all")
    build(stages, 1, "doc", "tool")
    assert offered(stages.repository(1)) == {"doc": 0, "data": 0, "tool": 1}
    assert offered(stages.repository(1), "arm64") == {"doc": 0, "data": 0}
    build(stages, 1, "doc", "doc_1_all.deb", architecture="all")
    assert offered(stages.repository(1)) == {"doc": 1, "tool": 1}
    assert offered(stages.repository(1), "arm64") == {"doc": 1}


def test_flags_hold_for_all_stages(stages: Stages) -> None:
    build(stages, 0, "a", "foo")
    build(stages, 1, "b", "foo")
    assert offered(stages.repository(1)) == {"foo": 0}
    stages.set_flags("stable", Flags(packages={"a": (Flag(False),)}))
    assert sorted(stages.existing()) == ["", "stage-1"]
    assert stages.repository(1).verify("stable") == stages.newest.verify("stable") == [], "in effect at once"
    assert offered(stages.repository(1)) == offered(stages.repository(2)) == {"foo": 1}
    stages.set_flags("stable", Flags())
    assert sorted(stages.existing()) == ["", "stage-1", "stage-2"]
    assert [one.verify("stable") for one in stages.existing().values()] == [[], [], []]
    assert offered(stages.repository(1)) == offered(stages.repository(2)) == {"foo": 0}


def test_each_can_be_made_anew_from_the_results(stages: Stages, folder: Path) -> None:
    for stage in (2, 0, 1):
        build(stages, stage, "gcc", "gcc", "doc_1_all.deb")
        build(stages, stage, f"only-{stage}", f"only-{stage}")
    views = [stages.repository(1), stages.repository(2), stages.newest]
    before = [[tree(one.index("stable", name, now=0)) for name in SUITES["stable"]] for one in views]
    shutil.rmtree(folder / "repository")
    assert [[tree(one.index("stable", name, now=0)) for name in SUITES["stable"]] for one in views] == before
    assert [one.verify("stable") for one in views] == [[], [], []]


def test_what_was_built_before(stages: Stages) -> None:
    build(stages, 0, "gcc", "gcc")
    build(stages, 0, "doc", "doc_1_all.deb", architecture="all")
    build(stages, 1, "hello", "hello")
    stages.newest.update("stable")  # doc is beside the results of amd64 and arm64 now; it is no result of theirs
    assert stages.built_before(0, "stable", ("amd64", "all")) == set()
    assert stages.built_before(1, "stable", ("amd64", "all")) == {"gcc", "doc"}
    assert stages.built_before(2, "stable", ("amd64",)) == {"gcc", "hello"}
    assert stages.built_before(2, "stable", ("arm64",)) == set()


def test_results_of_no_stage_are_refused(folder: Path) -> None:
    (folder / "results/stable/amd64/gcc").mkdir(parents=True)
    with pytest.raises(ConfigError, match="did not tell stages apart") as refused:
        Stages(folder / "results", folder / "repository", SUITES, PASSES[:2])
    assert f"mkdir {folder}/results/stage-1; mv " in refused.value.hint
    shutil.move(folder / "results/stable", folder / "results/stage-1/stable")
    Stages(folder / "results", folder / "repository", SUITES, PASSES[:2])


def test_where_the_log_of_an_attempt_is(stages: Stages, folder: Path) -> None:
    with open_database(folder / "archive.sqlite", durable=False) as db:
        attempt = start(db, begin(db))
        record = db.attempt(attempt.identity)
    assert record is not None
    results = stages.results(1)
    key = replace(attempt.key, suite="stable")
    record = replace(record, attempt=replace(attempt, key=key))
    assert log_folder(stages.folder, 1, record) is None
    made = deliver(results, key.source, "amd64", ["hello_1_amd64.deb"], attempt.identity)
    mine = replace(record, attempt=replace(record.attempt, token=made.token))
    assert log_folder(stages.folder, 1, mine) == results.place("stable", "amd64", key.source)
    deliver(results, key.source, "amd64", ["hello_2_amd64.deb"], attempt.identity + 1)
    assert log_folder(stages.folder, 1, mine) == results.history(attempt.identity)
