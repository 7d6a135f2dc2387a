"""What the user asks of a rebuild: one YAML file, overridden by the environment, then by options."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from image_builder.architectures import native_architecture
from image_builder.archive import yaml_lines
from image_builder.archive.fields import FilePath, Name, Seconds, Size, Words, in_folder, there
from image_builder.archive.indices.words import is_name
from image_builder.archive.model import Base, Outcome
from image_builder.archive.priority import Order, Weights
from image_builder.errors import ConfigError
from proxy.archive.sources import DEBIAN_URI, Source, merged, parse

CONFIG_NAME = "archive.yaml"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")  # an unknown key is the user's typing error


class Choice(_Model):
    """Which sources are built."""

    include: Words = ("*",)  # patterns as a shell has them
    exclude: Words = ()
    image: FilePath | None = None  # only what this image needs: a list of packages, a manifest, a bill of materials
    build_dependencies: bool = False  # with what these need to build, and so on


class Blacklisted(_Model):
    """What is not to be built, and why."""

    package: Annotated[str, Field(min_length=1)]  # a pattern
    reason: Annotated[str, Field(min_length=1)]
    architectures: Words = ()  # empty: all


class Toolchain(_Model):
    """What makes this rebuild another one."""

    sources: tuple[str, ...] = ()  # further APT sources of the build chroots, as in the list above
    packages: Words = ()  # also installed in every build chroot
    environment: Mapping[str, str] = {}  # DEB_CFLAGS_APPEND, DEB_BUILD_MAINT_OPTIONS …
    flags: Mapping[str, Mapping[Literal["set", "append", "prepend", "strip"], str]] = {}  # of dpkg-buildflags
    build_profiles: Words = ()
    build_options: Words = ()  # DEB_BUILD_OPTIONS
    version_suffix: Annotated[str, Field(pattern=r"^(\+[A-Za-z0-9.+~]+)?$")] = ""  # of every binary: "+rebuild1"

    @field_validator("sources")
    @classmethod
    def _sources(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return _texts_of_sources(value, info)

    @field_validator("environment")
    @classmethod
    def _names(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name, text in value.items():
            if not re.fullmatch(r"DEB_[A-Z0-9_]+|DPKG_[A-Z0-9_]+", name):
                raise ValueError(f"{name!r} does not steer a build: DEB_… and DPKG_… do")
            if "\n" in text or "\0" in text:
                raise ValueError(f"the value of {name} holds a line break or a NUL")
        return value

    @field_validator("flags")
    @classmethod
    def _flags(cls, value: Mapping[str, Mapping[str, str]]) -> Mapping[str, Mapping[str, str]]:
        for name in value:
            if not re.fullmatch(r"[A-Z]+", name):
                raise ValueError(f"{name!r} is no build flag: CFLAGS, LDFLAGS …")
        return value

    def variables(self) -> dict[str, str]:
        """The environment of every build, with the flags in dpkg-buildflags' own words."""
        flags = {f"DEB_{name}_{how.upper()}": text for name, hows in self.flags.items() for how, text in hows.items()}
        return {**flags, **self.environment}

    def digest(self) -> str:
        """SHA-256 of all of this: a result made with another toolchain is another result."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Pass(_Model):
    """One stage: what is built against what."""

    stage: Annotated[int, Field(ge=0)]
    base: Base
    packages: Literal["base-system", "all"] | tuple[str, ...] = "all"  # or patterns


class Cycles(_Model):
    """How packages that need each other are begun with."""

    old_binaries: bool = True  # the old archive's binaries stand in, in stage 0
    drop: Words = ()  # or SOURCE:DEPENDENCY, build dependencies to do without

    @field_validator("drop")
    @classmethod
    def _pairs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            source, _, dependency = text.partition(":")
            if not (is_name(source) and is_name(dependency)):
                raise ValueError(f"{text!r} is not SOURCE:DEPENDENCY")
        return value

    def dropped(self) -> list[tuple[str, str]]:
        """The pairs of `drop`: source, build dependency."""
        return [(source, dependency) for source, _, dependency in (text.partition(":") for text in self.drop)]


class Schedule(_Model):
    """When and where something is built."""

    order: Order = Order.PATH
    weights: Weights = Field(default_factory=Weights)  # of wanna-build's formula
    slots: Annotated[int, Field(ge=1)] | None = None  # builds at once; None: as many as cores and memory allow
    parallel: Annotated[int, Field(ge=1)] | None = None  # DEB_BUILD_OPTIONS=parallel=N; None: cores for each slot
    memory: Size | None = None  # for all builds together; None: what the machine has
    disk: Size | None = None
    window: Annotated[int, Field(ge=1)] | None = None  # attempts submitted at once; None: twice the slots
    lease_seconds: Seconds = 600
    heartbeat_seconds: Seconds = 60
    time_limit_seconds: Seconds = 18 * 3600
    trigger_seconds: Seconds = 900  # repository and installability are looked at again
    trigger_min_seconds: Seconds = 60  # not sooner than that, even when machines stand idle
    follow: bool = True  # base both: wait for build dependencies that are rebuilt in the same pass
    tries: Mapping[Outcome, Annotated[int, Field(ge=1)]] = {}  # until it is the last word; else the scheduler's own
    delay_seconds: Mapping[Outcome, Annotated[float, Field(ge=0)]] = {}  # after the first; doubles
    longest_delay_seconds: Seconds = 8 * 3600
    alone: bool = True  # a failure is tried again with nothing else on the machine before it is called one


class Publish(_Model):
    """Where the results are offered to everybody, and under which name."""

    to: str = "published"  # a folder, or s3://BUCKET/PREFIX
    endpoint_url: str = ""  # of a service like S3; "": Amazon's
    origin: Name = "rebuild"
    label: str = ""  # "": the origin
    codename: str = ""  # "": the suite
    signing_key: str = ""  # a key file, or the id of a key in the user's keyring; "": one of its own
    keep: Annotated[int, Field(ge=1)] = 3  # generations of indices for readers that are not done yet


class ArchiveConfig(_Model):
    """A rebuild, as it was asked for; what it finds out is in the database."""

    name: Name = "rebuild"  # the runs are "NAME stage 0" …
    sources: tuple[str, ...]  # APT sources: a line, a deb822 stanza, or the path of a .list or .sources file
    keyring: FilePath | None = None  # keys the archive is signed with; None: Debian's
    lock: FilePath = Field(default=Path("image-builder.lock"), validate_default=True)
    snapshot: str = ""  # the instant to pin; "": the lock, else now
    suite: Name = "trixie"
    architectures: Annotated[Words, Field(min_length=1)] = Field(default_factory=lambda: (native_architecture(),))
    packages: Choice = Choice()
    local: tuple[Annotated[Path, AfterValidator(in_folder), AfterValidator(there)], ...] = ()
    blacklist: tuple[Blacklisted, ...] = ()
    architecture_rules: FilePath | None = None  # a list in the manner of Packages-arch-specific
    toolchain: Toolchain = Toolchain()
    passes: tuple[Pass, ...] = (
        Pass(stage=0, base=Base.OLD, packages="base-system"),
        Pass(stage=1, base=Base.BOTH, packages="all"),
    )
    cycles: Cycles = Cycles()
    schedule: Schedule = Schedule()
    publish: Publish = Field(default=Publish(), validate_default=True)
    # A path, or postgresql://…; in no record: there may be a password in it.
    database: str = Field(default="archive.sqlite", validate_default=True, exclude=True, repr=False)
    results: FilePath = Field(default=Path("results"), validate_default=True)
    repository: FilePath = Field(default=Path("repository"), validate_default=True)
    work: FilePath = Field(default=Path("work"), validate_default=True)  # what may be deleted when nothing runs
    store: FilePath = Path("/var/lib/image-builder")  # chroots and downloads, shared with images
    tool_suite: Name = "trixie"  # what the builder's root is made of
    tool_mirror: str = DEBIAN_URI

    @field_validator("snapshot", mode="before")
    @classmethod
    def _instant(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value  # POSIX seconds in YAML

    @field_validator("database")
    @classmethod
    def _database(cls, value: str, info: ValidationInfo) -> str:
        return value if re.match(r"[a-z0-9+]+:", value) else str(in_folder(Path(value), info))

    @field_validator("publish")
    @classmethod
    def _place(cls, value: Publish, info: ValidationInfo) -> Publish:
        if re.match(r"[a-z0-9]+:", value.to):
            return value
        return value.model_copy(update={"to": str(in_folder(Path(value.to), info))})

    @field_validator("sources", mode="after")
    @classmethod
    def _sources(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value:
            raise ValueError("names no APT source: where do the sources come from?")
        return _texts_of_sources(value, info)

    @field_validator("local")
    @classmethod
    def _local(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        for path in value:
            tree = path.is_dir() and (path / "debian" / "control").is_file()
            if not tree and path.suffix not in (".dsc", ".deb", ".udeb"):
                raise ValueError(f"{path}: neither a .dsc, nor a .deb, nor a source tree with debian/control")
        return value

    @field_validator("passes")
    @classmethod
    def _passes(cls, value: tuple[Pass, ...]) -> tuple[Pass, ...]:
        stages = [one.stage for one in value]
        if not stages or stages != sorted(set(stages)):
            raise ValueError(f"stages {stages}: at least one, each once, in ascending order")
        if value[0].base is Base.BUILT:
            raise ValueError(f"stage {stages[0]} is the first, and there is nothing built it could build against")
        return value


def _texts_of_sources(entries: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """The entries, with files read; each is one that apt could read."""
    texts = []
    for entry in entries:
        text = entry
        if re.fullmatch(r"\S+\.(list|sources)", entry):
            path = in_folder(Path(entry), info)
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as e:
                raise ValueError(f"{path} cannot be read: {e}") from e
        apt_sources([text], "amd64")
        texts.append(text)
    return tuple(texts)


def apt_sources(texts: Sequence[str], architecture: str, keyring: Path | None = None) -> list[Source]:
    """The APT sources of a configuration. Raises ValueError for a text that is none.

    Source packages come from the entries that say deb-src; where none does, from all of them.
    """
    found: list[Source] = []
    for text in texts:
        deb822 = re.match(r"\s*(#[^\n]*\n\s*)*[A-Za-z-]+:", text) is not None
        try:
            found += parse(
                text,
                where="source.sources" if deb822 else "source.list",
                architecture=architecture,
                keyrings=[] if keyring is None else [keyring],
                source_packages=True,
            )
        except ConfigError as e:
            raise ValueError(f"{e.what}" + (f" ({e.hint})" if e.hint else "")) from e
    if not any(source.source_packages for source in found):
        found = [replace(source, source_packages=True) for source in found]
    return merged(found)


# What the environment may say, as CI systems do.
ENVIRONMENT = {
    "IMAGE_BUILDER_ARCHIVE_DATABASE": "database",
    "IMAGE_BUILDER_STORE": "store",
    "REPO_SNAPSHOT_STAMP": "snapshot",
}


def load_archive_config(
    path: Path, *, environ: Mapping[str, str] = os.environ, options: Mapping[str, Any] = {}
) -> ArchiveConfig:
    """Read the configuration of a rebuild. Raises ConfigError listing all that is wrong, with the lines.

    options: keys of ArchiveConfig from the command line; None or () means "not given".
    """
    values, lines = yaml_lines.read(path)
    origin = {}
    for name, key in ENVIRONMENT.items():
        if environ.get(name, "").strip():
            values[key], origin[key] = environ[name].strip(), f"environment {name}"
    for key, value in options.items():
        if value not in (None, ()):
            values[key], origin[key] = value, f"option --{key.replace('_', '-')}"
    try:
        return ArchiveConfig.model_validate(values, context={"folder": path.absolute().parent})
    except ValidationError as e:
        raise _explain(e, path, lines, origin) from e


def _explain(
    error: ValidationError, path: Path, lines: Mapping[yaml_lines.Place, int], origin: Mapping[str, str]
) -> ConfigError:
    """All that pydantic found, one line each, in the user's words."""
    found = []
    for item in error.errors():
        place = item["loc"]
        near = next((place[:end] for end in range(len(place), 0, -1) if place[:end] in lines), ())
        where = origin.get(str(place[0]) if place else "", f"{path}:{lines.get(near, 1)}")
        name = ".".join(str(part) for part in place)
        if item["type"] == "extra_forbidden":
            known = _keys(place[:-1])
            close = difflib.get_close_matches(str(place[-1]), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the keys here are {', '.join(known)}"
            found.append(f"{where}: unknown key {name!r}; {hint}")
        elif item["type"] == "missing":
            found.append(f"{where}: {name} is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            found.append(f"{where}: {name}: {message} (got {item['input']!r})")
    first, *rest = dict.fromkeys(found)
    where, _, what = first.partition(": ")
    return ConfigError("\n".join([what, *rest]), where=where, hint="docs/archive.md has all keys")


def _keys(place: tuple[int | str, ...]) -> list[str]:
    """The keys a mapping at that place may have."""
    model: Any = ArchiveConfig
    for part in place:
        if isinstance(part, str) and isinstance(model, type) and issubclass(model, BaseModel):
            annotation = model.model_fields[part].annotation if part in model.model_fields else None
            inner = [a for a in (annotation, *getattr(annotation, "__args__", ())) if isinstance(a, type)]
            model = next((a for a in inner if issubclass(a, BaseModel)), None)
    return list(getattr(model, "model_fields", {}))
