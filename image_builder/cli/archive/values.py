"""image-builder archive priority, permanent-priority, binnmu, extra-depends, extra-conflicts."""

from __future__ import annotations

import click

from image_builder.archive.requests import Action, Request
from image_builder.cli.archive.asking import Ask, move_options
from image_builder.cli.archive.context import Opened

_LIMIT = click.IntRange(-1_000_000, 1_000_000)


@click.command()
@click.option("--to", "number", type=_LIMIT, required=True, metavar="NUMBER", help="Higher is sooner; 0 is usual.")
@move_options
def priority(opened: Opened, ask: Ask, number: int) -> None:  # noqa: ARG001
    """Set the build priority of packages. It goes when the version that is wanted now is built."""
    ask(Request(Action.PRIORITY, user="", number=number))


@click.command("permanent-priority")
@click.option("--to", "number", type=_LIMIT, required=True, metavar="NUMBER", help="Higher is sooner; 0 is usual.")
@move_options
def permanent_priority(opened: Opened, ask: Ask, number: int) -> None:  # noqa: ARG001
    """Set the build priority of packages, of this version and all later ones. It is added to the other."""
    ask(Request(Action.PERMANENT_PRIORITY, user="", number=number))


@click.command()
@click.option("--number", "-n", type=click.IntRange(0), required=True, metavar="N", help="Of +bN; 0 cancels one.")
@click.option("--message", "-m", default="", metavar="TEXT", help="The line in the changelog; needed unless N is 0.")
@move_options
def binnmu(opened: Opened, ask: Ask, number: int, message: str) -> None:  # noqa: ARG001
    """Build installed packages again with unchanged source, as version +bN."""
    ask(Request(Action.BINARY_NMU, user="", number=number, message=message))


@click.command("extra-depends")
@click.option("--to", "relations", required=True, metavar="LIST", help="For example: 'libfoo-dev (>= 2)'. '': none.")
@move_options
def extra_depends(opened: Opened, ask: Ask, relations: str) -> None:  # noqa: ARG001
    """Set what the builds of packages need besides their build dependencies, until they are installed."""
    ask(Request(Action.EXTRA_DEPENDS, user="", message=relations))


@click.command("extra-conflicts")
@click.option("--to", "relations", required=True, metavar="LIST", help="For example: 'libfoo-dev (<< 2)'. '': none.")
@move_options
def extra_conflicts(opened: Opened, ask: Ask, relations: str) -> None:  # noqa: ARG001
    """Set what the builds of packages must not meet, until they are installed."""
    ask(Request(Action.EXTRA_CONFLICTS, user="", message=relations))
