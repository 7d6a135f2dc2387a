"""`image-builder doctor`: what this machine lacks."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from image_builder import config as configuration
from image_builder.doctor import examine

MARKS = {"ok": "ok     ", "warning": "warning", "lacking": "LACKING"}


@click.command()
@click.option("-C", "--directory", "project_dir", type=click.Path(path_type=Path), default=Path(),
              help="The project folder (default: this one).")  # fmt: skip
@click.option("--store", type=click.Path(path_type=Path), help="Layer store (default /var/lib/image-builder).")
@click.option("--offline", is_flag=True, help="Do not ask the archive.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
def doctor(project_dir: Path, store: Path | None, offline: bool, as_json: bool) -> None:
    """Say what this machine lacks to build and boot images, and what mends it.

    Exit status 0 when nothing is lacking (a warning is no lack), else 3.
    """
    config = configuration.load(project_dir, options={"store": store})
    found = []
    for finding in examine(config, project_dir / config.output, network=not offline):
        found.append(finding)
        if not as_json:
            print(f"{MARKS[finding.verdict]}  {finding.name}: {finding.what}")
            if finding.mend:
                print(f"{'':9}mend: {finding.mend}")
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    sys.exit(3 if any(finding.verdict == "lacking" for finding in found) else 0)
