"""Which InRelease of a suite was the newest one when: what was seen, kept beside the content store.

Knowing the newest file *here* that was signed before an instant is not enough: the archive may have signed another
one meanwhile. So each file has an `until`: up to then, from its Date on, it is known to have been the newest. Four
things prove that, and nothing else:

- the mirror was asked at that time and had it;
- the mirror's by-hash folder, which keeps what was replaced for a while, had it together with its successor;
- whoever follows the suite (record) asked shortly before and shortly after, and saw the next one;
- a snapshot service, asked for that instant, said so.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from image_builder.errors import PipelineError, SurroundingsError
from image_builder.files import write_whole
from image_builder.lock import instant_text


@dataclass(frozen=True)
class Known:
    """One InRelease that was verified when it came."""

    sha256: str
    date: datetime
    until: datetime | None  # newest of its suite from date up to here, both included; None: who knows
    address: str


def newest(known: Sequence[Known], at: datetime) -> Known | None:
    """The one signed last among those not signed after an instant; of one second, the one seen last."""
    return max(
        (one for one in known if one.date <= at), key=lambda one: (one.date, one.until or one.date), default=None
    )


def proved(known: Sequence[Known], at: datetime) -> tuple[Known | None, str]:
    """(the newest InRelease of an instant, "") if that is certain, else (None, why not)."""
    if not known:
        return None, "nothing of this suite was kept"
    found = newest(known, at)
    if found is None:
        return None, f"the oldest one kept is of {_words(min(one.date for one in known))}"
    if found.until is not None and found.until >= at:
        return found, ""
    seen = f"was still the newest after {_words(found.until)}" if found.until else "ever was the newest"
    return None, f"the one of {_words(found.date)} is there, but nobody saw whether it {seen}"


def merged(known: Iterable[Known], new: Iterable[Known]) -> list[Known]:
    """Both, by Date; of what both know, the longer `until`."""
    found: dict[str, Known] = {}
    for one in (*known, *new):
        other = found.get(one.sha256)
        if other is None:
            found[one.sha256] = one
        elif one.until is not None and (other.until is None or other.until < one.until):
            found[one.sha256] = replace(other, until=one.until)
    return sorted(found.values(), key=lambda one: (one.date, one.until or one.date))


class History:
    """The history of one suite of one archive, in a file that several processes may write to."""

    def __init__(self, cache: Path, uri: str, suite: str) -> None:
        self.uri, self.suite = uri, suite
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{urlsplit(uri).hostname or 'file'}_{suite}")[:80]
        self.path = cache / "history" / f"{name}-{hashlib.sha256(f'{uri} {suite}'.encode()).hexdigest()[:16]}.json"

    def known(self) -> list[Known]:
        """By Date, oldest first. Raises PipelineError for a file that is damaged."""
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return []
        try:
            return [_known(one) for one in json.loads(text)["releases"]]
        except (ValueError, KeyError, TypeError) as e:
            raise PipelineError(
                f"not a history: {e}", where=self.path, hint="remove it: what it knew is forgotten then, no more"
            ) from e

    def opened(self, suffix: str) -> TextIO:
        """A file beside it to hold locks on. Raises SurroundingsError where nothing can be written."""
        path = self.path.with_suffix(suffix)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("a+")
        except OSError as e:
            raise SurroundingsError(f"cannot be written: {e.strerror}", where=path) from e

    def add(self, *new: Known) -> None:
        """Remember what was seen."""
        with self.opened(".lock") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            known = self.known()
            together = merged(known, new)
            if together != known:
                releases = [_plain(one) for one in together]
                value = {"uri": self.uri, "suite": self.suite, "releases": releases}
                write_whole(self.path, json.dumps(value, indent=1) + "\n")


def hashes(cache: Path) -> set[str]:
    """Every InRelease of every history here: what pruning has to leave, for the history to be of use."""
    found: set[str] = set()
    for path in sorted((cache / "history").glob("*.json")):
        value = json.loads(path.read_text("utf-8"))
        found |= {one.sha256 for one in History(cache, value["uri"], value["suite"]).known()}
    return found


def _words(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _plain(one: Known) -> dict[str, Any]:
    until = instant_text(one.until) if one.until else None
    return {"sha256": one.sha256, "date": instant_text(one.date), "until": until, "from": one.address}


def _known(value: dict[str, Any]) -> Known:
    if not re.fullmatch(r"[0-9a-f]{64}", value["sha256"]):
        raise ValueError("a hash that is none")
    until = datetime.fromisoformat(value["until"]) if value["until"] else None
    return Known(value["sha256"], datetime.fromisoformat(value["date"]), until, str(value["from"]))
