"""Whether a source's results are offered to builds: flags of the project and of packages, the closest one wins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from image_builder.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Flag:
    """On or off, everywhere or only in one suite or on one architecture."""

    on: bool
    suite: str | None = None
    architecture: str | None = None


@dataclass(frozen=True, slots=True)
class Flags:
    """Of a project, and of its packages by their source's name."""

    project: tuple[Flag, ...] = ()
    packages: Mapping[str, tuple[Flag, ...]] = field(default_factory=dict)

    def offered(self, source: str, suite: str, architecture: str) -> bool:
        """The project's flags decide, where none fits yes; what they say is the default for the package's."""
        project = decide(self.project, suite, architecture, default=True)
        return decide(self.packages.get(source, ()), suite, architecture, default=project)

    def with_flag(self, source: str | None, flag: Flag) -> Flags:
        """These flags and one more, which takes the place of one for the same suite and architecture.

        source: None for the project.
        """
        old = self.project if source is None else self.packages.get(source, ())
        return self._replaced(source, (*_others(old, flag), flag))

    def without_flag(self, source: str | None, flag: Flag) -> Flags:
        """These flags but the one for this suite and architecture."""
        old = self.project if source is None else self.packages.get(source, ())
        return self._replaced(source, tuple(_others(old, flag)))

    def _replaced(self, source: str | None, flags: tuple[Flag, ...]) -> Flags:
        if source is None:
            return Flags(flags, self.packages)
        packages = {name: old for name, old in self.packages.items() if name != source}
        return Flags(self.project, packages | ({source: flags} if flags else {}))


def decide(flags: Iterable[Flag], suite: str, architecture: str, *, default: bool) -> bool:
    """Of the flags that fit the one with the highest score: 4 for a suite, 2 for an architecture, 1 for off."""
    fitting = [f for f in flags if f.suite in (None, suite) and f.architecture in (None, architecture)]
    if not fitting:
        return default
    return max(fitting, key=lambda f: 4 * (f.suite is not None) + 2 * (f.architecture is not None) + (not f.on)).on


def _others(flags: Iterable[Flag], flag: Flag) -> Iterable[Flag]:
    return [f for f in flags if (f.suite, f.architecture) != (flag.suite, flag.architecture)]


def to_text(flags: Flags) -> str:
    """JSON, sorted: the same flags are the same bytes."""

    def plain(some: Iterable[Flag]) -> list[dict[str, Any]]:
        return [
            {"on": f.on} | {k: v for k, v in (("suite", f.suite), ("architecture", f.architecture)) if v is not None}
            for f in some
        ]

    value = {"project": plain(flags.project), "packages": {n: plain(f) for n, f in sorted(flags.packages.items())}}
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


def from_text(text: str, *, where: Path) -> Flags:
    """Raises ConfigError for what to_text() does not write."""
    try:
        value = json.loads(text)
        packages = {name: _flags(some) for name, some in value["packages"].items()}
        return Flags(_flags(value["project"]), packages)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as e:
        hint = "image-builder archive repository flag writes it"
        raise ConfigError(f"not a list of useforbuild flags: {e}", where=where, hint=hint) from e


def _flags(some: Any) -> tuple[Flag, ...]:
    made = tuple(Flag(**one) for one in some)
    for flag in made:
        if type(flag.on) is not bool or not all(isinstance(x, str | None) for x in (flag.suite, flag.architecture)):
            raise ValueError(f"{flag} is no flag")
    return made
