"""The state of a package in a rebuild, as wanna-build has it, with what each change of state clears."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from image_builder.archive.indices.versions import compare
from image_builder.archive.model import Key

NOT_TESTED = "Installability of build dependencies not tested yet"


class State(StrEnum):
    """Where a package stands. The names are wanna-build's."""

    NEEDS_BUILD = "Needs-Build"  # wanted, and its build dependencies are believed to be installable
    BD_UNINSTALLABLE = "BD-Uninstallable"  # wanted, and they are not; or nobody has looked yet
    BUILDING = "Building"  # a builder has taken it
    BUILT = "Built"  # done, not handed over yet
    BUILD_ATTEMPTED = "Build-Attempted"  # the build failed, and nobody has judged why
    UPLOADED = "Uploaded"  # handed to the repository
    INSTALLED = "Installed"  # the repository offers the binaries of this version
    DEP_WAIT = "Dep-Wait"  # waits until the dependencies that were named exist
    FAILED = "Failed"  # judged: needs another version of the source
    NOT_FOR_US = "Not-For-Us"  # never to be built here, says a person or the configuration
    AUTO_NOT_FOR_US = "Auto-Not-For-Us"  # never to be built here, says the package or the archive


# Somebody may be at work on these: new work on them has to ask whose they are.
TAKEN = frozenset({State.BUILDING, State.BUILT, State.BUILD_ATTEMPTED})
# In the queue, or as soon as the build dependencies can be installed. What delays a package holds in both.
WAITING = frozenset({State.NEEDS_BUILD, State.BD_UNINSTALLABLE})


class Cause(StrEnum):
    """What else there is to say of a state: reasons, where other build farms have further states."""

    NONE = ""
    CHROOT_PROBLEM = "chroot-problem"  # the chroot could not be made or entered
    SUPERSEDED = "superseded"  # another version became wanted while this one was being built
    CANCELLED = "cancelled"  # somebody stopped the build
    BLACKLIST = "blacklist"  # the configuration forbids it
    BUILDER_FAULT = "builder-fault"  # the machine, not the package
    TIMEOUT = "timeout"
    RETRIES = "retries"  # tried as often as is allowed


@dataclass(frozen=True, slots=True)
class Package:
    """The row of one source package for one suite and architecture, in one run."""

    key: Key
    version: str  # of the source; "" for a package that was never looked at
    state: State
    previous_state: State | None = None
    state_change: float = 0.0  # POSIX seconds
    notes: str = ""  # "uncompiled", "out-of-date", "related" …: what the importer found
    builder: str = ""  # who has taken it
    installed_version: str = ""  # of the binaries that are there, with "+bN"
    binary_nmu: int | None = None  # N of the rebuild that is wanted, or was the last one
    binary_nmu_changelog: str = ""
    depends: str = ""  # what a Dep-Wait waits for: "a, b (>= 2)"
    bd_problem: str = ""  # why the build dependencies cannot be installed, in words
    bd_chain: str = ""  # the same for programs: JSON
    extra_depends: str = ""
    extra_conflicts: str = ""
    failed: str = ""  # why it failed
    old_failed: str = ""  # the same of earlier versions
    priority_once: int = 0  # build priority, for this upload only
    priority_permanent: int = 0
    section: str = ""  # as the source says: "libs", "contrib/libs"
    priority: str = ""  # as the source says: "optional"
    component: str = ""  # "main"; that of the index
    binaries: str = ""  # names of the packages it makes, with blanks between
    cause: Cause = Cause.NONE
    reason: str = ""  # the cause in words
    not_before: float = 0.0  # POSIX seconds; not offered to builders earlier
    last_build_seconds: float | None = None  # how long the last build took
    remaining_seconds: float = 0.0  # the longest path of builds that begins with this one
    expected_seconds: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0

    @property
    def full_version(self) -> str:
        """The version its binaries will have: with "+bN" for a binary NMU."""
        return binary_nmu_version(self.version, self.binary_nmu)


def binary_nmu_version(version: str, number: int | None) -> str:
    """Return the version of the binaries of a source: "1.2-3+b4" for number 4, the source's own for none."""
    return f"{version}+b{number}" if number else version


def is_version(package: Package, version: str) -> bool:
    """Whether that is the package's version, with or without its "+bN"."""
    if package.binary_nmu and compare(package.full_version, version) == 0:
        return True
    return compare(package.version, version) == 0


def change(package: Package, state: State, now: float, *, auto_dep_wait: bool = True) -> Package:
    """The package in another state, without what belonged to the one it leaves. In that state already: as it is.

    auto_dep_wait: False for suites whose build dependencies nobody checks: there, Needs-Build stands for
    BD-Uninstallable.
    """
    if state is State.BD_UNINSTALLABLE and not auto_dep_wait:
        state = State.NEEDS_BUILD
    if state is package.state:
        return package
    failed, old_failed = package.failed, package.old_failed
    if package.state is State.FAILED:
        rule = "-" * 20
        failed, old_failed = "", f"{rule} {package.version} {rule}\n{failed}\n{old_failed}"
    changed = replace(
        package,
        state=state,
        previous_state=package.state,
        state_change=now,
        failed=failed,
        old_failed=old_failed,
        bd_problem=NOT_TESTED if state is State.BD_UNINSTALLABLE else "",
        bd_chain="",
    )
    if not {package.state, state} <= WAITING:
        changed = replace(changed, cause=Cause.NONE, reason="", not_before=0.0)
    if state is State.INSTALLED:
        changed = replace(changed, depends="", extra_depends="", extra_conflicts="", priority_once=0)
    return changed
