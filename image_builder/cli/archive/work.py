"""image-builder archive build, clean: for the package somebody works on."""

from __future__ import annotations

from collections.abc import Sequence

import click

from image_builder.archive.model import Key
from image_builder.archive.requests import Action, Request
from image_builder.archive.stages import stages_of
from image_builder.cli.archive.asking import Ask, move_options
from image_builder.cli.archive.context import Opened

FIRST = 1_000_000  # build priority: before all that anybody asks for otherwise


@click.command()
@move_options
def build(opened: Opened, ask: Ask) -> None:  # noqa: ARG001
    """Have packages built again, whatever became of them, before all others.

    They are queued in the state BD-Uninstallable until their build dependencies were looked at; what builds them is
    `image-builder archive run`, whether it runs now or is started later.
    """
    ask(Request(Action.WANT, user="", number=FIRST))


@click.command()
@move_options
def clean(opened: Opened, ask: Ask) -> None:
    """Forget what became of packages, as if they had never been built: failures, binary NMUs, what is installed.

    Their earlier attempts stay on record, with their logs. What was built is deleted, and leaves the repository with
    the next update of it.
    """
    results = stages_of(opened.config).results(opened.run.stage)

    def remove(keys: Sequence[Key]) -> None:
        for key in keys:
            results.remove(key.suite, key.architecture, key.source)

    ask(Request(Action.CLEAN, user=""), then=remove)
