"""What stands on each page, from the database as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from image_builder.archive.database.records import AttemptRecord, Run, Transaction
from image_builder.archive.pages import addresses, listing, logs, reading, search
from image_builder.archive.pages.marking import Text, marked
from image_builder.archive.pages.reading import Facts, Place
from image_builder.archive.pages.render import Page
from image_builder.archive.pages.survey import Survey
from image_builder.archive.pages.ties import Need
from image_builder.archive.states import Package, State
from image_builder.archive.summary import progress
from image_builder.errors import PipelineError

MOVES = 50  # the newest, on the page of a run
BUILDING = 500  # packages being built that are named there
BASES = {"old": "the old archive", "built": "what was built here", "both": "both archives"}
HasLog = Callable[[AttemptRecord], bool]


@dataclass(frozen=True)
class Standing:
    """A package in one place of one run, with what came of it so far, the newest first."""

    run: Run
    package: Package
    needs: Sequence[Need]
    needed_by: Sequence[str]
    attempts: Sequence[tuple[AttemptRecord, bool]]  # and whether its log has a page
    moves: Sequence[Transaction]

    @property
    def anchor(self) -> str:
        key = self.package.key
        return f"run-{self.run.identity}-{addresses.safe(key.suite)}-{addresses.safe(key.architecture)}"


def index(survey: Survey, now: float) -> Page:
    """How far every run is, the newest first, with its graph."""
    seen = [(run, progress(survey.view, run, now)) for run in survey.runs]
    values = {"runs": seen, "states": State, "bases": BASES, "prefixes": survey.prefixes}
    return Page(addresses.INDEX, "index.html.j2", {**values, "graph": survey.graph(seen[0][0]) if seen else None})


def run(survey: Survey, one: Run, now: float) -> Page:
    """How far a run is, its graph, what is being built, and the newest moves."""
    seen = progress(survey.view, one, now)
    moves = survey.view.transactions(one.identity, limit=MOVES)
    values = {"run": one, "progress": seen, "states": State, "bases": BASES, "graph": survey.graph(one)}
    return Page(
        addresses.run(one.identity), "run.html.j2", {**values, "moves": moves, "building": sorted(seen.building)}
    )


def state(survey: Survey, one: Run, place: Place, which: State, has_log: HasLog) -> Page:
    """All packages in one state."""
    rows = reading.listed(survey.view, place, which)
    last = {} if which in _UNTRIED else reading.last_attempts(survey.view, place, which)
    last = {source: record for source, record in last.items() if has_log(record)} if last else last
    values = {"run": one, "place": place, "state": which, "number": len(rows)}
    path = addresses.listing(place.run, place.suite, place.architecture, which)
    return Page(path, "state.html.j2", {**values, "groups": listing.groups(which, rows, last)})


def names(survey: Survey, prefix: str) -> Page:
    """All sources with this prefix, and how each stands."""
    known = [one for one in survey.known if addresses.prefix(one.source) == prefix]
    values = {"prefix": prefix, "known": known, "prefixes": survey.prefixes}
    return Page(addresses.names(prefix), "names.html.j2", values)


def package(survey: Survey, source: str, facts: Facts, has_log: HasLog) -> Page:
    """All that is known of a source."""
    tried, book = facts.tried(), facts.book()
    standing = []
    for one, there in facts.standing():
        ties = survey.ties(Place(one.identity, there.key.suite, there.key.architecture))
        mine = [r for r in tried if r.run == one.identity and r.attempt.key == there.key]
        moves = [move for move in book if move.run == one.identity and move.key == there.key]
        attempts = [(record, has_log(record)) for record in mine]
        needs, needed_by = ties.needs.get(source, ()), ties.needed_by.get(source, ())
        standing.append(Standing(one, there, needs, needed_by, attempts, moves))
    values = {"source": source, "standing": standing, "builds": facts.built()}
    return Page(addresses.package(source), "package.html.j2", values)


def stamp_of(survey: Survey, source: str, facts: Facts, has_log: HasLog) -> str:
    """Changes when the page of a source does."""
    logged = [has_log(record) for record in facts.tried()] if facts.attempts else []
    tied = []
    for one, row in facts.packages:
        ties = survey.ties(Place(one.identity, row.suite, row.architecture))
        tied.append((ties.needs.get(source, ()), ties.needed_by.get(source, ())))
    return f"{facts.stamp().hex()}{logged}{tied}"


def log(record: AttemptRecord, run_name: str, found: logs.Log, *, packed: bool) -> Page:
    """A log with the lines marked that say what failed. packed: what the link to the whole of it leads to."""
    try:
        text, problem = logs.read(found), ""
    except PipelineError as e:
        text, problem = Text([], []), f"{e.what}; {e.hint}"
    identity = record.attempt.identity
    values = {
        "record": record,
        "run": run_name,
        "text": text,
        "problem": problem,
        "marked": marked(text),
        "short": logs.in_short(found),
        "whole": addresses.whole_log(identity, packed=packed),
    }
    return Page(addresses.log(identity), "log.html.j2", values)


def find(survey: Survey | None, question: str = "") -> Page:
    """The page to search on. survey: to answer here and now; None: the browser does."""
    found = search.find(survey.known, question) if survey is not None else []
    values: dict[str, Any] = {"question": question, "found": found, "answered": survey is not None and question}
    return Page(addresses.SEARCH, "search.html.j2", {**values, "limit": search.FOUND})


_UNTRIED = frozenset(
    {
        State.NEEDS_BUILD,
        State.BD_UNINSTALLABLE,
        State.INSTALLED,
        State.NOT_FOR_US,
        State.AUTO_NOT_FOR_US,
    }
)
