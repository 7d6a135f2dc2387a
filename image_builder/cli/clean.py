"""`image-builder clean`: old builds out of the project's folder; the layer store stays."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from image_builder import config as configuration
from image_builder.build.record import RECORD_NAME


@click.command()
@click.option(
    "-C", "--directory", "project_dir", type=click.Path(path_type=Path), default=Path(), help="Project folder."
)
@click.option("--output", type=click.Path(path_type=Path), help="Where builds are (default: builds).")
@click.option("--keep", type=click.IntRange(min=0), default=1, show_default=True, help="Newest builds to keep.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
def clean(project_dir: Path, output: Path | None, keep: int, dry_run: bool) -> None:
    """Remove old builds. Layers are in the store: `image-builder store prune` is for those."""
    config = configuration.load(project_dir, options={"output": output})
    folder = project_dir / config.output
    builds = sorted(p for p in folder.glob("*") if p.is_dir() and not p.is_symlink() and _is_build(p))
    for old in builds[: len(builds) - keep]:
        print(old)
        if not dry_run:
            shutil.rmtree(old)
    link = folder / "latest"
    if not dry_run and link.is_symlink() and not link.exists():
        link.unlink()


def _is_build(folder: Path) -> bool:
    """Made by `build`: has a record, or nothing but the logs of one that was killed."""
    names = {p.name for p in folder.iterdir()}
    return RECORD_NAME in names or names <= {"logs"}
