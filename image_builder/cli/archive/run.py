"""image-builder archive run: build what there is to build."""

from __future__ import annotations

import os
import sys

import click

from image_builder.archive.rebuild.ground import laid, utc
from image_builder.archive.rebuild.machine import emulated_all, machine, try_builds
from image_builder.archive.rebuild.passes import Rebuild
from image_builder.archive.states import State
from image_builder.cli.archive.context import Opened, archive_options
from image_builder.errors import SurroundingsError

GOOD = frozenset({State.INSTALLED, State.AUTO_NOT_FOR_US, State.NOT_FOR_US})


@click.command()
@click.option("--stage", "stages", type=int, multiple=True, help="Only this pass. May be given again.")
@click.option("--update", is_flag=True, help="Pin the archives as they are now, in a new lock.")
@archive_options
def run(opened: Opened, stages: tuple[int, ...], update: bool) -> None:
    """Build all passes of the configuration, one after the other, and end when nothing is left to do.

    Stopped or killed at any moment, the next run goes on where it was. Exit status 1 when a package was not built.
    """
    config = opened.config
    if os.geteuid() != 0:
        raise SurroundingsError("chroots and namespaces need root", where="archive run", hint="run it with sudo")
    schedule = config.schedule
    with_machine = machine(
        config.work,
        slots=schedule.slots,
        parallel=schedule.parallel,
        memory=schedule.memory,
        disk=schedule.disk,
    )
    ground = laid(config, update=update, now=utc(opened.now()), builds=True)
    try_builds(config.store, ground.tools, config.work, _say)
    with emulated_all(config.architectures, _say):
        ended = Rebuild(ground, opened.new_database, with_machine, _say).run(stages)
    opened.print(
        {name: {str(state): count for state, count in states.items()} for name, states in ended.items()},
        (f"{name}: {state} {count}" for name, states in ended.items() for state, count in sorted(states.items())),
    )
    if any(state not in GOOD and count for states in ended.values() for state, count in states.items()):
        sys.exit(1)


def _say(line: str) -> None:
    click.echo(line, err=True)
