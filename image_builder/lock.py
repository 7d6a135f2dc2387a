"""The lock file: which archive, snaps and tools a build is made of, fixed once and read by every build after it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from image_builder.errors import ConfigError, PipelineError, SurroundingsError
from image_builder.files import write_whole

SCHEMA_FILE = Path(__file__).with_name("lock.schema.json")


def _utc_seconds(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)


def instant_text(at: datetime) -> str:
    """An instant as the lock writes it: UTC, whole seconds, "2026-09-12T07:55:41Z"."""
    return _utc_seconds(at).strftime("%Y-%m-%dT%H:%M:%SZ")


Instant = Annotated[AwareDatetime, AfterValidator(_utc_seconds), PlainSerializer(instant_text, return_type=str)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Model(BaseModel):
    """Frozen; a field nobody knows is refused: it may be the pin of something this version would not pin."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ArchivePin(_Model):
    """One suite of one archive as its InRelease was when the lock was made."""

    uri: str = Field(min_length=1, description="what sources.list says, without a slash at the end")
    suite: str = Field(min_length=1, description="what sources.list says: trixie, trixie-security, ./")
    codename: str = Field(description="Codename of the signed Release; empty if it has none")
    components: tuple[str, ...]
    architectures: tuple[str, ...] = Field(min_length=1)
    inrelease_sha256: Sha256
    date: Instant = Field(description="the signed Date")
    valid_until: Instant | None = Field(default=None, description="the signed Valid-Until, if there is one")
    signer: str = Field(
        pattern=r"^([0-9A-F]{40,64})?$",
        description="fingerprint of the primary key that signed; empty for an archive taken on trust ([trusted=yes])",
    )
    from_: str = Field(alias="from", description="address the InRelease was fetched from")
    stamp: Instant | None = Field(
        default=None, description="the instant that was asked for; no newer InRelease was signed up to then"
    )
    service: str = Field(
        default="",
        description="address of this archive at that instant at a snapshot service, with a slash at the end;"
        " empty if none is known",
    )
    release_sha256: Sha256 | None = Field(
        default=None, description="Release, for clients that read no InRelease; null: it is not served"
    )
    release_gpg_sha256: Sha256 | None = Field(default=None, description="Release.gpg, its signature")

    @property
    def address(self) -> str:
        """Where apt looks for the InRelease, and what it names its lists by: not where it was fetched from."""
        folder = self.suite if self.suite.endswith("/") else f"dists/{self.suite}/"
        return f"{self.uri}/{folder}InRelease"


class SnapPin(_Model):
    """One snap at one revision."""

    name: str = Field(min_length=1)
    snap_id: str = Field(pattern=r"^[A-Za-z0-9]{32}$")
    revision: int = Field(ge=1)
    sha3_384: str = Field(pattern=r"^[0-9a-f]{96}$")
    size_bytes: int = Field(ge=1)
    channel: str = Field(description="the one asked for, in full: latest/stable; the seed tells snapd to follow it")
    effective_channel: str = Field(default="", description="the channel the store took it from")
    type: Literal["app", "base", "snapd", "os", "gadget", "kernel"] = "app"
    base: str = Field(default="", description="the snap it runs on; empty if it needs none")
    needs: tuple[str, ...] = Field(default=(), description="base and default content providers, all in this lock")
    classic: bool = Field(default=False, description="allowed classic confinement")
    publisher: str = Field(default="", description="account id, from the signed snap-declaration")
    cohort: str | None = Field(default=None, description="cohort key the revision was chosen by")
    cohort_created: Instant | None = Field(default=None, description="when that key was made, if it tells")


