"""The journal of a proxy: one line per request, and what the lines add up to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

REFUSED_SHOWN = 100  # in a summary; the journal has them all
_LINE = re.compile(
    r"(?P<at>\S+) (?P<status>[0-9]{3}) (?P<ms>[0-9]+)ms (?P<bytes>[0-9]+) (?P<sha256>[0-9a-f]{64}|-)"
    r" (?P<source>\S+) (?P<method>\S+) (?P<url>\S+)(?: # (?P<reason>.*))?"
)


@dataclass(frozen=True)
class Line:
    """One request. status: 000 if the client got no answer, or only a part of one.

    source: "store"; "fetched:HOST"; "other" for what another build fetched meanwhile; "-" for a refusal.
    """

    method: str
    url: str
    status: int
    sha256: str = "-"
    source: str = "-"
    sent_bytes: int = 0
    ms: int = 0
    reason: str = ""

    def text(self, at: datetime) -> str:
        """As the journal has it. What a client may have made up cannot look like two fields or two lines."""
        stamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
        url = quote(self.url, safe="/:?#[]@!$&'()*+,;=%~")[:2000] or "-"
        method = "".join(c for c in self.method if c.isascii() and c.isalpha())[:20] or "-"
        reason = "".join(c if c.isprintable() else "?" for c in self.reason)[:300]
        line = f"{stamp} {self.status:03d} {self.ms}ms {self.sent_bytes} {self.sha256} {self.source} {method} {url}"
        return f"{line} # {reason}\n" if reason else f"{line}\n"


def parse_line(text: str) -> Line | None:
    """None for what is no line: the last one of a killed proxy may be half there."""
    match = _LINE.fullmatch(text.rstrip("\n"))
    if match is None or not text.endswith("\n"):
        return None
    return Line(
        match["method"], match["url"], int(match["status"]), match["sha256"], match["source"],
        int(match["bytes"]), int(match["ms"]), match["reason"] or "",
    )  # fmt: skip


@dataclass
class Counters:
    """What a proxy did so far. refused: by decision. failed: what should have been given and could not be."""

    requests: int = 0
    sent_bytes: int = 0
    from_store: int = 0
    fetched: int = 0
    from_other_builds: int = 0
    refused: int = 0
    failed: int = 0
    fetched_bytes: int = 0
    refusals: dict[str, str] = field(default_factory=dict)  # address -> reason
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, line: Line) -> None:
        self.requests += 1
        self.sent_bytes += line.sent_bytes
        if line.status in (200, 206, 304, 416):
            kind, _, _ = line.source.partition(":")
            self.from_store += kind == "store"
            self.from_other_builds += kind == "other"
            self.fetched += kind == "fetched"
            self.fetched_bytes += line.sent_bytes if kind == "fetched" else 0
        elif 400 <= line.status < 500:
            self.refused += 1
            if len(self.refusals) < REFUSED_SHOWN:
                self.refusals[line.url] = f"{line.status} {line.reason}"
        else:
            self.failed += 1
            if len(self.failures) < REFUSED_SHOWN:
                self.failures[line.url] = line.reason or "the client did not get all of it"

    def text(self) -> str:
        """One line for people."""
        other = f", {self.from_other_builds} by other builds" if self.from_other_builds else ""
        return (
            f"{self.requests} requests, {self.sent_bytes / 1e6:.1f} MB: {self.from_store} from the store,"
            f" {self.fetched} fetched{other}, {self.refused} refused, {self.failed} failed"
        )

    def summary(self, stamp: str) -> dict[str, Any]:
        """For a build record: plain values only."""
        return {"stamp": stamp, **asdict(self)}


def summarise(lines: Iterable[str]) -> Counters:
    counters = Counters()
    for text in lines:
        line = parse_line(text)
        if line is not None:
            counters.add(line)
    return counters


class Journal:
    """Appends lines to a file, for several threads and processes: none is written in two parts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, line: Line) -> None:
        self.write_all([(datetime.now(UTC), line)])

    def write_all(self, lines: Iterable[tuple[datetime, Line]]) -> None:
        """Each with when it was over."""
        if text := "".join(line.text(at) for at, line in lines):
            os.write(self._file, text.encode())

    def close(self) -> None:
        os.close(self._file)


class Reader:
    """Counts along while a journal grows."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self.counters = path, 0, Counters()

    def read(self) -> Counters:
        """All that is whole by now."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return self.counters
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for text in whole.decode("utf-8", "replace").splitlines(keepends=True):
            line = parse_line(text)
            if line is not None:
                self.counters.add(line)
        return self.counters
