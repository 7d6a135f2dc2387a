"""What auto/config, auto/build and auto/clean call: the same builds by live-build's old names."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from image_builder import config as configuration
from image_builder.build import plain, ppas
from image_builder.build import progress as displays
from image_builder.build.archive import LOCK_NAME, Archive
from image_builder.build.prepare import chosen, hooks_folder, prepare
from image_builder.cli.build import carry_out, opened, way_out
from image_builder.errors import CommandError, PipelineError, SurroundingsError
from image_builder.files import give_to_caller
from image_builder.layers import Store
from image_builder.live_build import project
from image_builder.live_build.tool_root import ToolRoot
from image_builder.lock import Lock


@click.group(name="live-build")
def live_build() -> None:
    """What live-build's auto scripts call; see docs/live-build.md."""


@live_build.command(name="config", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def config(arguments: tuple[str, ...]) -> None:
    """Run `lb config noauto` with this project's settings, then ARGUMENTS; make the hook links.

    IMAGE_TARGETS says which hooks are linked.
    """
    folder = Path.cwd()
    settings = configuration.load(folder)
    hooks_d = hooks_folder(settings, folder)
    targets = chosen(hooks_d, settings)
    if shutil.which("lb") is None:
        raise SurroundingsError("live-build is not installed", where="lb config", hint="apt-get install live-build")
    with tempfile.TemporaryDirectory(prefix="image-builder-") as cache:  # this may not be root, who owns the store
        extra = ppas.wanted(settings, Lock.read(folder / LOCK_NAME), Path(cache))
    project.configure(settings, folder, hooks_d, targets, arguments, ppas.archives(extra))
    print(f"configured for {', '.join(t.name for t in targets)}; now: lb build", file=sys.stderr)


@live_build.command(name="build")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def build(arguments: tuple[str, ...]) -> None:
    """Run the build in this folder; leaves livecd.PROJECT.* here as regular files.

    `lb build plain` runs live-build's own `lb build noauto` instead, behind the snapshot proxy.
    """
    if arguments not in ((), ("plain",)):
        raise click.UsageError(f"lb build takes no arguments here but `plain`: {' '.join(arguments)}")
    folder = Path.cwd()
    if arguments:
        sys.exit(_plain(folder))
    options: dict[str, Any] = {}
    with opened(folder, None, options) as (settings, store):
        display = displays.make()
        plan = prepare(settings, folder, store, display)
        status = carry_out(plan, store, display, as_json=False)
        latest = folder / settings.output / "latest"
        for artefact in sorted(latest.glob(f"livecd.{settings.project}.*")):
            if artefact.is_file():
                _publish(artefact, folder / artefact.name)
    sys.exit(status)


def _plain(folder: Path) -> int:
    settings = configuration.load(folder)
    way_out(settings)
    display = displays.make(live=False)
    version = plain.host_live_build()
    # The host is the tool root here: its keys, its live-build. The store is where fetched files are kept, no more.
    with Store(settings.store) as store:
        archive = Archive(store, settings, folder / "config", ToolRoot(Path("/"), "", version))
        path = folder / LOCK_NAME
        lock, is_new = archive.pinned(path, update=False)
        if is_new:
            lock.write(path)
            give_to_caller(path)
        display.say(f"lock: {'made now' if is_new else path}, {lock.age(datetime.now(UTC))}")
        return plain.build(archive, folder, display.say)


def _publish(artefact: Path, place: Path) -> None:
    """A second name for the file where the file system allows it, else a copy; replaced as a whole."""
    part = place.with_name(f".{place.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(artefact, part)
    except OSError:
        shutil.copy2(artefact, part)
    part.replace(place)


@live_build.command(name="clean")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def clean(arguments: tuple[str, ...]) -> None:
    """Run `lb clean noauto ARGUMENTS`, then remove what our own scripts put into this folder."""
    folder = Path.cwd()
    settings = configuration.load(folder)
    try:
        project.clean(settings, folder, arguments)
    except CommandError as e:
        raise PipelineError(str(e), where="lb clean") from e
