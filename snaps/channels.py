"""Channels of the snap store: track/risk/branch, in the short forms people write and the full one we keep. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from image_builder.errors import ConfigError

RISKS = ("stable", "candidate", "beta", "edge")  # from the least risk to the most
_WORD = re.compile(r"[a-zA-Z0-9](?:[-+._a-zA-Z0-9]*)")


@dataclass(frozen=True)
class Channel:
    """One channel. The track "latest" is the one a snap without tracks has."""

    track: str = "latest"
    risk: str = "stable"
    branch: str = ""

    def __str__(self) -> str:
        """The full form: "latest/stable", "3.2/edge/fix-1"."""
        return "/".join(part for part in (self.track, self.risk, self.branch) if part)

    @property
    def short(self) -> str:
        """As the store answers: without the track "latest"."""
        return str(self).removeprefix("latest/")


def parse(text: str, *, where: str = "channel") -> Channel:
    """Read track, risk, track/risk, risk/branch or track/risk/branch. Raises ConfigError.

    >>> str(parse("edge"))
    'latest/edge'
    >>> str(parse("3.2"))
    '3.2/stable'
    """
    parts = text.split("/")
    if not 1 <= len(parts) <= 3 or not all(_WORD.fullmatch(part) for part in parts):
        raise ConfigError(
            f"{text!r} is not a channel", where=where, hint="write track/risk/branch: latest/stable, edge, 3.2/beta"
        )
    if len(parts) == 3:
        track, risk, branch = parts
    elif len(parts) == 2:
        track, risk, branch = ("latest", *parts) if parts[0] in RISKS else (*parts, "")
    else:
        track, risk, branch = ("latest", parts[0], "") if parts[0] in RISKS else (parts[0], "stable", "")
    if risk not in RISKS:
        raise ConfigError(
            f"{risk!r} in {text!r} is not a risk", where=where, hint=f"one of {', '.join(RISKS)} stands after the track"
        )
    if track in RISKS:
        raise ConfigError(f"{text!r} has a risk where the track stands", where=where, hint="write track/risk/branch")
    return Channel(track, risk, branch)
