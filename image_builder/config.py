"""What the user asked for: one YAML file, overridden by the environment, then by options.

What a build finds out is kept elsewhere; a BuildConfig never changes after it was made.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from image_builder import distributions
from image_builder.architectures import native_architecture, runs_natively
from image_builder.errors import ConfigError
from image_builder.files import in_bytes
from image_builder.series.resolve import split_targets

CONFIG_NAME = "image-builder.yaml"
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.~_-]*")
PPA = re.compile(r"(?P<owner>[a-z0-9][a-z0-9+.-]*)/(?P<name>[a-z0-9][a-z0-9+.-]*)(:(?P<priority>-?[0-9]{1,5}))?")


class BuildConfig(BaseModel):
    """What the user asked for, set once at the start."""

    model_config = ConfigDict(frozen=True, extra="forbid")  # an unknown key is the user's typing error

    distribution: Literal["debian", "ubuntu"] = "debian"  # whose archive; else as the suite tells
    project: str = "debian"  # PROJECT; artefacts are livecd.PROJECT.*
    subproject: str = ""
    suite: str = "trixie"
    architecture: str = Field(default_factory=native_architecture)  # Debian's name for it: "amd64", not "x86_64"
    subarch: str = ""
    targets: tuple[str, ...] = ()  # empty: all
    image_format: str = ""  # IMAGEFORMAT; "none" builds the chroot only

    mirror: str = "http://deb.debian.org/debian"
    security_mirror: str = "http://deb.debian.org/debian-security"
    archive_areas: tuple[str, ...] = ("main",)
    updates: bool = True
    security: bool = True
    proposed: bool = False  # PROPOSED: also take packages from SUITE-proposed-updates, Ubuntu's SUITE-proposed
    proposed_priority: int | None = Field(default=None, ge=-32768, le=32767)  # its pin; None: what its Release says
    keyring: Path | None = None  # keys the archive is signed with; None: the distribution's
    check_valid_until: bool = True  # refuse a Release file that is past its Valid-Until

    snapshot: str = ""  # the instant to pin: now, POSIX seconds, YYYYMMDDTHHMMSSZ; "": the lock, else now
    snapshot_services: tuple[str, ...] = ()  # [ARCHIVE=]https://HOST/{archive}/{stamp}/, asked before the public ones
    # A company's proxy, http://HOST:PORT; None: the environment's. In no record: there may be a login in it.
    http_proxy: str | None = Field(default=None, exclude=True, repr=False)
    https_proxy: str | None = Field(default=None, exclude=True, repr=False)
    no_proxy: str | None = None
    pinned: bool = True  # False: the steps see the live network; what hooks fetch is on no record

    extra_ppas: tuple[str, ...] = ()  # EXTRA_PPAS: OWNER/NAME[:PRIORITY] of archives at Launchpad
    launchpad: str = "https://api.launchpad.net/devel"  # says which key signs a PPA
    keyserver: str = "https://keyserver.ubuntu.com"  # has that key
    ppa_mirror: str = "https://ppa.launchpadcontent.net"

    packages: tuple[str, ...] = ()  # installed in every image, beside config/package-lists
    recommends: bool = False
    base: Literal["mmdebstrap", "debootstrap"] = "mmdebstrap"
    hostname: str = "debian"
    bootappend_live: str = "boot=live components console=tty0 console=ttyS0,115200n8"
    live_build: tuple[str, ...] = ()  # further options for `lb config`, word by word
    environment: Mapping[str, str] = Field(default_factory=dict)  # what hooks see besides the fixed names

    snaps: tuple[str | dict[str, Any], ...] = ()  # NAME[/classic][=CHANNEL], or a mapping: one lock for all targets
    extra_snaps: tuple[str, ...] = ()  # EXTRA_SNAPS: for every target that takes snaps
    target_snaps: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)  # target -> those of them it takes
    cohort_key: str = ""  # COHORT_KEY, for all snaps; "": new ones are made
    snap_store: str = ""  # address; "": the environment's, else the public store
    snap_trust: Path | None = None  # account and key of a private store's root; None: Canonical's
    snap_model: Path | None = None  # model assertion with what proves it; None: generic-classic

    hooks: Path | None = None  # hooks.d; None: the one in the project folder, else the shipped one
    hook_inputs: Literal["declared", "all"] = "declared"  # all: every hook sees the whole tree, as a foreign one needs
    hook_format: Literal["current", "2019"] = "current"
    tool_suite: str = "trixie"  # what the tool root is made of
    tool_mirror: str = "http://deb.debian.org/debian"  # from Debian's archive: mirror, if that is one

    source_date_epoch: int | None = None  # seconds; None: the newest Date in the lock
    store: Path = Path("/var/lib/image-builder")
    snapshot_store_size: str = "100G"  # so much of what was fetched is kept after a build; "": all
    output: Path = Path("builds")  # relative to the project folder
    jobs: int | None = Field(default=None, ge=1)  # None: the number of cores
    timeout_s: float = Field(default=3600, gt=0)  # per step
    keep_going: bool = True

    @property
    def snapshot_store_bytes(self) -> int | None:
        """What snapshot_store_size says; None: no limit."""
        return in_bytes(self.snapshot_store_size) if self.snapshot_store_size else None

    @model_validator(mode="before")
    @classmethod
    def _as_the_distribution_has_it(cls, values: Any) -> Any:
        """Fill in what nobody has said and the distribution decides."""
        if not isinstance(values, dict):
            return values
        name = values.get("distribution") or distributions.of_suite(str(values.get("suite", "")))
        if (theirs := distributions.BY_NAME.get(str(name))) is None:
            return values  # the field itself says what is wrong with it
        architecture = str(values.get("architecture") or native_architecture())
        filled = {
            "distribution": theirs.name,
            "project": theirs.name,
            "hostname": theirs.name,
            "mirror": theirs.mirror(architecture),
            "security_mirror": theirs.security_mirror(architecture),
            "archive_areas": theirs.components,
            **values,
        }
        if theirs.name == "debian":
            filled.setdefault("tool_mirror", filled["mirror"])
        return filled

    @property
    def foreign(self) -> bool:
        """Is it another architecture than this machine's? Its programs are then emulated."""
        return not runs_natively(self.architecture, native_architecture())

    @field_validator("extra_ppas", mode="before")
    @classmethod
    def _each_once(cls, value: Any) -> Any:
        return tuple(dict.fromkeys(value.split() if isinstance(value, str) else value))

    @field_validator("extra_ppas")
    @classmethod
    def _are_ppas(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if not PPA.fullmatch(one):
                raise ValueError(f"{one!r} is no PPA: OWNER/NAME, or OWNER/NAME:PRIORITY")
        return value

    @field_validator("launchpad", "keyserver", "ppa_mirror")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s@]+", value):
            raise ValueError(f"{value!r} is not an address that begins with http:// or https://, without a login")
        return value.rstrip("/")

    @field_validator("suite", "project", "architecture", "tool_suite", "hostname")
    @classmethod
    def _is_a_word(cls, value: str) -> str:
        if not WORD.fullmatch(value):
            raise ValueError(f"{value!r} is not a name: letters, digits and + . ~ _ - only")
        return value

    @field_validator("snapshot", mode="before")
    @classmethod
    def _instant(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value  # POSIX seconds in YAML

    @field_validator("snapshot_store_size", mode="before")
    @classmethod
    def _size(cls, value: Any) -> Any:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(text, str) and text:
            in_bytes(text)
        return text

    @field_validator("pinned")
    @classmethod
    def _pinned_or_not(cls, value: bool, info: ValidationInfo) -> bool:
        if info.data.get("snapshot") and not value:
            raise ValueError(f"no snapshot is wanted, and one of {info.data['snapshot']}")
        return value

    @field_validator("packages", "targets", "archive_areas", "live_build", "snapshot_services", "snaps", "extra_snaps",
                     mode="before")  # fmt: skip
    @classmethod
    def _words(cls, value: Any) -> Any:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("environment")
    @classmethod
    def _environment_names(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name, text in value.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"{name!r} cannot be the name of an environment variable")
            if "\n" in text or "\0" in text:
                raise ValueError(f"the value of {name} holds a line break or a NUL")
        return value


# The names livecd-rootfs and launchpad-buildd set, and what each one means here.
ENVIRONMENT = {
    "PROJECT": "project",
    "SUBPROJECT": "subproject",
    "SUITE": "suite",
    "ARCH": "architecture",
    "SUBARCH": "subarch",
    "IMAGE_TARGETS": "targets",
    "IMAGEFORMAT": "image_format",
    "PROPOSED": "proposed",
    "REPO_SNAPSHOT_STAMP": "snapshot",
    "SNAPSHOT_SERVICE_TIMESTAMP": "snapshot",
    "EXTRA_PPAS": "extra_ppas",
    "EXTRA_SNAPS": "extra_snaps",
    "COHORT_KEY": "cohort_key",
    "SOURCE_DATE_EPOCH": "source_date_epoch",
    "IMAGE_BUILDER_STORE": "store",
    "IMAGE_BUILDER_OUTPUT": "output",
    "IMAGE_BUILDER_JOBS": "jobs",
}


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the environment overrides, as keys of BuildConfig."""
    values: dict[str, Any] = {}
    for name, key in ENVIRONMENT.items():
        text = environ.get(name, "")
        if not text.strip():
            continue
        if key == "targets":
            values[key] = tuple(split_targets(text))
        elif key == "snapshot":  # both may be set; whether they mean the same instant is seen when it is read
            values[key] = f"{values.get(key, '')} {text.strip()}".strip()
        elif key == "proposed":  # livecd-rootfs: any text means yes
            values[key] = text.strip().lower() not in {"0", "no", "false"}
        else:
            values[key] = text
    return values


# What an `lb config` of the user has fixed already, as the lowest of all wishes: config/bootstrap and its like.
LIVE_BUILD_VARIABLES = {
    "LB_DISTRIBUTION": "suite",
    "LB_ARCHITECTURE": "architecture",
    "LB_ARCHIVE_AREAS": "archive_areas",
    "LB_MIRROR_CHROOT": "mirror",
    "LB_MIRROR_CHROOT_SECURITY": "security_mirror",
    "LB_SECURITY": "security",
    "LB_UPDATES": "updates",
    "LB_PROPOSED_UPDATES": "proposed",
    "LB_APT_RECOMMENDS": "recommends",
    "LB_BOOTAPPEND_LIVE": "bootappend_live",
}


def from_live_build(project_dir: Path) -> dict[str, Any]:
    """Keys of BuildConfig that the project's own config/common and the files beside it settle."""
    found: dict[str, Any] = {}
    for name in ("common", "bootstrap", "chroot", "binary"):
        path = project_dir / "config" / name
        if not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            variable, equals, value = line.partition("=")
            if equals and variable in LIVE_BUILD_VARIABLES and value.strip('"'):
                found[LIVE_BUILD_VARIABLES[variable]] = value.strip().strip('"').rstrip("/")
    return found


def load(
    project_dir: Path,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    options: Mapping[str, Any] = {},
) -> BuildConfig:
    """Read the project's configuration. Raises ConfigError listing everything that is wrong, with line numbers.

    file: the YAML file; None takes image-builder.yaml of the project folder, if there is one.
    options: keys of BuildConfig from the command line; None or () means "not given".
    """
    path = file if file is not None else project_dir / CONFIG_NAME
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    if file is not None or path.exists():
        values, lines = _read_yaml(path)
    origin = {key: f"{path}:{lines.get(key, 1)}" for key in values}
    names = {key: name for name, key in ENVIRONMENT.items()}
    overrides = from_environment(environ)
    origin |= {key: f"environment {names[key]}" for key in overrides}
    given = {key: value for key, value in options.items() if value not in (None, ())}
    origin |= {key: f"option --{key.replace('_', '-')}" for key in given}
    values = from_live_build(project_dir) | values | overrides | given
    try:
        return BuildConfig.model_validate(values)
    except ValidationError as e:
        raise _explain(e, origin, path) from e


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The file's top mapping, and the line of each of its keys."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"cannot be read: {e}", where=path) from e
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise ConfigError(f"is not YAML: {e}", where=path) from e
    except RecursionError as e:
        raise ConfigError("is nested too deeply", where=path) from e
    except (ValueError, LookupError, AttributeError) as e:  # PyYAML's own, for `2026-02-31` and `!!int ''`
        raise ConfigError(f"is not YAML: a value cannot be read: {e}", where=path) from e
    if node is None:
        return {}, {}
    if not isinstance(node, yaml.MappingNode) or not isinstance(values, dict):
        raise ConfigError("holds no mapping", where=path, hint="write lines of the form `suite: trixie`")
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if key.value in lines:
            raise ConfigError(f"{key.value!r} stands twice", where=f"{path}:{key.start_mark.line + 1}")
        lines[key.value] = key.start_mark.line + 1
    return {str(k): v for k, v in values.items()}, lines


def _explain(error: ValidationError, origin: Mapping[str, str], path: Path) -> ConfigError:
    """All that pydantic found, one line each, in the user's words."""
    found = []
    for item in error.errors():
        key = str(item["loc"][0]) if item["loc"] else ""
        where = origin.get(key, str(path))
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, BuildConfig.model_fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see docs/configuration.md for the keys"
            found.append(f"{where}: unknown key {key!r}; {hint}")
        else:
            inner = ".".join(str(part) for part in item["loc"])
            message = item["msg"].removeprefix("Value error, ")
            found.append(f"{where}: {inner}: {message} (got {item['input']!r})")
    first, *rest = found
    where, _, what = first.partition(": ")
    return ConfigError("\n".join([what, *rest]), where=where)
