"""`image-builder lock`: pin the archive once, for this and later builds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from image_builder.build import progress as displays
from image_builder.build.prepare import resolve_lock
from image_builder.cli.build import opened, shared
from image_builder.files import give_to_caller
from image_builder.lock import instant_text


@click.command()
@shared
def lock(
    project_dir: Path, config_file: Path | None, lock_path: Path | None, update: bool, as_json: bool, **options: Any
) -> None:
    """Write image-builder.lock: for each suite the InRelease it has now, for each snap its revision, verified.

    Says what it pins. A lock that is there is only shown; --update makes a new one. TARGETs make no difference.
    """
    with opened(project_dir, config_file, options) as (config, store):
        path = lock_path or project_dir.resolve() / "image-builder.lock"
        made, is_new = resolve_lock(config, project_dir.resolve(), store, displays.make(), path, update=update)
        if is_new:
            made.write(path)
            give_to_caller(path)
        if as_json:
            print(made.text(), end="")
            return
        print(f"{path}: {'made now' if is_new else 'as it was'}, {made.age(datetime.now(UTC))}")
        for pin in made.archives:
            print(f"  {pin.uri} {pin.suite}  {instant_text(pin.date)}  {pin.inrelease_sha256[:16]}  by {pin.signer}")
        for snap in made.snaps:
            print(f"  snap {snap.name} {snap.revision}  {snap.channel}  {snap.sha3_384[:16]}  by {snap.publisher}")
