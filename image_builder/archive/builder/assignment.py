"""What a builder is told: one attempt with all it needs, as a file that any machine can be handed."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from image_builder.archive.model import Base
from image_builder.archive.states import binary_nmu_version
from image_builder.errors import ConfigError
from image_builder.files import write_whole
from image_builder.lock import ArchivePin


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceFile(_Model):
    """A file of the source package. path: below the archive, as its index has it; or below `folder`."""

    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class AptSource(_Model):
    """One line of the build chroot's sources.list, with all that pins and verifies it."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: tuple[Path, ...] = ()
    trusted: bool = False
    of_toolchain: bool = False  # there in every pass, also in one that builds against nothing but what was built


class Tools(_Model):
    """What the builder's root is made of: one suite of Debian, as a lock has it. pins: empty: not pinned yet."""

    source: AptSource
    pins: tuple[ArchivePin, ...] = ()


class BuildRepository(_Model):
    """Where packages are offered: a folder of this machine, read by apt as a flat repository."""

    folder: Path
    origin: str  # of its Release file; apt is told to prefer it


class NetworkHandle(_Model):
    """A network namespace with a proxy in it, which others hold. files: path inside -> what is seen there."""

    handle: Path
    files: dict[str, Path] = {}


class Means(_Model):
    """What makes this rebuild another one; see the toolchain of the configuration."""

    environment: dict[str, str] = {}  # DEB_CFLAGS_APPEND, DEB_BUILD_MAINT_OPTIONS …
    build_profiles: tuple[str, ...] = ()
    build_options: tuple[str, ...] = ()  # of DEB_BUILD_OPTIONS: "nocheck"
    packages: tuple[str, ...] = ()  # also installed in every chroot
    version_suffix: str = ""  # appended to the version of every binary: "+rebuild1"


class Assignment(_Model):
    """One attempt at one package."""

    reference: str  # identity and token of the attempt
    source: str
    version: str  # as the archive has it
    binary_nmu: int | None = None
    suite: str
    architecture: str  # that the results are for, or "all"
    build_architecture: str  # of the chroot: another one when it is cross-built, or for "all"
    build_all: bool  # whether the packages of Architecture: all are made too
    files: tuple[SourceFile, ...] = ()
    folder: Path | None = None  # of this machine, where the files are; None: the archive has them
    tree: Path | None = None  # an unpacked source tree in place of files
    base: Base
    sources: tuple[AptSource, ...]  # the old archive's, and the toolchain's
    repository: BuildRepository | None = None  # results so far; None: nothing has been built yet
    local: BuildRepository | None = None  # finished packages the user brought, which hide all others
    means: Means = Means()
    extra_depends: str = ""
    extra_conflicts: str = ""
    epoch: int  # POSIX seconds: SOURCE_DATE_EPOCH of the chroot
    time_limit_s: float
    memory_limit_bytes: int | None = None  # of all its processes together, where control groups can be made
    parallel: int = 1
    in_memory: bool = False  # whether the chroot is unpacked into memory
    network: NetworkHandle | None = None  # None: one of its own is made
    pins: tuple[ArchivePin, ...] = ()  # of the lock
    keyring: Path  # for sources that name none
    tools: Tools
    store: Path  # layer store: the builder's root, chroots, the content store

    @property
    def binary_version(self) -> str:
        """Of the packages that are made."""
        return binary_nmu_version(self.version, self.binary_nmu) + self.means.version_suffix

    @property
    def dsc(self) -> str:
        """Name of the source package's description; "" for a tree."""
        return next((file.name for file in self.files if file.name.endswith(".dsc")), "")

    def write(self, path: Path) -> None:
        write_whole(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as e:
            raise ConfigError(f"not an assignment: {e}", where=path) from e
