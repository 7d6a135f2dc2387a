"""image-builder archive demo: a small rebuild of real packages, whole, with nothing set up by hand."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from image_builder.archive.configuration import load_archive_config
from image_builder.archive.database.open import open_database
from image_builder.archive.publish.indices import SuiteDescription
from image_builder.archive.publish.place import place_at
from image_builder.archive.publish.publish import publish
from image_builder.archive.publish.signing import Signer
from image_builder.archive.rebuild.demo import begin, prove
from image_builder.archive.rebuild.ground import laid, utc
from image_builder.archive.rebuild.machine import machine, try_builds
from image_builder.archive.rebuild.passes import Rebuild
from image_builder.archive.states import State
from image_builder.errors import PipelineError, SurroundingsError
from image_builder.layers.store import DEFAULT_ROOT
from proxy.archive.sources import DEBIAN_URI


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path("archive-demo"))
@click.option(
    "--store",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    default=DEFAULT_ROOT,
    show_default=True,
    envvar="IMAGE_BUILDER_STORE",
    help="Where chroots and downloads are kept.",
)
@click.option("--suite", default="trixie", show_default=True, help="What is rebuilt.")
@click.option("--mirror", default=DEBIAN_URI, show_default=True, help="Where from.")
def demo(folder: Path, store: Path, suite: str, mirror: str) -> None:
    """Rebuild two real packages in two passes, publish them, install and run them in a fresh chroot.

    lzop needs a library of lzo2 to build: in stage 1 it is built with the one from stage 0. What is left in FOLDER is a
    whole rebuild, with its configuration, database, results and published repository, to look at with the other
    commands of `image-builder archive`. Takes about four minutes the first time; goes on where it was stopped.
    """
    if os.geteuid() != 0:
        raise SurroundingsError("chroots and namespaces need root", where="archive demo", hint="run it with sudo")
    path = begin(folder, store=store.absolute(), suite=suite, mirror=mirror)
    config = load_archive_config(path)
    now = time.time()
    ground = laid(config, update=False, now=utc(now), builds=True)
    try_builds(config.store, ground.tools, config.work, _say)
    with open_database(config.database) as database:
        this = machine(config.work, slots=config.schedule.slots, parallel=None, memory=None, disk=None)
        ended = Rebuild(ground, database, this, _say).run()
    bad = [f"{run}: {count} {state}" for run, states in ended.items() for state, count in states.items()
           if state not in (State.INSTALLED, State.AUTO_NOT_FOR_US)]  # fmt: skip
    if bad:
        raise PipelineError("; ".join(bad), where=folder, hint=f"cd {folder}; image-builder archive status")
    _say("publishing")
    date = int(max(pin.date for pin in ground.pinned.pins).timestamp())
    target = Path(config.publish.to)
    description = SuiteDescription(suite=config.suite, origin=config.publish.origin, label="rebuilt by image-builder")
    publish(
        ground.repository,
        place_at(str(target), state=config.work / "publish"),
        [description],
        date=date,
        signer=Signer.own(config.results.with_name("signing-key"), date),
        cache=config.work / "publish/cache",
    )
    _say("installing what was built in a fresh chroot")
    proof = prove(ground, target, folder.absolute())
    click.echo(proof.policy + proof.said.partition("\n")[0])
    _say(f"done: cd {folder}; image-builder archive status; the repository is {target}")


def _say(line: str) -> None:
    click.echo(line, err=True)
