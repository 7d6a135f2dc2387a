"""A mirror's by-hash folder as its recent history: Ubuntu keeps a day of InRelease files there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from image_builder.errors import PipelineError
from proxy.archive.release import instant
from proxy.blobs import fetch
from proxy.http import NotThereError, beginning

LISTING_MAX_BYTES = 32 << 20
HEAD_BYTES = 4096  # Date is among the first fields
FILES_MAX = 5000
JOBS = 6


def hashes(listing: str) -> list[str]:
    """The files that a folder's HTML page links to and that are named by a SHA-256."""
    links = re.findall(r"""href\s*=\s*["']?(?:[^"'>\s]*/)?([0-9a-f]{64})["'>\s]""", listing, re.IGNORECASE)
    return list(dict.fromkeys(links))


def claimed_date(head: bytes) -> datetime | None:
    """The Date in the first bytes of a clear-signed Release: a hint, not verified. None for other files."""
    if not head.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----"):
        return None
    match = re.search(rb"^Date: *([^\r\n]+)\r?\n", head, re.MULTILINE)
    try:
        return instant(match[1].decode("ascii", "replace"), "by-hash") if match else None
    except PipelineError:
        return None


def candidates(top: str, at: datetime) -> Iterator[tuple[str, bytes]]:
    """(address, bytes) of what seem to be the InRelease files up to an instant, the newest first; nothing is verified.

    What a mirror no longer has was replaced before all that it has: so of these, the newest one whose signature is good
    was the newest then. top: address of the suite's folder, with a slash at the end. Raises NotThereError for a
    mirror without a listing, SurroundingsError for one that cannot be asked.
    """
    folder = f"{top}by-hash/SHA256/"
    names = hashes(fetch(folder, max_bytes=LISTING_MAX_BYTES).decode("utf-8", "replace"))[:FILES_MAX]
    with ThreadPoolExecutor(JOBS) as pool:
        dates = list(pool.map(lambda name: _date(folder + name), names))
    for _, name in sorted(_up_to(dates, names, at), reverse=True):
        try:
            yield folder + name, fetch(folder + name)
        except NotThereError:
            continue  # its day is over


def _date(address: str) -> datetime | None:
    try:
        return claimed_date(beginning(address, HEAD_BYTES))
    except NotThereError:
        return None


def _up_to(dates: Sequence[datetime | None], names: Sequence[str], at: datetime) -> list[tuple[datetime, str]]:
    return [(date, name) for date, name in zip(dates, names, strict=True) if date is not None and date <= at]
