"""What may be asked about a package, and what the answer is: the words between those who move and those who decide."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from image_builder.archive.states import Cause, Package


class Action(StrEnum):
    """What can be asked for. The values stand in the history of moves."""

    TAKE = "take"
    BUILT = "built"
    ATTEMPTED = "attempted"
    UPLOADED = "uploaded"
    FAILED = "failed"
    DEP_WAIT = "dep-wait"
    GIVE_BACK = "give-back"
    NO_BUILD = "no-build"
    BINARY_NMU = "binnmu"
    PRIORITY = "priority"
    PERMANENT_PRIORITY = "permanent-priority"
    EXTRA_DEPENDS = "extra-depends"
    EXTRA_CONFLICTS = "extra-conflicts"
    CANCEL = "cancel"  # a build that runs: Build-Attempted with the cause "cancelled"
    WANT = "want"  # whatever became of it: build it again
    CLEAN = "clean"  # forget what became of it: as if it had never been built
    INSTALLED = "installed"  # the repository's word, nobody else's


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks for a move."""

    action: Action
    user: str  # on whose behalf
    version: str | None = None  # must be the package's; None: whatever it has
    override: bool = False  # another's package, and what a move refuses for the user's own good
    message: str = ""  # why it failed, what it waits for, a changelog, a list of dependencies
    number: int = 0  # N of a binary NMU; a priority
    cause: Cause = Cause.NONE
    not_before: float = 0.0  # POSIX seconds; with give-back
    real_user: str = ""  # who typed it; "": user


@dataclass(frozen=True, slots=True)
class Moved:
    """A legal move: the package as it is afterwards."""

    package: Package
    action: str
    warnings: tuple[str, ...] = ()
    changed: bool = True  # False: it was so before, and there is nothing to write down


@dataclass(frozen=True, slots=True)
class Refusal:
    """An illegal move: which, and why, in words."""

    what: str
    hint: str = ""


Answer = Moved | Refusal
