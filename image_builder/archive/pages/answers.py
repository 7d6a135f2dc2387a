"""What the server answers with, and the two it asks: the database as it is, or a folder of pages written before."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from image_builder.archive.database.records import AttemptRecord
from image_builder.archive.database.views import View
from image_builder.archive.pages import addresses, content, logs, reading, render, search
from image_builder.archive.pages.render import Page
from image_builder.archive.pages.survey import Survey
from image_builder.archive.states import State

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".xz": "application/x-xz",
}
LOOK_S = 1.0  # how often the database is asked whether something has changed
KEEP_S = 5.0  # how old lists of all packages may be while something changes all the time
KEPT = 32  # pages of thousands of lines that are kept


@dataclass(frozen=True, slots=True)
class Answer:
    """kind: its media type. body: all of it, or in pieces where it is long."""

    kind: str
    body: bytes | Iterator[bytes]


class Site(Protocol):
    """Who knows the pages."""

    def answer(self, path: str, question: str) -> Answer | None:
        """What is at this path below the top; None: nothing. question: what is searched for."""


class Folder:
    """Pages that were written before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def answer(self, path: str, question: str) -> Answer | None:  # noqa: ARG002
        """Only files in the folder whose names are ours; no links that lead out of it, no lists of what there is."""
        parts = path.split("/")
        kind = KINDS.get(Path(path).suffix)
        if kind is None or any(part == "" or part[0] == "." or re.search(r"[\0-\x1f\\]", part) for part in parts):
            return None
        try:
            place = self.folder.joinpath(*parts).resolve()
            if not place.is_relative_to(self.folder) or not place.is_file():
                return None
            return Answer(kind, place.read_bytes())
        except OSError:  # a name that is too long; a file that went in between
            return None


class Live:
    """Pages made from the database when they are asked for."""

    def __init__(self, view: View, results: Path, clock: Callable[[], float] = time.time) -> None:
        render.prepare()
        self._view, self._results, self._clock = view, results, clock
        self._lock = threading.Lock()
        self._stamp: tuple[Any, ...] = ()
        self._survey = Survey(view)
        self._made = self._looked = float("-inf")  # by the monotonic clock
        self._pages: dict[str, tuple[tuple[Any, ...], bytes]] = {}

    def answer(self, path: str, question: str) -> Answer | None:
        """Every page of the view, whole logs as text, and what is the same for all."""
        kind = KINDS.get(Path(path).suffix, "")
        if path in addresses.STATIC:
            return Answer(kind, render.static(path))
        survey, stamp = self._current()
        if path == addresses.SEARCH:
            return _page(content.find(survey, question))
        if path == addresses.INDEX:
            return _page(content.index(survey, self._clock()))
        if match := re.fullmatch(r"log/(\d{1,18})\.(html|txt)", path):
            return self._log(int(match[1]), whole=match[2] == "txt")
        if match := re.fullmatch(r"run/(\d{1,18})/index\.html", path):
            wanted = [run for run in survey.runs if run.identity == int(match[1])]
            return _page(content.run(survey, wanted[0], self._clock())) if wanted else None
        if source := survey.sources.get(path) if path.startswith("package/") else None:
            found = reading.facts(self._view, survey.everywhere, source, source)
            if source in found:
                return _page(content.package(survey, source, found[source], self._has_log(survey)))
            return None
        make = self._long(survey, path)
        if make is None:
            return None
        kept = self._pages.get(path)
        if kept is None or kept[0] != stamp:
            kept = (stamp, make())
            if len(self._pages) >= KEPT:
                self._pages.clear()
            self._pages[path] = kept
        return Answer(kind, kept[1])

    def _long(self, survey: Survey, path: str) -> Callable[[], bytes] | None:
        """What makes a page of thousands of lines."""
        if path == addresses.SEARCH_INDEX:
            return lambda: search.script(survey.known).encode()
        for prefix in survey.prefixes if path.startswith("names/") else ():
            if addresses.names(prefix) == path:
                return lambda: _bytes(content.names(survey, prefix))
        for run, place in survey.everywhere if path.startswith("run/") else ():
            for state in State:
                if addresses.listing(place.run, place.suite, place.architecture, state) == path:
                    return lambda: _bytes(content.state(survey, run, place, state, self._has_log(survey)))
        return None

    def _current(self) -> tuple[Survey, tuple[Any, ...]]:
        """The survey to answer from, and what it was made of."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked >= LOOK_S:
                self._looked = now
                stamp = reading.stamp(self._view)
                if stamp != self._stamp and now - self._made >= KEEP_S:
                    self._survey, self._stamp, self._made = Survey(self._view), stamp, now
            return self._survey, self._stamp

    def _has_log(self, survey: Survey) -> content.HasLog:
        stages = {run.identity: run.stage for run in survey.runs}

        def has_log(record: AttemptRecord) -> bool:
            if record.finished is None or record.run not in stages:
                return False
            return logs.find(self._results, stages[record.run], record) is not None

        return has_log

    def _log(self, identity: int, *, whole: bool) -> Answer | None:
        record = self._view.attempt(identity)
        if record is None:
            return None
        run = self._view.run(record.run)
        found = logs.find(self._results, run.stage, record)
        if found is None:
            return None
        if whole:
            return Answer(KINDS[".txt"], logs.blocks(found))
        return _page(content.log(record, run.name, found, packed=False))


def _page(page: Page) -> Answer:
    return Answer(KINDS[".html"], _bytes(page))


def _bytes(page: Page) -> bytes:
    return page.text().encode("utf-8", "replace")
