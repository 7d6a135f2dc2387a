"""`snapshot-proxy record`: follow suites over time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from image_builder.lock import instant_text
from proxy.cli.options import shared, sources_of
from proxy.record import INTERVAL_S, Poll, follow


@click.command()
@shared
@click.option("--interval", "interval_s", type=click.FloatRange(min=1), default=INTERVAL_S, show_default=True,
              metavar="SECONDS", help="Between two polls; with --once: how often it is called.")  # fmt: skip
@click.option("--once", is_flag=True, help="Poll once and end, for cron and timers; exit status 3 if that failed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each poll, on stdout.")
def record(
    words: tuple[str, ...], architecture: str, keyring: Path, source_packages: bool, store: Path,
    interval_s: float, once: bool, as_json: bool,
) -> None:  # fmt: skip
    """Poll suites, verify what they have, and keep every InRelease with its indices.

    What was recorded is what resolve, lock and builds find for earlier instants, also when the archive has long
    forgotten it. Packages themselves are not fetched: see mirror. Goes on where it was stopped; one process follows a
    suite at a time.
    """
    good = follow(
        sources_of(words, architecture, keyring, source_packages), lambda one: _say(one, once, as_json),
        keyring=keyring, cache=store.absolute(), interval_s=interval_s, once=once,
    )  # fmt: skip
    if not good:
        raise click.exceptions.Exit(3)


def _say(one: Poll, once: bool, as_json: bool) -> None:
    name = f"{one.source.uri} {one.source.suite}"
    if as_json:
        value = {
            "uri": one.source.uri,
            "suite": one.source.suite,
            "new": one.new,
            "date": instant_text(one.release.release.date) if one.release else None,
            "sha256": one.release.sha256 if one.release else None,
            "error": str(one.error) if one.error else None,
            "warning": one.warning or None,
        }
        print(json.dumps(value), flush=True)
    elif one.release is not None and (one.new or once):
        date = instant_text(one.release.release.date)
        print(f"{name}  {date}  {one.release.sha256}  {'new' if one.new else 'as before'}", flush=True)
    if one.error is not None:
        print(f"error: {one.error}", file=sys.stderr, flush=True)
    if one.warning:
        print(f"warning: {name}: {one.warning}", file=sys.stderr, flush=True)
