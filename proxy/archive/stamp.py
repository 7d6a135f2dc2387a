"""The instant a build sees the archive at: how users and their CI say it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from image_builder.errors import ConfigError

SECONDS_VARIABLE = "REPO_SNAPSHOT_STAMP"
SERVICE_VARIABLE = "SNAPSHOT_SERVICE_TIMESTAMP"
CLOCK_SKEW = timedelta(minutes=10)

_SECONDS = re.compile(r"[0-9]{1,11}")
_SERVICE = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_FORMS = "POSIX seconds (1772366400), 20260301T120000Z, 2026-03-01T12:00:00Z, or now"


@dataclass(frozen=True)
class Stamp:
    """An instant. is_now: the archive's present state is meant, whenever that was signed."""

    at: datetime  # aware, UTC, whole seconds
    is_now: bool = False

    @property
    def latest_date(self) -> datetime:
        """The newest Date a Release may have: whoever signed one just now may have a clock that is a little ahead."""
        return self.at + CLOCK_SKEW if self.is_now else self.at


def text(at: datetime) -> str:
    """As snapshot services write it, and SNAPSHOT_SERVICE_TIMESTAMP: "20260301T120000Z"."""
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def parse(word: str, *, now: datetime, where: str) -> Stamp:
    """Read any of the forms. where: the option or variable, for errors. Raises ConfigError, also for the future."""
    return _read(word.strip(), now, where, (_SECONDS, _SERVICE, _ISO))


def asked(environ: Mapping[str, str], *, now: datetime, option: str | None = None) -> Stamp | None:
    """The instant asked for: the option's, else the environment's; None if nobody asks.

    An empty variable asks for nothing. Raises ConfigError for two variables that mean different instants.
    """
    if option is not None:
        return parse(option, now=now, where="--snapshot")
    found: dict[str, Stamp] = {}
    for name, form in ((SECONDS_VARIABLE, _SECONDS), (SERVICE_VARIABLE, _SERVICE)):
        if word := environ.get(name, "").strip():
            found[name] = _read(word, now, name, (form,))
    if len(set(found.values())) > 1:
        words = " and ".join(f"{name}={environ[name].strip()}" for name in found)
        raise ConfigError(f"{words} are different instants", where="environment", hint="set one of them")
    return next(iter(found.values()), None)


def agreed(words: Iterable[str], *, now: datetime, where: str) -> Stamp | None:
    """The instant that several words all mean, in any of the forms; None for no words. Raises ConfigError."""
    found = {word: parse(word, now=now, where=where) for word in words if word.strip()}
    if len(set(found.values())) > 1:
        raise ConfigError(f"{' and '.join(found)} are different instants", where=where, hint="say one of them")
    return next(iter(found.values()), None)


def _read(word: str, now: datetime, where: str, forms: tuple[re.Pattern[str], ...]) -> Stamp:
    now = now.astimezone(UTC).replace(microsecond=0)
    if word == "now":
        return Stamp(now, is_now=True)
    form = next((form for form in forms if form.fullmatch(word)), None)
    try:
        if form is _SECONDS:
            at = datetime.fromtimestamp(int(word), UTC)
        elif form is _SERVICE:
            at = datetime.strptime(word, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        elif form is _ISO:
            at = datetime.strptime(word, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        else:
            raise ValueError
    except (ValueError, OverflowError) as e:
        hint = {SECONDS_VARIABLE: "POSIX seconds, or now", SERVICE_VARIABLE: "YYYYMMDDTHHMMSSZ, or now"}
        raise ConfigError(f"{word!r} is no instant", where=where, hint=hint.get(where, _FORMS)) from e
    if at > now + CLOCK_SKEW:
        raise ConfigError(
            f"{at:%Y-%m-%d %H:%M:%S} UTC is in the future",
            where=where,
            hint="is it seconds, not milliseconds, and is this machine's clock right?",
        )
    return Stamp(at)
