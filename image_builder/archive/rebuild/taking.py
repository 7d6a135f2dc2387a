"""What came of a job: judged by its log, its files taken in as results, its log kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from image_builder.archive.builder.perform import LOG, RESULTS
from image_builder.archive.builder.report import ENDED, Ended
from image_builder.archive.database.records import Run
from image_builder.archive.indices.relations import build_dependencies
from image_builder.archive.model import Attempt, BinaryPackage, Outcome
from image_builder.archive.outcome import TAIL_BYTES, judge
from image_builder.archive.outcome import Ended as Facts
from image_builder.archive.rebuild.ground import Ground
from image_builder.archive.results import Result
from image_builder.archive.schedule.seams import Judged, by_exit
from image_builder.archive.states import binary_nmu_version
from image_builder.errors import SurroundingsError
from image_builder.jobs.interface import Exit, Finished


class Taking:
    """Judge and Accept of one run. offered: what builds on an architecture may install now."""

    def __init__(self, ground: Ground, run: Run, offered: Callable[[str], list[BinaryPackage]]) -> None:
        self.ground, self.run, self.offered = ground, run, offered
        self.results = ground.stages.results(run.stage)

    def judge(self, attempt: Attempt, finished: Finished) -> Judged:
        """By what the machine says, then by sbuild's status and log. A failure's log is kept here."""
        folder = Path(finished.folder)
        ended = _ended(folder) if finished.folder else None
        if finished.exit is not Exit.ENDED or ended is None:
            judged = by_exit(finished)
        elif ended.never_begun:
            problem = Outcome.CHROOT_PROBLEM if "mmdebstrap" in ended.never_begun else Outcome.GIVE_BACK
            judged = Judged(problem, ended.never_begun)
        else:
            facts = Facts(ended.exit_status, ended.timed_out, ended.cancelled, ended.out_of_memory)
            said = judge(facts, _tail(folder / LOG), direct=self._direct(attempt), available=self._available(attempt))
            judged = Judged(said.outcome, said.dependency or said.cause)
        if judged.outcome is Outcome.SUCCEEDED:
            place = self.results.place(attempt.key.suite, attempt.key.architecture, attempt.key.source)
            return Judged(judged.outcome, judged.cause, str(place))
        if not finished.folder or not (folder / RESULTS).is_dir():
            return judged
        kept = self.results.keep(self._result(attempt, finished, judged.outcome), folder / RESULTS)
        return Judged(judged.outcome, judged.cause, str(kept))

    def accept(self, attempt: Attempt, finished: Finished) -> None:
        """Its packages are the newest result, and its source can be published beside them."""
        self.results.accept(self._result(attempt, finished, Outcome.SUCCEEDED), Path(finished.folder) / RESULTS)
        self._accept_source(attempt.key.source)

    def _accept_source(self, name: str) -> None:
        source = self.ground.archive.sources[name]
        if name in self.ground.archive.local.source_places or not source.files:
            return
        folder = self.ground.config.work / "sources" / f"{name}_{source.version.replace(':', '%3a')}"
        folder.mkdir(parents=True, exist_ok=True)
        for one in source.files:
            path = self.ground.pinned.fetch(f"{source.directory}/{one.name}", one.sha256, one.size)
            if not (folder / one.name).exists():
                shutil.copyfile(path, folder / one.name)
        dsc = next(folder / one.name for one in source.files if one.name.endswith(".dsc"))
        self.results.accept_source(self.ground.config.suite, source.component, dsc)

    def _result(self, attempt: Attempt, finished: Finished, outcome: Outcome) -> Result:
        key, source = attempt.key, self.ground.archive.sources[attempt.key.source]
        suffix = self.ground.config.toolchain.version_suffix
        return Result(
            suite=key.suite,
            source=key.source,
            version=attempt.version,
            binary_version=binary_nmu_version(attempt.version, attempt.binary_nmu) + suffix,
            architecture=key.architecture,
            run=self.run.name,
            stage=self.run.stage,
            attempt=attempt.identity,
            token=attempt.token,
            outcome=outcome,
            started=finished.at - finished.seconds,
            finished=finished.at,
            seconds=finished.seconds,
            memory_bytes=finished.memory_bytes,
            disk_bytes=finished.disk_bytes,
            toolchain=self.run.toolchain,
            component=source.component,
        )

    def _machine(self, attempt: Attempt) -> str:
        return self.ground.native if attempt.key.architecture == "all" else attempt.key.architecture

    def _direct(self, attempt: Attempt) -> set[str]:
        source = self.ground.archive.sources[attempt.key.source]
        needs, _ = build_dependencies(source, attempt.key.architecture, self._machine(attempt))
        return {alternative.name for group in needs for alternative in group}

    def _available(self, attempt: Attempt) -> dict[str, str]:
        return {one.name: one.version for one in self.offered(self._machine(attempt))}


def _ended(folder: Path) -> Ended | None:
    try:
        return Ended(**json.loads((folder / ENDED).read_text()))
    except (OSError, ValueError, TypeError):
        return None  # it was killed before it could say


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError as e:
        raise SurroundingsError(f"cannot be read: {e.strerror}", where=log) from e
