"""`image-builder targets`: what can be built, in a line each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from image_builder import config as configuration
from image_builder.build.prepare import hooks_folder
from image_builder.series.resolve import Target, whole_targets


@click.command()
@click.option(
    "--hooks-source",
    type=click.Path(path_type=Path),
    help="The hooks.d folder. Default: hooks.d in this folder, else the one shipped with image-builder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of objects, with each target's hooks.")
def targets(hooks_source: Path | None, as_json: bool) -> None:
    """List the image targets: name, description, what each depends on and provides."""
    folder = hooks_source or hooks_folder(configuration.load(Path.cwd()), Path.cwd())
    found, errors = whole_targets(folder)
    if as_json:
        click.echo(json.dumps([_plain(target) for target in found], indent=2))
    elif found:
        _print_table(found)
    if errors:
        raise errors


def _plain(target: Target) -> dict[str, object]:
    return {
        "name": target.name,
        "series": target.series,
        "description": target.description,
        "depends": target.depends,
        "provides": target.provides,
        "directives": dict(target.directives),
        "hooks": [
            {"path": hook.path, "phase": hook.phase, "series": hook.series, "line": hook.line} for hook in target.hooks
        ],
    }


def _print_table(found: Sequence[Target]) -> None:
    from rich.console import Console  # takes longer to import than JSON takes to print
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("target", "description", "depends on", "provides"):
        table.add_column(heading, no_wrap=heading == "target")
    for target in found:
        cells = (target.name, target.description, " ".join(target.depends), ", ".join(target.provides))
        table.add_row(*(Text(cell) for cell in cells))  # Text: a description is no markup
    console = Console(highlight=False)
    # Piped, a table must not be folded at a width nobody looks at.
    console.print(table) if console.is_terminal else Console(highlight=False, width=100_000).print(table)
