"""The command line all benches share."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ground import Ground, ground
from report import Report, machine

from image_builder.errors import PipelineError


def main(description: str | None, bench: Callable[[Ground, bool], Report]) -> int:
    """Run the bench and print its table. A bound that is missed is told, and no failure; a failed build is one.

    bench: gets a ground, and whether it is to be quick.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few packages, quick compressors: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()), metavar="DIR",
        help="build below DIR (default: TMPDIR), which needs 10 GB",
    )  # fmt: skip
    parser.add_argument("--tools", type=Path, metavar="STORE", help="take the tool root from this layer store")
    words = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("builds need root")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    try:
        about = machine(words.work)
        with ground(words.work.resolve(), words.tools) as place:
            done = bench(place, words.quick)
            versions = place.versions()
    except PipelineError as e:
        print(f"error: {e}", file=sys.stderr)
        return e.exit_status
    title = done.title + (" (--quick: these figures say nothing)" if words.quick else "")
    done = Report(title, done.rows, done.notes, about, versions)
    print(done.text())
    if words.json:
        words.json.write_text(done.json())
    return 0
