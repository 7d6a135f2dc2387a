"""seed.manifest, snapd's own list of pinned revisions: lines "NAME REVISION", and validation sets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from image_builder.errors import ConfigError
from snaps.wishes import is_name

_REVISION = re.compile(r"[1-9][0-9]{0,9}")
_SET = re.compile(r"(?P<account>[A-Za-z0-9-]{1,40})/(?P<name>[a-z0-9]+(?:-[a-z0-9]+)*)")


@dataclass(frozen=True)
class Manifest:
    """revisions: snap -> revision. sets: "ACCOUNT/NAME=SEQUENCE" (pinned) or "ACCOUNT/NAME SEQUENCE", as written."""

    revisions: dict[str, int] = field(default_factory=dict)
    sets: tuple[str, ...] = ()


def parse(text: str, *, where: str = "seed.manifest") -> Manifest:
    """Read a seed.manifest. Raises ConfigError that names the line, also for two revisions of one snap."""
    revisions: dict[str, int] = {}
    sets: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#") or not line.strip():
            continue
        at, words = f"{where}:{number}", line.split()
        if "/" in words[0]:
            name, equals, sequence = words[0].partition("=")
            sequence = sequence if equals else "".join(words[1:])
            if not _SET.fullmatch(name) or not _REVISION.fullmatch(sequence) or len(words) != (1 if equals else 2):
                raise ConfigError(f"{line!r} is no validation set", where=at, hint="ACCOUNT/NAME=SEQUENCE")
            sets.append(line.strip())
            continue
        if line.startswith(" ") or len(words) != 2 or not is_name(words[0]):
            raise ConfigError(f"{line!r} is not NAME REVISION", where=at)
        if not _REVISION.fullmatch(words[1]):
            raise ConfigError(
                f"{words[1]!r} is no revision of the store",
                where=at,
                hint="x1 and the like were made locally: not pinned",
            )
        if revisions.setdefault(words[0], int(words[1])) != int(words[1]):
            raise ConfigError(f"{words[0]} stands twice with different revisions", where=at)
    return Manifest(revisions, tuple(sets))


def text(revisions: Iterable[tuple[str, int]]) -> str:
    """The lines of a seed.manifest, by name, as `snap prepare-image --revisions` reads them."""
    return "".join(f"{name} {revision}\n" for name, revision in sorted(revisions))
