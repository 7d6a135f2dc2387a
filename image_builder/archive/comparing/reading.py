"""Reads what a comparison asks for: states and attempts from the database, packages and logs from the results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from image_builder.archive.comparing.facts import Binary, End, Ended
from image_builder.archive.database.records import AttemptRecord, Run
from image_builder.archive.database.views import View
from image_builder.archive.indices.packages import RELATIONS
from image_builder.archive.indices.stanzas import stanzas
from image_builder.archive.model import Key, Outcome
from image_builder.archive.results import STANZAS, Results
from image_builder.archive.stages import log_folder, stage_folder
from image_builder.archive.states import Package, State

FIELDS = (*RELATIONS, "Suggests", "Enhances", "Package", "Version", "Installed-Size", "Size")
OWN = "(= its own version)"
SHORT_LOG = "*.short.log"


def ended(database: View, run: Run) -> dict[Key, Ended]:
    """How each package of a run ended. Results that are another run's by now count as not known."""
    last = database.last_attempts(run.identity)
    root = json.loads(run.configuration).get("results")
    results = None if root is None else Path(root)
    packages = database.packages(run.identity)
    return {one.key: _ended(one, last.get(one.key), run, results) for one in packages}


def _ended(package: Package, record: AttemptRecord | None, run: Run, results: Path | None) -> Ended:
    problem = {
        State.BD_UNINSTALLABLE: package.bd_problem,
        State.DEP_WAIT: package.depends,
        State.FAILED: package.failed,
    }.get(package.state, "")
    found = Ended(package.installed_version or package.version, package.state, package.cause, problem)
    outcome = record.outcome if record else None
    reason = (record.reason if record else "") or package.reason
    seconds, log, binaries = None, "", None
    if found.end is End.GOOD:
        seconds = record.seconds if record and outcome is Outcome.SUCCEEDED else None
        binaries = None if results is None else _made(Results(stage_folder(results, run.stage)), package.key, run)
    elif record and results is not None and outcome is Outcome.ATTEMPTED:
        log = _short_log(log_folder(results, run.stage, record))
    return Ended(found.version, found.state, found.cause, problem, outcome, reason, seconds, log, binaries)


def _made(results: Results, key: Key, run: Run) -> Mapping[str, Binary] | None:
    """The packages of the newest result, if it is this run's."""
    result = results.read(key.suite, key.architecture, key.source)
    if result is None or result.run != run.name:
        return None
    return dict(_binaries(results.place(key.suite, key.architecture, key.source) / STANZAS))


def _binaries(path: Path) -> Iterator[tuple[str, Binary]]:
    for stanza in stanzas(path, FIELDS):
        version = stanza.get("Version", "")
        relations = {
            field: frozenset(_plain(one, version) for one in stanza[field].split(","))
            for field in FIELDS[: FIELDS.index("Package")]
            if stanza.get(field, "").strip()
        }
        # Installed-Size is in KiB.
        size, installed = int(stanza.get("Size", 0)), int(stanza.get("Installed-Size", 0)) << 10
        yield stanza["Package"], Binary(size, installed, relations)


def _plain(relation: str, version: str) -> str:
    """A relation without what differs in every rebuild: the version of the package itself, and blanks."""
    return " ".join(relation.split()).replace(f"(= {version})", OWN)


def _short_log(folder: Path | None) -> str:
    if folder is not None:
        with suppress(OSError):
            for path in sorted(folder.glob(SHORT_LOG)):
                return path.read_text(encoding="utf-8", errors="replace")
    return ""
