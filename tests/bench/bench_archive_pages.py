"""Archive rebuild: the web view of 35,000 packages, as files and in a real browser."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from command import main
from ground import Ground
from report import Cost, Report, Row, in_process

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from browser import Load, chromium, load, serving
from large_rebuild import ARCHITECTURE, SUITE, built, installed, names

from image_builder.archive.database.open import open_database
from image_builder.archive.database.store import Database
from image_builder.archive.model import Key
from image_builder.archive.pages import addresses
from image_builder.archive.pages.answers import Folder, Live
from image_builder.archive.pages.files import Written
from image_builder.archive.pages.writing import write_pages
from image_builder.archive.requests import Action, Request
from image_builder.archive.states import State

PACKAGES, TOUCHED = 35_000, 100
USABLE_S = 1.0


def bench(ground: Ground, quick: bool) -> Report:
    return measure(ground.folder, 2000 if quick else PACKAGES)


def measure(folder: Path, packages: int) -> Report:
    site, results = folder / "site", folder / "results"
    with open_database(folder / "archive.sqlite", durable=False) as database:
        installed(database, packages)
        run = built(database, packages)
        rows, notes = _files(database, results, site, run.identity, packages)
        pages = {
            "everything that was there before": addresses.listing(1, SUITE, ARCHITECTURE, State.INSTALLED),
            "what was built": addresses.listing(run.identity, SUITE, ARCHITECTURE, State.INSTALLED),
        }
        with chromium(folder) as driver, serving(Live(database, results)) as live, serving(Folder(site)) as files:
            load(driver, live)  # the browser's own first time
            for what, path in pages.items():
                rows += _loads(f"{what}, made when asked for", load(driver, live + path))
                rows += _loads(f"{what}, again", load(driver, live + path))
                rows += _loads(f"{what}, from files", load(driver, files + path))
            rows += _loads("search, with its index", load(driver, f"{live}{addresses.SEARCH}?q=python-ac"))
    return Report("Archive rebuild: the web view", rows, notes)


def _files(database: Database, results: Path, site: Path, run: int, packages: int) -> tuple[list[Row], list[str]]:
    done: list[Written] = []

    def write() -> None:
        done.append(write_pages(database, results, site, time.time()))

    rows = [Row("all pages written, the first time", in_process(write)), Row("nothing has changed", in_process(write))]
    for name in names(packages)[:TOUCHED]:
        database.move(run, Key(SUITE, ARCHITECTURE, name), Request(Action.PRIORITY, user="me", number=7), time.time())
    rows.append(Row(f"{TOUCHED} packages have", in_process(write)))
    size = sum(path.stat().st_size for path in site.rglob("*.*"))
    notes = [
        f"{packages} packages in two runs, one of them with an attempt and four moves each; no logs",
        f"{done[0].written} files, {size / 1e6:.0f} MB; then {done[1].written} and {done[2].written} of them written",
        "in the browser: from the click until the page is whole, and until its end has been painted after a jump there",
    ]
    return rows, notes


def _loads(what: str, times: Load) -> list[Row]:
    return [
        Row(f"{what}: usable", Cost(times.interactive / 1000, 0.0), bound=USABLE_S),
        Row(f"{what}: its end shown", Cost(times.end / 1000, 0.0), bound=USABLE_S),
    ]


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
