"""image-builder archive pages: the web view as files."""

from __future__ import annotations

import time
from pathlib import Path

import click

from image_builder.archive.pages.writing import Logs, write_pages
from image_builder.cli.archive.context import Opened, archive_options
from image_builder.files import give_to_caller


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--logs",
    type=click.Choice([one.value for one in Logs]),
    default=Logs.FAILED.value,
    show_default=True,
    help="Which attempts get a page with their log, and the log itself.",
)
@click.option("--anew", is_flag=True, help="Write all pages, not only those that have changed.")
@archive_options
def pages(opened: Opened, folder: Path, logs: str, anew: bool) -> None:
    """Write the web view into a folder, as files any web server or browser shows; only what has changed."""
    began = time.monotonic()
    done = write_pages(opened.database, opened.config.results, folder, opened.now(), which=Logs(logs), anew=anew)
    give_to_caller(folder)
    seconds = time.monotonic() - began
    value = {"written": done.written, "unchanged": done.unchanged, "removed": done.removed, "seconds": seconds}
    said = f"{done.written} pages written, {done.unchanged} as they were, {done.removed} removed, in {seconds:.1f} s"
    opened.print(value, [said, f"begin at {folder / 'index.html'}"])
