"""Drives a run: takes what is ready, hands it out, takes in what comes back, and loses nothing when it is killed.

All it knows is in the database and with the executor. What it holds in memory can be read from there again, so a start
and a start after SIGKILL are the same thing.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from image_builder.archive.database.records import Finish, Run, Start
from image_builder.archive.database.store import Database
from image_builder.archive.model import Attempt, Key, Outcome
from image_builder.archive.requests import Action, Refusal, Request
from image_builder.archive.schedule import queue
from image_builder.archive.schedule.claim import Claim
from image_builder.archive.schedule.clock import Clock, Forward
from image_builder.archive.schedule.ending import ending, never_begun
from image_builder.archive.schedule.machines import Machines
from image_builder.archive.schedule.policy import Tried, decide, next_alone
from image_builder.archive.schedule.seams import Judged, Lane, Seams, Settings, reference
from image_builder.errors import ConfigError, PipelineError, SurroundingsError
from image_builder.jobs.interface import Event, Executor, Exit, Finished, Heartbeat, Started

log = logging.getLogger(__name__)
RETRY_SECONDS = 60.0  # after results could not be taken in
RENEW_SHARE = 0.25  # of a lease: how often it is renewed
EXPIRY_SHARE = 0.1  # of a lease: how often somebody looks which are over


@dataclass
class Out:
    """An attempt that is handed out."""

    attempt: Attempt
    alone: bool
    heard: bool = False  # a heartbeat has come since the lease was renewed


class Scheduler:
    """One run, one executor. `with` it: start() and close() are called for you.

    lanes: the parts of the run it drives. user: recorded as who takes the packages.
    """

    def __init__(
        self,
        database: Database,
        run: Run,
        lanes: Sequence[Lane],
        executor: Executor,
        clock: Clock,
        seams: Seams,
        settings: Settings,
        *,
        user: str = "scheduler",
    ) -> None:
        self.database, self.run, self.lanes, self.executor = database, run, tuple(lanes), executor
        self.seams, self.settings, self.user = seams, settings, user
        self.machines = Machines()
        self._clock = Forward(clock)
        self._claim = Claim(run, settings.claim_seconds)
        self._beaten = self._looked = self._triggered = self._asked = float("-inf")
        self._changed = True  # something has ended since the last trigger
        self._out: dict[str, Out] = {}  # by reference
        self._before: dict[Key, list[Tried]] = defaultdict(list)  # attempts that are over, of packages that are not
        self._later: list[tuple[float, Finished]] = []  # results that could not be taken in yet

    def __enter__(self) -> Scheduler:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Claim the run, and agree with the executor on what is out.

        Raises ConfigError if another drives the run, or nobody builds for one of its architectures.
        """
        for machine in {lane.machine for lane in self.lanes} - self.executor.capacity().keys():
            raise ConfigError(f"no machine builds for {machine}", where=f"run {self.run.name!r}")
        now = self._clock.now()
        self._claim.hold(self.database, now)
        for key, over in self.database.retried(self.run.identity).items():
            self._before[key] = [Tried(one.outcome or Outcome.BUILDER_FAULT, one.alone) for one in over]
        records = {reference(one.attempt): one for one in self.database.live_attempts(self.run.identity)}
        said = self.executor.reconcile(records.keys())
        for name, record in records.items():
            if name in said.unknown:  # killed before it was handed out, or the executor lost everything
                self._call_off(record.attempt, now, "nobody knows of it any more")
            else:
                self._out[name] = Out(record.attempt, record.alone, heard=True)
        self._renew(now, force=True)

    def close(self) -> None:
        """Leave the run to the next one. What is out stays out, until the executor is closed or its leases end."""
        self._claim.release(self.database)

    def step(self, longest_seconds: float) -> bool:
        """Do what there is to do, then wait so long at most for something to happen; False when the run is over."""
        now = self._clock.now()
        self._claim.hold(self.database, now)
        self._expire(now)
        self._drop_void(now)
        if now >= self._trigger_due():
            self._trigger(now)
        self._fill(now)
        if self._is_over(now):
            return False
        self.take(self.executor.events(self._patience(now, longest_seconds)))
        return True

    def take(self, events: Sequence[Event]) -> None:
        """Take in what happened."""
        now = self._clock.now()
        finished = [one for at, one in self._later if at <= now]
        self._later = [(at, one) for at, one in self._later if at > now]
        for event in events:
            if isinstance(event, Finished):
                finished.append(event)
            elif event.reference in self._out:
                self._out[event.reference].heard = True
                if isinstance(event, Started):
                    log.debug("%s started on %s", event.reference, event.worker)
                elif isinstance(event, Heartbeat):
                    log.debug("%s uses %d MiB", event.reference, event.memory_bytes >> 20)
        self._renew(now)
        if finished:
            self._finish(finished, now)

    # Time

    def _renew(self, now: float, *, force: bool = False) -> None:
        """Prolong the leases of those that were heard of."""
        if not force and now - self._beaten < RENEW_SHARE * self.settings.lease_seconds:
            return
        self._beaten = now
        alive = [out for out in self._out.values() if out.heard]
        for out in alive:
            out.heard = False
        pairs = [(out.attempt.identity, out.attempt.token) for out in alive]
        if pairs:
            self.database.heartbeat(pairs, now, self.settings.lease_seconds)

    def _patience(self, now: float, longest: float) -> float:
        until = now + longest
        if self._out:
            until = min(until, now + RENEW_SHARE * self.settings.lease_seconds, now + self.settings.void_seconds)
        until = min([until, self._trigger_due(), *(at for at, _ in self._later)])
        if self._stands_idle():  # else something has to end first
            for lane in self.lanes:
                moment = self.database.next_moment(self.run.identity, lane.suite, lane.architecture, now)
                until = until if moment is None else min(until, moment)
        return max(0.0, until - now)

    # The repository follows

    def _trigger_due(self) -> float:
        """When the repository is looked at next; never, as long as there is nothing new to see."""
        if self._changed and self._stands_idle():
            return self._triggered + self.settings.trigger_least_seconds
        if self._changed or self._out:
            return self._triggered + self.settings.trigger_seconds
        return float("inf")

    def _stands_idle(self) -> bool:
        return any(one.free > 0 for one in self.executor.capacity().values())

    def _trigger(self, now: float) -> None:
        # Set before: what ends while the trigger looks is for the next one.
        self._changed, self._triggered = False, now
        try:
            self.seams.trigger(now)
        except SurroundingsError as e:
            self._changed = True
            if not self._out:
                raise
            log.warning("the repository could not be brought up to date: %s", e)

    def _is_over(self, now: float) -> bool:
        """Nothing is out, nothing waits for its time, and the last look at the repository found nothing to start."""
        if self._out or self._changed or self._later:
            return False
        return all(
            self.database.next_moment(self.run.identity, lane.suite, lane.architecture, now) is None
            and not self.database.next_jobs(self.run.identity, lane.suite, lane.architecture, now, limit=1)
            for lane in self.lanes
        )

    # Out

    def _fill(self, now: float) -> None:
        """Hand out as much as the machines can take, the most urgent first."""
        for machine, lanes in self._by_machine().items():
            capacity = self.executor.capacity()[machine]
            room = capacity.free + max(0, self.settings.ahead - capacity.queued)
            found = queue.first(self.database, self.run.identity, lanes, now, self.settings, room)
            if found:
                self._hand_out([package.key for package in found], now)

    def _by_machine(self) -> dict[str, list[Lane]]:
        found: dict[str, list[Lane]] = {}
        for lane in self.lanes:
            found.setdefault(lane.machine, []).append(lane)
        return found

    def _hand_out(self, keys: Sequence[Key], now: float) -> None:
        settings = self.settings
        wanted = [
            Start(key, settings.time_limit_seconds, next_alone(self._before.get(key, ()), settings.limits))
            for key in keys
        ]
        attempts = self.database.start_many(
            self.run.identity, wanted, self.user, now, lease_seconds=settings.lease_seconds
        )
        for start, attempt in zip(wanted, attempts, strict=True):
            if isinstance(attempt, Refusal):  # somebody has moved it meanwhile
                log.info("not started: %s", attempt.what)
                continue
            out = Out(attempt, start.alone)
            try:
                self.executor.submit(self.seams.orders(attempt, alone=start.alone))
            except SurroundingsError as e:
                self._call_off(attempt, now, str(e))
            except PipelineError as e:  # it would be the same the next time
                never = Finished(reference(attempt), Exit.NOT_STARTED, None, "", now, 0.0, 0, 0)
                judged = Judged(Outcome.BUILDER_FAULT, f"it could not be handed out: {e}")
                self.database.finish_many([self._ending(out, never, judged, now)], now)
                self._learn(out, never, judged)
                self._changed = True
            else:
                self._out[reference(attempt)] = out

    # In

    def _finish(self, finished: Collection[Finished], now: float) -> None:
        """Take results in: the files, then the rest in one transaction; what a kill interrupts comes again."""
        ended: list[tuple[Out, Finished, Judged, Finish]] = []
        for one in {one.reference: one for one in finished}.values():
            out = self._out.get(one.reference)
            if out is None or not self._is_live(out.attempt):
                log.info("%s: a result nobody waits for any more, not taken", one.reference)
                self._forget(one.reference)
                continue
            judged = self._judged(out.attempt, one)
            if judged is None:
                self._later.append((now + RETRY_SECONDS, one))
                out.heard = True  # it is not lost, it waits
                continue
            ended.append((out, one, judged, self._ending(out, one, judged, now)))
        if not ended:
            return
        answers = self.database.finish_many([finish for *_, finish in ended], now)
        self._changed = True
        for (out, one, judged, finish), answer in zip(ended, answers, strict=True):
            if isinstance(answer, Refusal):
                log.info("%s: result not taken: %s", out.attempt.key.source, answer.what)
            else:
                self._learn(out, one, judged)
                _tell_delay(out.attempt.key, finish.requests[0], now)
            self._forget(one.reference)

    def _judged(self, attempt: Attempt, finished: Finished) -> Judged | None:
        """What it came to, its results taken in; None: these cannot be taken in now."""
        try:
            judged = self.seams.judge(attempt, finished)
            if judged.outcome is Outcome.SUCCEEDED:
                self.seams.accept(attempt, finished)
        except SurroundingsError as e:
            log.warning("%s: not taken in yet: %s", attempt.key.source, e)
            return None
        except PipelineError as e:
            return Judged(Outcome.BUILDER_FAULT, f"what was delivered was refused: {e}")
        return judged

    def _ending(self, out: Out, finished: Finished, judged: Judged, now: float) -> Finish:
        before = self._before.get(out.attempt.key, ())
        move = decide(judged.outcome, judged.cause, before, out.alone, self.settings.limits)
        return ending(out.attempt, finished, judged, move, self.user, now)

    def _learn(self, out: Out, finished: Finished, judged: Judged) -> None:
        """Remember what the next decisions ask for."""
        key = out.attempt.key
        self._before[key].append(Tried(judged.outcome, out.alone))
        if judged.outcome is Outcome.SUCCEEDED:
            del self._before[key]
        rest = self.machines.saw(finished.worker, key.source, judged.outcome)
        if rest:
            log.warning("%s failed several packages in a row: it rests for %.0f s", finished.worker, rest)
            self.executor.rest(finished.worker, rest)

    def _is_live(self, attempt: Attempt) -> bool:
        record = self.database.attempt(attempt.identity)
        return record is not None and record.state == "live" and record.attempt.token == attempt.token

    def _forget(self, name: str) -> None:
        self._out.pop(name, None)
        self.executor.forget(name)

    # Lost

    def _drop_void(self, now: float) -> None:
        """End the jobs whose packages somebody has cancelled, given back, or wants in another version by now."""
        if now - self._asked < self.settings.void_seconds or not self._out:
            return
        self._asked = now
        live = {one.attempt.identity for one in self.database.live_attempts(self.run.identity)}
        for name, out in list(self._out.items()):
            if out.attempt.identity not in live:
                log.info("%s: not wanted any more, ended", out.attempt.key.source)
                self.executor.cancel(name)  # its Finished is nobody's: forgotten when it comes
                del self._out[name]
                self._changed = True

    def _expire(self, now: float) -> None:
        """Give up those of whom nothing was heard for the length of their lease."""
        self._renew(now)
        if now - self._looked < EXPIRY_SHARE * self.settings.lease_seconds:
            return
        self._looked = now
        for record in self.database.expired(now):
            name = reference(record.attempt)
            if record.run != self.run.identity:
                continue
            log.warning("%s: nothing heard of it since %.0f s", record.attempt.key.source, now - record.heartbeat)
            self.executor.cancel(name)
            self._out.pop(name, None)
            self._changed = True
            before = self._before[record.attempt.key]
            move = decide(Outcome.BUILDER_FAULT, "nothing was heard of it", before, record.alone, self.settings.limits)
            before.append(Tried(Outcome.BUILDER_FAULT, record.alone))
            self.database.expire(record.attempt.identity, now, not_before=now + move.delay_seconds)
            if move.action is Action.ATTEMPTED:
                failed = Request(Action.FAILED, self.user, message=move.message, override=True)
                self.database.move(self.run.identity, record.attempt.key, failed, now)

    def _call_off(self, attempt: Attempt, now: float, why: str) -> None:
        """Give back what was never begun."""
        log.info("%s: given back: %s", attempt.key.source, why)
        self.database.finish_many([never_begun(attempt, why, self.user)], now)
        self._changed = True


def _tell_delay(key: Key, request: Request, now: float) -> None:
    """Who watches would otherwise see a run that does nothing."""
    if request.not_before > now:
        why = request.message.partition("\n")[0]
        log.warning("%s: tried again in %.0f s: %s", key.source, request.not_before - now, why or "given back")