class Lock(_Model):
    """What every build made with this lock has in common."""

    version: Literal[1] = 1
    created: Instant
    source_date_epoch: int | None = Field(
        default=None, ge=0, description="seconds; kept from lock to lock while the base system's packages stay the same"
    )
    archives: tuple[ArchivePin, ...] = ()
    snaps: tuple[SnapPin, ...] = ()
    snap_assertions: tuple[str, ...] = Field(
        default=(), description="what proves the snaps, whole, each after those it rests on; later ones differ"
    )
    tools: dict[str, str] = Field(default_factory=dict, description="tool -> version, as in the tool root")
    tool_archives: tuple[ArchivePin, ...] = Field(
        default=(), description="what the tool root is made of; empty in a lock made before it was pinned"
    )

    @classmethod
    def parse(cls, text: str, *, where: str | os.PathLike[str]) -> Lock:
        """Read untrusted JSON. Raises ConfigError that names every field that is wrong."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as e:
            raise ConfigError(f"not JSON: {e}", where=where, hint="make it anew with --update") from e
        if isinstance(value, dict) and value.get("version", 1) != 1:
            raise ConfigError(
                f"version {value['version']!r} of the lock is not known here (known: 1)",
                where=where,
                hint="use the image-builder that wrote it, or make it anew with --update",
            )
        try:
            return cls.model_validate(value)
        except ValidationError as e:
            raise ConfigError(_in_words(e), where=where, hint="make it anew with --update") from e

    @classmethod
    def read(cls, path: Path) -> Lock | None:
        """The lock in this file; None if there is no such file. Raises ConfigError for one that cannot be used."""
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as e:
            raise ConfigError("not a text file", where=path, hint="make it anew with --update") from e
        except OSError as e:
            raise SurroundingsError(e.strerror or str(e), where=path) from e
        return cls.parse(text, where=path)

    def text(self) -> str:
        """The bytes of the file: the same lock gives the same bytes, one field per line, for git to compare."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=2, ensure_ascii=False) + "\n"

    def write(self, path: Path) -> None:
        """Whole or not at all, also when the machine loses power."""
        write_whole(path, self.text())

    @property
    def digest(self) -> str:
        """SHA-256 of what is pinned; when it was pinned, and where else it can be had, does not count.

        Nor does where the tools come from: that they are the same, `tools` says.
        """
        apart: Any = {"created": True, "archives": {"__all__": {"stamp", "service"}}, "tool_archives": True}
        pinned = self.model_dump(mode="json", by_alias=True, exclude=apart)
        return hashlib.sha256(json.dumps(pinned, sort_keys=True).encode()).hexdigest()

    def epoch(self) -> int:
        """SOURCE_DATE_EPOCH of every step, in seconds: the lock's own, else its newest signed Date."""
        return int(self.newest_date().timestamp()) if self.source_date_epoch is None else self.source_date_epoch

    def covers(self, at: datetime) -> bool:
        """Whether every pin is the newest InRelease of this instant, as far as whoever made it could know."""
        return all(pin.stamp is not None and pin.date <= at <= pin.stamp for pin in self.archives)

    def newest_date(self) -> datetime:
        """The newest signed Date, default of SOURCE_DATE_EPOCH. Raises PipelineError for a lock without archives."""
        if not self.archives:
            raise PipelineError("the lock pins no archive, so it has no date", where="lock", hint="make one: --update")
        return max(pin.date for pin in self.archives)

    def age(self, now: datetime) -> str:
        """How old the pinned archive is, for people: "2 days (archive of 2026-11-20T02:11:10Z)".

        One that is newer than now is not possible: it says that the clock must be wrong.
        """
        newest = self.newest_date()
        seconds = (now - newest).total_seconds()
        if seconds < -SKEW_S:
            said = f"newer than this machine's clock by {duration(-seconds)}, which is therefore wrong"
        else:
            said = duration(seconds)
        return f"{said} (archive of {instant_text(newest)})"

    def missing(self, asked: Sequence[tuple[str, str, Sequence[str], Sequence[str]]]) -> list[str]:
        """What a build asks for and the lock does not pin, in words; empty when the lock will do.

        asked: (uri, suite, components, architectures) as in sources.list. What the lock has beyond that is
        no difference: one lock serves several targets.
        """
        pins = {(pin.uri, pin.suite): pin for pin in self.archives}
        found: list[str] = []
        for uri, suite, components, architectures in asked:
            pin = pins.get((uri, suite))
            if pin is None:
                known = sorted(s for u, s in pins if u == uri) or sorted({u for u, _ in pins})
                found.append(f"{uri} {suite} is not in the lock, which has {', '.join(known) or 'no archive'}")
                continue
            for what, wanted, has in (
                ("component", components, pin.components),
                ("architecture", architectures, pin.architectures),
            ):
                found += [
                    f"{uri} {suite}: {what} {one} is not in the lock, which has {', '.join(has) or 'none'}"
                    for one in wanted
                    if one not in has
                ]
        return found


SKEW_S = 600  # by which two clocks may differ without a word


def duration(seconds: float) -> str:
    """A length of time in its largest fitting unit: "3 hours", "1 day"; less than a minute is "less than a minute"."""
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if (count := int(seconds // size)) >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


def _in_words(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"]) or "the lock"
        unknown = problem["type"] == "extra_forbidden"
        lines.append(f"{field}: {'not known to this version of image-builder' if unknown else problem['msg']}")
    return "; ".join(lines)


def schema() -> dict[str, Any]:
    """The published JSON Schema of the lock file (lock.schema.json holds the same)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Lock.model_json_schema(by_alias=True, mode="serialization"),
    }
