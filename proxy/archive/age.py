"""Whether the newest Release of an instant is as new as one would think: a mirror that stands still is not an error."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from image_builder.lock import duration


def older_than_expected(date: datetime, at: datetime, valid_until: datetime | None, seen: Sequence[datetime]) -> str:
    """Why the newest InRelease of an instant seems to be too old, in words; "" if it does not.

    By the archive's own words, if its files expire: they are replaced long before that. Else by how often it signed
    (seen: Dates of the files known) before; too few say nothing.
    """
    age = at - date
    dates = sorted(one for one in set(seen) if one <= at)
    gaps = sorted(later - earlier for earlier, later in pairwise(dates))
    if valid_until is not None and age > (valid_until - date) / 2:
        return f"{duration(age.total_seconds())} old at that instant, more than half of the time it is valid"
    if valid_until is None and len(gaps) >= 4 and age > 5 * gaps[len(gaps) // 2] + timedelta(hours=1):
        usual = duration(gaps[len(gaps) // 2].total_seconds())
        return f"{duration(age.total_seconds())} old at that instant; this suite is signed anew about every {usual}"
    return ""
