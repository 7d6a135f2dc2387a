"""Which snaps somebody wants: NAME[/classic][=CHANNEL] as livecd-rootfs writes it, or YAML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from image_builder.errors import ConfigError
from snaps import channels
from snaps.channels import Channel

# A letter somewhere, single hyphens inside only, at most 40 characters: snapd's own rule.
_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*")
_HINT = "write NAME, NAME=CHANNEL or NAME/classic=CHANNEL: go/classic=1.22/stable"


@dataclass(frozen=True)
class Wish:
    """One snap. revision: this one and no other, whatever the channel has. where: who asked for it."""

    name: str
    channel: Channel = field(default_factory=Channel)
    classic: bool = False
    revision: int | None = None
    where: str = "snaps"

    def __str__(self) -> str:
        at = f" at revision {self.revision}" if self.revision else ""
        return f"{self.name}{'/classic' if self.classic else ''}={self.channel}{at}"


def is_name(text: str) -> bool:
    """Whether a snap can have this name."""
    return len(text) <= 40 and _NAME.fullmatch(text) is not None


def parse(text: str, *, where: str = "snaps") -> Wish:
    """Read one wish. Raises ConfigError.

    >>> str(parse("go/classic=1.22"))
    'go/classic=1.22/stable'
    """
    what, equals, channel = text.partition("=")
    name, _, kind = what.partition("/")
    if not is_name(name) or kind not in ("", "classic") or (not kind and "/" in what) or (equals and not channel):
        raise ConfigError(f"{text!r} does not say which snap", where=where, hint=_HINT)
    return Wish(name, channels.parse(channel or "stable", where=where), kind == "classic", where=where)


def from_values(values: Any, *, where: str = "snaps") -> list[Wish]:
    """Read what YAML gives: words in one text, or a list of texts and mappings (name, channel, classic, revision)."""
    if isinstance(values, str):
        values = values.split()
    if not isinstance(values, Sequence):
        raise ConfigError("is no list of snaps", where=where, hint=_HINT)
    return [_from_value(value, where=where) for value in values]


def _from_value(value: Any, *, where: str) -> Wish:
    if isinstance(value, str):
        return parse(value, where=where)
    if not isinstance(value, Mapping):
        raise ConfigError(f"{value!r} does not say which snap", where=where, hint=_HINT)
    if unknown := sorted(str(key) for key in set(value) - {"name", "channel", "classic", "revision"}):
        raise ConfigError(
            f"unknown key {unknown[0]!r}", where=where, hint="a snap has name, channel, classic and revision"
        )
    name, channel = value.get("name"), value.get("channel", "stable")
    classic, revision = value.get("classic", False), value.get("revision")
    if not isinstance(name, str) or not is_name(name):
        raise ConfigError(f"{name!r} is no name of a snap", where=where, hint=_HINT)
    if isinstance(channel, (int, float)) and not isinstance(channel, bool):
        raise ConfigError(
            f"the channel of {name} is the number {channel}",
            where=where,
            hint=f'put it into quotes: "{channel}/stable"',
        )
    if not isinstance(channel, str) or not isinstance(classic, bool):
        raise ConfigError(f"channel or classic of {name} cannot be meant so", where=where, hint=_HINT)
    if revision is not None and (isinstance(revision, bool) or not isinstance(revision, int) or revision < 1):
        raise ConfigError(f"the revision of {name} is no number from 1 on", where=where)
    return Wish(name, channels.parse(channel, where=where), classic, revision, where)


def read(path: Path) -> list[Wish]:
    """Read a YAML file: a list of snaps, or a mapping with one under `snaps`. Raises ConfigError."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as e:
        raise ConfigError(f"cannot be read: {e}", where=path) from e
    if isinstance(value, Mapping):
        value = value.get("snaps")
    return from_values(value, where=str(path))


def joined(wishes: Iterable[Wish]) -> tuple[Wish, ...]:
    """Each snap once, in the order asked for. Raises ConfigError where two wishes for one snap differ, naming both."""
    found: dict[str, Wish] = {}
    problems = []
    for wish in wishes:
        known = found.setdefault(wish.name, wish)
        if (known.channel, known.classic, known.revision) != (wish.channel, wish.classic, wish.revision):
            problems.append(f"{wish.name}: {known.where} asks for {known}, {wish.where} for {wish}")
    if problems:
        raise ConfigError(
            "\n".join(problems), where="snaps", hint="one image set has one revision of a snap: ask for one channel"
        )
    return tuple(found.values())
