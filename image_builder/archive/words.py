"""Moments and lengths of time as people say them."""

from __future__ import annotations

from datetime import UTC, datetime


def duration(seconds: float) -> str:
    """Seconds for people: "3 d 4 h", "12 min".

    >>> duration(273600), duration(59.7)
    ('3 d 4 h', '60 s')
    """
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= length:
            rest = int(seconds % length // part)
            return f"{int(seconds // length)} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.0f} s"


def moment(at: float) -> str:
    """An instant for people, in UTC: "2026-11-21 16:10:00". at: POSIX seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
