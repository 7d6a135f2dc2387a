"""Which of the waiting jobs a machine can start now, within its memory and disk, without one waiting for ever."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from image_builder.jobs.interface import Job


class Budget:
    """What a machine has to share out. Knows who has been let past whom."""

    def __init__(self, *, slots: int, memory_bytes: int, disk_bytes: int) -> None:
        self.slots, self.memory_bytes, self.disk_bytes = slots, memory_bytes, disk_bytes
        self._passed: dict[str, set[str]] = {}  # who was refused -> who has been started since

    def admit(self, waiting: Sequence[Job], running: Iterable[Job]) -> list[Job]:
        """Choose what to start, in the order of `waiting`.

        Who is refused keeps its turn: a later one passes it only if there is room for both and all that passed before,
        so it starts when those have ended that ran when it was refused. What needs more than the machine has starts
        when nothing else runs. Jobs that want the machine for themselves follow each other, so that it has to be
        emptied once.
        """
        taken = {job.reference: job for job in running}
        self._passed = {one.reference: self._passed[one.reference] & taken.keys()
                        for one in waiting if one.reference in self._passed}  # fmt: skip
        refused: list[Job] = []
        chosen: list[Job] = []
        queue = sorted(waiting, key=lambda job: not job.alone) if not taken else list(waiting)
        for job in queue:
            passable = all(
                self._fit([*(taken[r] for r in self._passed[other.reference]), other, job]) for other in refused
            )
            if passable and (not taken or self._fit([*taken.values(), job])):
                for other in refused:
                    self._passed[other.reference].add(job.reference)
                self._passed.pop(job.reference, None)
                taken[job.reference] = job
                chosen.append(job)
            else:
                self._passed.setdefault(job.reference, set())
                refused.append(job)
        return chosen

    def _fit(self, jobs: Sequence[Job]) -> bool:
        return (
            len(jobs) <= self.slots
            and (len(jobs) == 1 or not any(job.alone for job in jobs))
            and sum(job.memory_bytes for job in jobs) <= self.memory_bytes
            and sum(job.disk_bytes for job in jobs) <= self.disk_bytes
        )
