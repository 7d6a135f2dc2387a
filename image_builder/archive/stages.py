"""The stages of a rebuild: where each one's results are, and whose results its builds may install."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from image_builder.archive.configuration import ArchiveConfig, Pass
from image_builder.archive.database.records import AttemptRecord
from image_builder.archive.model import Base
from image_builder.archive.repository.full import Changes
from image_builder.archive.repository.repository import Repository
from image_builder.archive.repository.useforbuild import Flags
from image_builder.archive.results import Results
from image_builder.errors import ConfigError


def seen(passes: Sequence[Pass], stage: int) -> tuple[int, ...]:
    """The stages whose results builds of a stage may install; of a source with several results the last named counts.

    Against `old` there are none. Against `both`: those before and its own, so that what was rebuilt in any of them
    hides the old archive's, and the stage's own hides what an earlier one made. Against `built`: those before; and of
    what none of them set out to build, its own. So a stage that builds everything again after one that did builds on
    that one's results only, whatever it makes itself meanwhile.
    """
    this = next(one for one in passes if one.stage == stage)
    before = tuple(one.stage for one in passes if one.stage < stage)
    if this.base is Base.OLD:
        return ()
    if this.base is Base.BOTH:
        return (*before, stage)
    return before if _complete(passes, this) else (stage, *before)


def follows_itself(passes: Sequence[Pass], stage: int) -> bool:
    """Whether builds of a stage wait for others of the same stage, and use what these make."""
    return stage in seen(passes, stage)


class Stages:
    """RESULTS/stage-N/ has what stage N delivered. REPOSITORY/stage-N/ is what its builds may install, REPOSITORY/ what
    is published: of each source the result of the latest stage. Both are functions of results and flags."""

    def __init__(
        self, results: Path, repository: Path, suites: Mapping[str, Sequence[str]], passes: Sequence[Pass]
    ) -> None:
        """suites: those that are built, with their architectures. Raises ConfigError for results of no stage."""
        self.folder, self._repository, self._suites, self._passes = results, repository, suites, tuple(passes)
        for suite in suites:
            if (results / suite).is_dir():
                last = stage_folder(results, self._passes[-1].stage)
                raise ConfigError(
                    "these results are of a version that did not tell stages apart",
                    where=results / suite,
                    hint=f"mkdir {last}; mv {results / suite} {last}: they then count as those of the last stage",
                )

    def results(self, stage: int) -> Results:
        """What a stage delivered."""
        return Results(stage_folder(self.folder, stage))

    def repository(self, stage: int) -> Repository:
        """What builds of a stage may install. Raises ValueError for one against the old archive."""
        stages = seen(self._passes, stage)
        if not stages:
            raise ValueError(f"builds of stage {stage} install nothing that was built")
        layers = [self.results(one) for one in stages]
        folder = self._repository / f"stage-{stage}"
        return Repository(layers, folder, self._suites, flags=self._repository)

    @property
    def newest(self) -> Repository:
        """Of each source the result of the latest stage: what is shown and published."""
        return Repository([self.results(one.stage) for one in self._passes], self._repository, self._suites)

    def existing(self) -> dict[str, Repository]:
        """All repositories that were made so far: "" is the published one, "stage-1" what builds of stage 1 install."""
        stages = [one.stage for one in self._passes if seen(self._passes, one.stage)]
        made = {one.folder.name: one for one in map(self.repository, stages) if one.folder.is_dir()}
        return {"": self.newest, **made}

    def set_flags(self, suite: str, flags: Flags) -> Changes:
        """Set useforbuild for all stages; what is offered to builds of each follows before this returns."""
        done = self.newest.set_flags(suite, flags)
        for name, repository in self.existing().items():
            done += repository.update(suite) if name else Changes()
        return done

    def built_before(self, stage: int, suite: str, architectures: Sequence[str]) -> set[str]:
        """Sources that an earlier stage has results of, for one of these architectures."""
        found: set[str] = set()
        for one in self._passes:
            results = self.results(one.stage)
            for architecture in architectures if one.stage < stage else ():
                names = results.sources(suite, architecture)
                found.update(name for name in names if results.has(suite, architecture, name))
        return found


def stages_of(config: ArchiveConfig) -> Stages:
    """The stages of a configuration. Raises ConfigError as Stages() does."""
    return Stages(config.results, config.repository, {config.suite: config.architectures}, config.passes)


def stage_folder(results: Path, stage: int) -> Path:
    """Where the results of a stage are."""
    return results / f"stage-{stage}"


def log_folder(results: Path, stage: int, record: AttemptRecord) -> Path | None:
    """Where log and record of an attempt of a stage are: with the newest result, or in history; None: nowhere.

    results: the folder of the configuration.
    """
    there, key = Results(stage_folder(results, stage)), record.attempt.key
    newest = there.read(key.suite, key.architecture, key.source)
    if newest is not None and (newest.attempt, newest.token) == (record.attempt.identity, record.attempt.token):
        return there.place(key.suite, key.architecture, key.source)
    return there.history(record.attempt.identity)


def _complete(passes: Sequence[Pass], this: Pass) -> bool:
    """Whether an earlier pass set out to build all that this one builds."""
    return any(one.stage < this.stage and one.packages in ("all", this.packages) for one in passes)
