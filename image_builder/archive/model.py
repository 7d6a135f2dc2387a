"""The words of a rebuild: what an archive offers, which package is meant, how an attempt ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file as an index or a .dsc names it."""

    name: str  # relative to `directory` of its source, or to the archive's root for binaries
    size: int  # bytes
    sha256: str  # lower-case hex


@dataclass(frozen=True, slots=True)
class SourcePackage:
    """A stanza of Sources, or a .dsc. Relation fields are as written, "" where there are none."""

    name: str
    version: str
    component: str  # "main"; that of the index, not of the section
    section: str
    priority: str
    architectures: tuple[str, ...]  # of the field Architecture: ("any",), ("all",), ("amd64", "linux-any") …
    binaries: tuple[str, ...]  # names of the binary packages it says it makes
    package_list: tuple[PackageListEntry, ...] = ()
    build_depends: str = ""
    build_depends_arch: str = ""
    build_depends_indep: str = ""
    build_conflicts: str = ""
    build_conflicts_arch: str = ""
    build_conflicts_indep: str = ""
    directory: str = ""
    files: tuple[FileEntry, ...] = ()
    extra_source_only: bool = False  # kept for Built-Using; never built
    testsuite: str = ""


@dataclass(frozen=True, slots=True)
class PackageListEntry:
    """A line of Package-List."""

    name: str
    kind: str  # "deb" or "udeb"
    section: str
    priority: str
    architectures: tuple[str, ...] = ("any",)
    profiles: str = ""
    essential: bool = False


@dataclass(frozen=True, slots=True)
class BinaryPackage:
    """A stanza of Packages. Relation fields are as written."""

    name: str
    version: str
    architecture: str  # "all" or one architecture
    source: str
    source_version: str  # without a binNMU's "+bN"
    component: str
    section: str
    priority: str
    essential: bool = False
    build_essential: bool = False
    relations: dict[str, str] = field(default_factory=dict)  # Depends, Pre-Depends, Provides, Conflicts, Breaks …
    multi_arch: str = "no"
    file: FileEntry | None = None


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which package is meant: one row of the state table."""

    suite: str
    architecture: str  # a real one, or "all"
    source: str


class Base(StrEnum):
    """What a pass builds against."""

    OLD = "old"  # the archive as it was
    BUILT = "built"  # only what was built here
    BOTH = "both"  # what was built here hides the archive's version of it


class Outcome(StrEnum):
    """How an attempt ended, as far as the scheduler has to know."""

    SUCCEEDED = "succeeded"
    ATTEMPTED = "attempted"  # the package does not build
    DEP_WAIT = "dep-wait"  # a build dependency is missing; which one is in the result
    CHROOT_PROBLEM = "chroot-problem"  # the chroot could not be made or entered
    GIVE_BACK = "give-back"  # nobody's fault that can be named: again, after a delay
    BUILDER_FAULT = "builder-fault"  # disk full, out of memory, the machine went away
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one package, as handed to a worker. A result without the live token is not taken."""

    identity: int  # of the row
    token: str  # random; changes with every attempt
    run: str  # name of the run: "2026-11-gcc-15 stage 1"
    key: Key
    version: str
    binary_nmu: int | None  # N of "+bN"
    memory_bytes: int  # expected need; what the executor's budget is charged with
    disk_bytes: int
    expected_seconds: float
    time_limit_seconds: float
