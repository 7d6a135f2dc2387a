"""`image-builder shell`: a shell where a step ran."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from image_builder.build import progress as displays
from image_builder.build.prepare import prepare
from image_builder.build.shell import find, open_shell
from image_builder.cli.build import opened


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("place", metavar="TARGET[@HOOK]")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--before", is_flag=True, help="The state HOOK found, not the one it left.")
@click.option("-C", "--directory", "project_dir", type=click.Path(path_type=Path), default=Path(),
              help="The project folder (default: this one).")  # fmt: skip
@click.option("--store", type=click.Path(path_type=Path), help="Layer store (default /var/lib/image-builder).")
@click.option("--lock", "lock_path", type=click.Path(path_type=Path), help="The lock the build was made with.")
def shell(
    place: str, command: tuple[str, ...], before: bool, project_dir: Path, lock_path: Path | None, **options: Any
) -> None:
    """Open a shell (or run COMMAND) in exactly the state after HOOK, with its environment and its network.

    Without HOOK: where the target's step failed in the last build, else where its steps ended. Chroot hooks: in the
    root. Binary hooks: in the folder they run in, beside the root. Whatever is done there is thrown away.

    \b
    image-builder shell squashfs                          where it failed
    image-builder shell squashfs@base/motd.chroot         after that hook
    image-builder shell squashfs@motd.chroot --before     before it
    """
    options["targets"] = (place.partition("@")[0],)
    with opened(project_dir, None, options, forget_failed=False) as (config, store):
        display = displays.make(quiet=True)
        plan = prepare(config, project_dir.resolve(), store, display, lock_path=lock_path)
        where = find(plan, store, place, before=before)
        if not command:
            print(f"{where.words()}; what is done here is thrown away; `exit` leaves", file=sys.stderr)
        status = open_shell(plan, store, where, display, command)
    sys.exit(status)
