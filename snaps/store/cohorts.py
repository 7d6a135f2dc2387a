"""What a cohort key tells of itself. Undocumented: for warnings only, never to make or change a key. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

LATEST = "+"  # what livecd-rootfs's users write: the newest revision, whatever share of machines gets it by now
LIFETIME = timedelta(days=90)  # after this a key stands for a new set of revisions


@dataclass(frozen=True)
class CohortKey:
    """The snap a key was made for, and when."""

    snap_id: str
    created: datetime


def read(key: str) -> CohortKey | None:
    """What is written in a key; None for one of another form, such as a store-wide key or "+"."""
    try:
        text = base64.b64decode(key, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    match = re.fullmatch(r"1 ([A-Za-z0-9]{32}) ([0-9]{1,11}) [0-9a-f]{64}", text)
    if match is None:
        return None
    try:
        return CohortKey(match[1], datetime.fromtimestamp(int(match[2]), UTC))
    except (ValueError, OverflowError, OSError):
        return None


def doubts(key: str, *, name: str, snap_id: str, now: datetime) -> list[str]:
    """What speaks against using a key for a snap, in words."""
    found = read(key)
    if found is None:
        return []
    said = []
    if found.snap_id != snap_id:
        said.append(f"{name}: the cohort key was made for another snap (id {found.snap_id}), so it fixes nothing here")
    if now - found.created > LIFETIME:
        days = (now - found.created).days
        said.append(f"{name}: the cohort key is {days} days old; from {LIFETIME.days} on it stands for other revisions")
    return said
