"""What a comparison knows of a package in one run: how it ended, how long it took, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from image_builder.archive.model import Outcome
from image_builder.archive.states import Cause, State


class End(StrEnum):
    """How far a package came, as far as a comparison asks."""

    GOOD = "built"
    BAD = "failed"  # it, or what it needs; or somebody has judged that it will not be built
    OPEN = "open"  # nobody knows yet
    NONE = "not for us"  # nobody wanted it


_ENDS = {
    State.INSTALLED: End.GOOD,
    State.UPLOADED: End.GOOD,
    State.BUILT: End.GOOD,
    State.BUILD_ATTEMPTED: End.BAD,
    State.FAILED: End.BAD,
    State.BD_UNINSTALLABLE: End.BAD,
    State.DEP_WAIT: End.BAD,
    State.NEEDS_BUILD: End.OPEN,
    State.BUILDING: End.OPEN,
    State.NOT_FOR_US: End.NONE,
    State.AUTO_NOT_FOR_US: End.NONE,
}


@dataclass(frozen=True, slots=True)
class Binary:
    """A binary package that was made. relations: field -> what it asks for, its own version left out."""

    size_bytes: int
    installed_bytes: int
    relations: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """One package in one run. The last four are of its last attempt; log is the short one, "" without."""

    version: str
    state: State
    cause: Cause = Cause.NONE
    problem: str = ""  # why its build dependencies cannot be installed, what it waits for, why somebody gave it up
    outcome: Outcome | None = None
    reason: str = ""
    seconds: float | None = None  # of a build that succeeded
    log: str = ""
    binaries: Mapping[str, Binary] | None = None  # by name; None: not known

    @property
    def end(self) -> End:
        return _ENDS[self.state]
