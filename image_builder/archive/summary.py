"""How far a run is: counts, what is being built, how fast, how long still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from image_builder.archive.database.records import Run
from image_builder.archive.database.views import View
from image_builder.archive.model import Key
from image_builder.archive.states import Cause, State

WINDOW_SECONDS = 3600.0  # of which the rate is taken
OPEN = (State.NEEDS_BUILD, State.BUILDING)


@dataclass(frozen=True, slots=True)
class Progress:
    """One run at one moment."""

    states: Mapping[tuple[str, str], Mapping[State, int]]  # (suite, architecture) → state → packages
    causes: Mapping[tuple[State, Cause], int]
    building: tuple[Key, ...]
    per_hour: float  # builds that ended, whichever way, in the last hour
    open: int  # packages that can be built now, or are
    seconds_left: float | None  # for these, at that rate; None: nothing ended lately, or nothing is left


def progress(database: View, run: Run, now: float) -> Progress:
    """Look at a run. now: POSIX seconds; of a run that has ended, the rate is that of all of it."""
    states = {place[1:]: counts for place, counts in database.counts(run.identity).items()}
    end = now if run.finished is None else run.finished
    begin = max(run.started, end - WINDOW_SECONDS) if run.finished is None else run.started
    ended = database.ended(run.identity, begin, end)
    per_hour = 3600 * ended / (end - begin) if end > begin else 0.0
    left = sum(counts.get(state, 0) for counts in states.values() for state in OPEN)
    building = tuple(record.attempt.key for record in database.live_attempts(run.identity))
    seconds_left = 3600 * left / per_hour if per_hour and left else None
    return Progress(states, database.cause_counts(run.identity), building, per_hour, left, seconds_left)
