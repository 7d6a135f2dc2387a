"""What happens every quarter of an hour: what was handed in is offered, and who waited for it may be built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from image_builder.archive.database.records import Run
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Verdict
from image_builder.archive.model import Base
from image_builder.archive.requests import Action, Request
from image_builder.archive.schedule.gate import Gate
from image_builder.archive.schedule.seams import Lane
from image_builder.archive.states import State

CHECKER = "installability"  # in whose name the database writes down what it was told of it
OVERLAP_SECONDS = 60.0  # moves of programs whose clocks are behind are seen all the same
# Nothing will come of these by itself; of Dep-Wait not before something else does.
ENDED = frozenset({State.BUILD_ATTEMPTED, State.FAILED, State.NOT_FOR_US, State.AUTO_NOT_FOR_US, State.DEP_WAIT})


class Check(Protocol):
    """Says whether build dependencies can be installed now."""

    def __call__(self, lane: Lane, asked: Collection[str] | None) -> Mapping[str, Verdict]:
        """The verdicts on these sources, and on others where they may have changed. None: on all that wait.

        Called after each publication for each lane, also where it asks for none.
        """


class WaitCheck(Protocol):
    """Says whether what packages in Dep-Wait wait for can be installed now."""

    def __call__(self, lane: Lane) -> Mapping[str, Verdict]:
        """The verdicts by source."""


@dataclass(frozen=True)
class _Look:
    """The states of a lane's packages: of all, or of those that were moved since the last look."""

    states: Mapping[str, State]

    @property
    def settled(self) -> dict[str, bool]:
        """Source -> whether it was built, of those of which nothing more will come."""
        over = ENDED | {State.INSTALLED}
        return {source: state is State.INSTALLED for source, state in self.states.items() if state in over}

    @property
    def waiting(self) -> list[str]:
        """Those whose build dependencies matter now."""
        return [s for s, state in self.states.items() if state in (State.BD_UNINSTALLABLE, State.NEEDS_BUILD)]


