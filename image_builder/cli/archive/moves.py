"""image-builder archive take, built, attempted, uploaded, failed, dep-wait, give-back, no-build, cancel."""

from __future__ import annotations

import click

from image_builder.archive.requests import Action, Request
from image_builder.cli.archive.asking import Ask, move_options
from image_builder.cli.archive.context import Opened


@click.command()
@move_options
def take(opened: Opened, ask: Ask) -> None:  # noqa: ARG001
    """Take packages, to build them somewhere else: nobody here does while they are yours."""
    ask(Request(Action.TAKE, user=""))


@click.command()
@move_options
def built(opened: Opened, ask: Ask) -> None:  # noqa: ARG001
    """Say of packages you have taken that they were built."""
    ask(Request(Action.BUILT, user=""))


@click.command()
@click.option("--message", "-m", default="", metavar="TEXT", help="What went wrong.")
@move_options
def attempted(opened: Opened, ask: Ask, message: str) -> None:  # noqa: ARG001
    """Say of packages you have taken that their build failed, and that nobody has judged yet why."""
    ask(Request(Action.ATTEMPTED, user="", message=message))


@click.command()
@move_options
def uploaded(opened: Opened, ask: Ask) -> None:  # noqa: ARG001
    """Say of packages you have taken that their results were handed over. With a binary NMU, give NAME_VERSION+bN."""
    ask(Request(Action.UPLOADED, user=""))


@click.command()
@click.option("--message", "-m", required=True, metavar="TEXT", help="What is wrong with it.")
@move_options
def failed(opened: Opened, ask: Ask, message: str) -> None:  # noqa: ARG001
    """Judge that packages need another version of their source. They are not tried again until there is one."""
    ask(Request(Action.FAILED, user="", message=message))


@click.command("dep-wait")
@click.option("--message", "-m", "depends", required=True, metavar="LIST", help="As 'libfoo-dev (>= 2), bar'.")
@move_options
def dep_wait(opened: Opened, ask: Ask, depends: str) -> None:  # noqa: ARG001
    """Let packages wait until the dependencies named exist. A second list is added to the first."""
    ask(Request(Action.DEP_WAIT, user="", message=depends))


@click.command("give-back")
@click.option("--message", "-m", default="", metavar="TEXT", help="Why.")
@move_options
def give_back(opened: Opened, ask: Ask, message: str) -> None:  # noqa: ARG001
    """Try packages again. They are queued as soon as their build dependencies were looked at."""
    ask(Request(Action.GIVE_BACK, user="", message=message))


@click.command("no-build")
@click.option("--message", "-m", default="", metavar="TEXT", help="Why.")
@move_options
def no_build(opened: Opened, ask: Ask, message: str) -> None:  # noqa: ARG001
    """Never build packages here (Not-For-Us). Asked for a second time, they are Failed, from where they can be given
    back with --override. What the blacklist of the configuration names is allowed again there."""
    ask(Request(Action.NO_BUILD, user="", message=message))


@click.command()
@click.option("--message", "-m", default="", metavar="TEXT", help="Why.")
@move_options
def cancel(opened: Opened, ask: Ask, message: str) -> None:  # noqa: ARG001
    """Stop builds that run. The packages stay Build-Attempted until they are given back; a late result is refused."""
    ask(Request(Action.CANCEL, user="", message=message))
