"""The end of an attempt as the database is told it: the result, and the moves that follow. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from image_builder.archive.database.records import Finish, Result
from image_builder.archive.model import Attempt, Outcome
from image_builder.archive.requests import Action, Request
from image_builder.archive.schedule.policy import Move
from image_builder.archive.schedule.seams import Judged
from image_builder.archive.states import binary_nmu_version
from image_builder.jobs.interface import Finished


def ending(attempt: Attempt, finished: Finished, judged: Judged, move: Move, user: str, now: float) -> Finish:
    """move: what the policy makes of it. user: who took the package. now: POSIX seconds."""
    result = Result(
        judged.outcome,
        binary_nmu_version(attempt.version, attempt.binary_nmu),
        finished.seconds,
        finished.memory_bytes,
        finished.disk_bytes,
        judged.log,
        judged.cause,
        finished.worker,
    )
    not_before = now + move.delay_seconds if move.delay_seconds else 0.0
    requests = [Request(move.action, user, message=move.message, cause=move.cause, not_before=not_before)]
    if move.action is Action.BUILT:  # its results are where the repository finds them
        requests.append(Request(Action.UPLOADED, user, version=result.version))
    return Finish(attempt.identity, attempt.token, result, tuple(requests))


def never_begun(attempt: Attempt, why: str, user: str) -> Finish:
    """Of an attempt that nobody has begun: it counts for nothing."""
    result = Result(Outcome.CANCELLED, binary_nmu_version(attempt.version, attempt.binary_nmu), 0.0, reason=why)
    requests: Sequence[Request] = (Request(Action.GIVE_BACK, user, message=why),)
    return Finish(attempt.identity, attempt.token, result, tuple(requests))