class RepositoryTrigger:
    """Uploaded → Installed, then the gate, then the installability of whoever that concerns.

    gates: of the lanes; lanes may share one. publish: brings the build repository up to date with the results, before
    anything is called installed. check: dose's word, asked only for those the gate lets through. waits: for packages in
    Dep-Wait; not asked where there is none.
    """

    def __init__(
        self,
        database: Database,
        run: Run,
        gates: Mapping[Lane, Gate],
        *,
        publish: Callable[[float], None],
        check: Check,
        waits: WaitCheck,
        user: str = "repository",
    ) -> None:
        self.database, self.run, self.gates, self.user = database, run, gates, user
        self.publish, self.check, self.waits = publish, check, waits
        self._since: float | None = None  # moves up to then have been seen
        self._seen = 0  # and those up to this number, whatever time they were made at
        # A gate hears of all that is built on its machines, and of what is built once for all.
        self._feeders = {
            gate: [other for other in gates if other.machine == lane.machine or other.architecture == "all"]
            for lane, gate in gates.items()
        }
        self._here: dict[Lane, set[str]] = {}  # sources that have a row there
        # Of (gate, source) with several rows: what they make is there when all of them are done.
        self._shared: dict[tuple[int, str], dict[Lane, bool]] = {}
        self._rows: dict[tuple[int, str], int] = {}

    def __call__(self, now: float) -> int:
        """Return how many packages came to be ready to be built."""
        self.publish(now)
        moved = self._moved()
        looks = {lane: self._look(lane, moved, now) for lane in self.gates}
        opened = {id(gate): set(gate.settle(self._results(gate, looks, moved is None))) for gate in self._feeders}
        self._since = now - OVERLAP_SECONDS
        ready, everything, again = 0, moved is None, False
        while True:
            stuck: dict[Lane, set[str]] = {}
            for lane, look in looks.items():
                count, stuck[lane] = self._judge(
                    lane, look, opened[id(self.gates[lane])], now, everything=everything, again=again
                )
                ready += count
            # With base "both", what cannot be built now need not be waited for: the archive has a build of it.
            opened = {id(gate): set(gate.settle(self._stuck(gate, stuck))) for gate in self._feeders}
            if not any(opened.values()):
                return ready
            looks, everything, again = dict.fromkeys(self.gates, _Look({})), False, True

    def _moved(self) -> dict[tuple[str, str], dict[str, State]] | None:
        """What others have done since the last time: (suite, architecture) -> source -> its state. None: all is new."""
        last, seen = self._seen, self.database.last_move()
        self._seen = seen
        if self._since is None:
            return None
        found: dict[tuple[str, str], dict[str, State]] = {}
        for one in reversed(
            self.database.transactions(self.run.identity, since=self._since, after=last)
        ):  # newest last
            here = found.setdefault((one.key.suite, one.key.architecture), {})
            if one.user == CHECKER:  # what was judged before needs no second look for that
                continue
            if one.state is None:
                here.pop(one.key.source, None)  # deleted
            else:
                here[one.key.source] = one.state
        return found

    def _look(self, lane: Lane, moved: Mapping[tuple[str, str], Mapping[str, State]] | None, now: float) -> _Look:
        run, suite, architecture = self.run.identity, lane.suite, lane.architecture
        uploaded = [
            one.key
            for one in self.database.packages(run, suite=suite, architecture=architecture, states=(State.UPLOADED,))
        ]
        if uploaded:
            self.database.move_many(run, uploaded, Request(Action.INSTALLED, self.user), now)
        if moved is None:
            rows = self.database.packages(run, suite=suite, architecture=architecture)
            here = {one.key.source: one.state for one in rows}
        else:
            here = dict(moved.get((suite, architecture), {})) | {key.source: State.INSTALLED for key in uploaded}
        return _Look(here)

    def _results(self, gate: Gate, looks: Mapping[Lane, _Look], everything: bool) -> list[tuple[str, bool]]:
        """What there is to say to a gate: (source, whether it was built)."""
        feeders = self._feeders[gate]
        found: list[tuple[str, bool]] = []
        if everything:
            rows = Counter(source for lane in feeders for source in looks[lane].states)
            # What is not built in this run at all is not waited for.
            found += [(source, False) for source in gate.graph.sources if source not in rows]
            self._shared |= {(id(gate), source): {} for source, count in rows.items() if count > 1}
            self._rows |= {(id(gate), source): count for source, count in rows.items() if count > 1}
        return found + [one for lane in feeders for one in self._whole(gate, lane, looks[lane].settled.items())]

    def _stuck(self, gate: Gate, stuck: Mapping[Lane, Collection[str]]) -> list[tuple[str, bool]]:
        if gate.base is not Base.BOTH:
            return []
        return [
            one
            for lane in self._feeders[gate]
            for one in self._whole(gate, lane, ((source, False) for source in stuck.get(lane, ())))
        ]

    def _whole(self, gate: Gate, lane: Lane, results: Iterable[tuple[str, bool]]) -> Iterator[tuple[str, bool]]:
        """Those of a lane's results that are a source's only one, or its last."""
        for source, built in results:
            said = self._shared.get((id(gate), source))
            if said is None:
                yield source, built
                continue
            said[lane] = built
            if len(said) == self._rows[id(gate), source]:
                yield source, all(said.values())

    def _judge(
        self, lane: Lane, look: _Look, opened: Collection[str], now: float, *, everything: bool, again: bool
    ) -> tuple[int, set[str]]:
        """Write down the verdicts; return how many packages became ready, and which cannot be built for now.

        again: nothing has changed since the last call but the gate.
        """
        gate = self.gates[lane]
        here = self._here.setdefault(lane, set())
        here.update(look.states)
        asked = {source for source in (*opened, *look.waiting) if source in here and gate.is_open(source)}
        verdicts = {source: Verdict(gate.problem(source)) for source in look.waiting if not gate.is_open(source)}
        said = {} if again and not asked else self.check(lane, None if everything else asked)
        found = {source: verdict for source, verdict in said.items() if source in here and gate.is_open(source)}
        verdicts |= found
        waits = self.waits(lane) if self._waits(lane) else {}
        stuck = {source for source, verdict in found.items() if verdict.problem}
        if not verdicts and not waits:
            return 0, stuck
        after = self.database.judge(self.run.identity, lane.suite, lane.architecture, verdicts, waits, now)
        return sum(state is State.NEEDS_BUILD for state in after.values()), stuck

    def _waits(self, lane: Lane) -> bool:
        return bool(
            self.database.packages(
                self.run.identity, suite=lane.suite, architecture=lane.architecture, states=(State.DEP_WAIT,), limit=1
            )
        )
