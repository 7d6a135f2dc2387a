"""What the archive does to a package: a look at its sources and binaries, and at what its build needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from image_builder.archive.model import Key
from image_builder.archive.states import NOT_TESTED, Cause, Package, State, change


class Status(StrEnum):
    """What the binaries of an archive say of a source: the outcome of its classification."""

    INSTALLED = "installed"
    RELATED = "related"  # in the suite below, of which this one holds the additions
    OUT_OF_DATE = "out-of-date"  # some of its binaries are there, older ones
    UNCOMPILED = "uncompiled"  # none is
    PACKAGES_ARCH_SPECIFIC = "packages-arch-specific"  # a list of the archive keeps it from this architecture
    OVERWRITTEN_BY_ARCH_ALL = "overwritten-by-arch-all"  # every binary is one for all architectures by now
    ARCH_NOT_IN_ARCH_LIST = "arch-not-in-arch-list"  # its own field Architecture does
    ARCH_ALL_ONLY = "arch-all-only"  # built once, for "all"


_THERE = frozenset({Status.INSTALLED, Status.RELATED})
_WANTED = frozenset({Status.UNCOMPILED, Status.OUT_OF_DATE})
# Who is here for a reason of their own is not told that the archive does not want them either.
_NOT_AUTOMATIC = frozenset({State.NOT_FOR_US, State.FAILED, State.DEP_WAIT})


@dataclass(frozen=True, slots=True)
class Found:
    """One source as the archive has it now."""

    source: str
    version: str
    status: Status
    binary_nmu: int | None = None  # N of the "+bN" that is installed
    section: str = ""
    priority: str = ""
    component: str = "main"
    binaries: tuple[str, ...] = ()  # names of the packages it says it makes
    taken_over: bool = False  # another source makes its binaries by now, in newer versions


def merge(
    package: Package | None, found: Found, key: Key, now: float, *, landing: State = State.NEEDS_BUILD
) -> Package | None:
    """Return the package after the importer has seen its source; itself where there is nothing new.

    landing: of what has to be built; BD-Uninstallable where the build dependencies are looked at later on.

    None stays None for a source that need not be looked at here. A version that failed is not wanted again until there
    is another one; who is Not-For-Us stays so.
    """
    status = found.status
    if status is Status.ARCH_ALL_ONLY and key.architecture != "all":
        return package
    if package is None:
        if status is Status.PACKAGES_ARCH_SPECIFIC or found.taken_over:
            return None
        package = Package(key=key, version="", state=State.AUTO_NOT_FOR_US, state_change=now)
        return _first(package, found, now, landing)
    if package.state is State.NOT_FOR_US:
        return package
    same = package.version == found.version
    if same and status in _THERE and (found.binary_nmu or 0) < (package.binary_nmu or 0):
        status = Status.OUT_OF_DATE  # the binaries are there; the binary NMU that was asked for is not
    if status not in _WANTED:
        return _settled(package, found, status, now)
    number_is_missing = package.state is State.INSTALLED and (found.binary_nmu or 0) < (package.binary_nmu or 0)
    if same and not number_is_missing and package.state is not State.AUTO_NOT_FOR_US:
        return package
    return _wanted(package, found, now, landing)


def _first(package: Package, found: Found, now: float, landing: State) -> Package:
    """A source nobody has seen before; it has come from nowhere."""
    if found.status in _WANTED:
        seen = _wanted(package, found, now, landing)
    else:
        seen = _settled(package, found, found.status, now)
    return replace(seen, previous_state=None, state_change=now)


def _settled(package: Package, found: Found, status: Status, now: float) -> Package:
    target = State.INSTALLED if status in _THERE else State.AUTO_NOT_FOR_US
    if target is State.AUTO_NOT_FOR_US and package.state in _NOT_AUTOMATIC:
        return package
    moved = change(package, target, now)
    moved = replace(moved, version=found.version, section=found.section, priority=found.priority)
    moved = replace(moved, component=found.component, binaries=" ".join(found.binaries))
    if target is State.INSTALLED:
        full = f"{found.version}+b{found.binary_nmu}" if found.binary_nmu else found.version
        moved = replace(moved, installed_version=full, binary_nmu=found.binary_nmu)
    if status is not Status.INSTALLED:
        moved = replace(moved, notes=status.value)
    return package if moved == package else moved


def _wanted(package: Package, found: Found, now: float, landing: State) -> Package:
    moved = change(package, landing, now)
    same = package.version == found.version
    superseded = package.state is State.BUILDING
    return replace(
        moved,
        notes=found.status.value,
        version=found.version,
        section=found.section,
        priority=found.priority,
        component=found.component,
        binaries=" ".join(found.binaries),
        builder="",
        depends="",
        binary_nmu=package.binary_nmu if same else None,
        binary_nmu_changelog=package.binary_nmu_changelog if same else "",
        priority_once=0,
        cause=Cause.SUPERSEDED if superseded else Cause.NONE,
        reason=f"{package.version} was being built by {package.builder}" if superseded else "",
        not_before=0.0,
    )


def blacklist(package: Package, reason: str | None, now: float) -> Package:
    """Return the package as the configuration wants it: Not-For-Us with the reason, or no longer (None).

    Only what the configuration has forbidden, it can allow again: a person's Not-For-Us stays.
    """
    if reason is None:
        if package.cause is not Cause.BLACKLIST:
            return package
        return replace(change(package, State.BD_UNINSTALLABLE, now), cause=Cause.NONE, reason="")
    if package.state is State.NOT_FOR_US:
        if package.cause is not Cause.BLACKLIST or package.reason == reason:
            return package
        return replace(package, reason=reason)
    moved = replace(change(package, State.NOT_FOR_US, now), cause=Cause.BLACKLIST, reason=reason)
    return replace(moved, builder="", depends="", binary_nmu=None, binary_nmu_changelog="")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something can be installed now."""

    problem: str = ""  # why not, in words; "": it can
    chain: str = ""  # the same for programs, JSON


INSTALLABLE = Verdict()


def judge(
    package: Package, build: Verdict | None, dep_wait: Verdict | None, now: float, *, auto_dep_wait: bool = True
) -> Package:
    """Return the package after its build dependencies, and what it waits for, were tried; itself where nothing changed.

    build: of the build dependencies; None: not tried. dep_wait: of a Dep-Wait's list; None: not tried.
    """
    if package.state is State.DEP_WAIT:
        if dep_wait is None or dep_wait.problem:
            return package
        package = replace(package, builder="")  # whoever said so, it is in the queue now
        if build is not None and build.problem:
            moved = change(package, State.BD_UNINSTALLABLE, now, auto_dep_wait=auto_dep_wait)
            return _explained(moved, build)
        return change(package, State.NEEDS_BUILD, now)
    if build is None or package.state not in {State.NEEDS_BUILD, State.BD_UNINSTALLABLE}:
        return package
    if not build.problem:
        return change(package, State.NEEDS_BUILD, now)
    if not auto_dep_wait:
        return package
    return _explained(change(package, State.BD_UNINSTALLABLE, now), build)


def _explained(package: Package, verdict: Verdict) -> Package:
    if package.state is not State.BD_UNINSTALLABLE:
        return package
    if (package.bd_problem, package.bd_chain) == (verdict.problem, verdict.chain):
        return package
    return replace(package, bd_problem=verdict.problem or NOT_TESTED, bd_chain=verdict.chain)
