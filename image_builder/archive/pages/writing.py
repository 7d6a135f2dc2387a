"""All pages of a database as files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from image_builder.archive.database.records import AttemptRecord
from image_builder.archive.database.views import View
from image_builder.archive.model import Outcome
from image_builder.archive.pages import addresses, content, logs, reading, render, search
from image_builder.archive.pages.files import File, Written, write_files
from image_builder.archive.pages.render import Page
from image_builder.archive.pages.survey import Survey
from image_builder.archive.states import State

AT_ONCE = 500  # sources that are read together


class Logs(StrEnum):
    """Which attempts get a page with their log. That of every one of 35,000 takes gigabytes."""

    NONE = "none"
    FAILED = "failed"  # those that did not succeed
    ALL = "all"


def write_pages(
    view: View, results: Path, folder: Path, now: float, *, which: Logs = Logs.FAILED, anew: bool = False
) -> Written:
    """Write the web view of a database into a folder; only what has changed, unless `anew`.

    results: where the logs are. now: POSIX seconds, for rate and time left. Raises as write_files does.
    """
    return write_files(folder, files(view, results, now, which), anew=anew)


def files(view: View, results: Path, now: float, which: Logs) -> Iterator[File]:
    """Every file of the view."""
    survey = Survey(view)
    found: dict[int, logs.Log] = {}
    runs = {run.identity: run for run in survey.runs}
    for record in reading.attempts_of(view) if which is not Logs.NONE else ():
        if which is Logs.ALL or record.outcome is not Outcome.SUCCEEDED:
            log = logs.find(results, runs[record.run].stage, record)
            if log is not None:
                found[record.attempt.identity] = log
                yield from _log(record, runs[record.run].name, log)

    def has_log(record: AttemptRecord) -> bool:
        return record.attempt.identity in found

    yield from _packages(survey, has_log)
    yield _whole(content.index(survey, now))
    yield _whole(content.find(None))
    for run in survey.runs:
        yield _whole(content.run(survey, run, now))
    for run, place in survey.everywhere:
        for state in State:
            yield _whole(content.state(survey, run, place, state, has_log))
    for prefix in survey.prefixes:
        yield _whole(content.names(survey, prefix))
    yield _bytes(addresses.SEARCH_INDEX, search.script(survey.known).encode())
    for name in addresses.STATIC:
        yield _bytes(name, render.static(name))


def _packages(survey: Survey, has_log: content.HasLog) -> Iterator[File]:
    names = list(survey.sources.values())
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        facts = reading.facts(survey.view, survey.everywhere, some[0], some[-1])
        for name in some:
            if name in facts:  # else it left just now
                stamp = content.stamp_of(survey, name, facts[name], has_log)
                yield _later(
                    addresses.package(name),
                    stamp,
                    lambda name=name, facts=facts: content.package(survey, name, facts[name], has_log),  # type: ignore[misc]
                )


def _log(record: AttemptRecord, run: str, log: logs.Log) -> Iterator[File]:
    identity = record.attempt.identity
    stamp = f"{log.stamp} {record.outcome} {record.reason} {run}"
    yield _later(addresses.log(identity), stamp, lambda: content.log(record, run, log, packed=True))
    yield File(addresses.whole_log(identity, packed=True), stamp, lambda: _read(log.path))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it was deleted just now; its page says so
        return b""


def _later(path: str, stamp: str, page: Callable[[], Page]) -> File:
    return File(path, f"{render.stamp().hex()} {stamp}", lambda: page().text().encode("utf-8", "replace"))


def _whole(page: Page) -> File:
    return _bytes(page.path, page.text().encode("utf-8", "replace"))


def _bytes(path: str, text: bytes) -> File:
    return File(path, hashlib.sha256(text).hexdigest(), lambda: text)
