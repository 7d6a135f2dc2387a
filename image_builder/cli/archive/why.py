"""image-builder archive why: what a package waits for, and what waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from image_builder.archive.states import Package, State
from image_builder.archive.waiting import Needed, Waiting, waiting
from image_builder.archive.words import moment
from image_builder.cli.archive.context import Opened, archive_options, one_package

_SHOWN = 20


@click.command()
@click.argument("package", metavar="PACKAGE")
@click.option("--suite", help="Where there are several.")
@click.option("--architecture", help="Where there are several.")
@archive_options
def why(opened: Opened, package: str, suite: str | None, architecture: str | None) -> None:
    """Why a package is where it is: what it waits for, who makes that; and what waits for it."""
    found = [waiting(opened.database, opened.run, one) for one in one_package(opened, package, suite, architecture)]
    opened.print([_plain(one) for one in found], (line for one in found for line in _lines(one, opened.now())))


def _lines(one: Waiting, now: float) -> Iterator[str]:
    package = one.package
    key = package.key
    yield f"{key.source} {package.full_version} ({key.suite} {key.architecture}) is {package.state}"
    for line in _reason(package, now).splitlines():
        yield f"  {line}"
    if one.place is not None:
        yield f"  it is number {one.place} in the queue"
    for needed in one.needs:
        yield f"  {needed.name}: {_made(needed)}"
    if one.needed_by:
        yield f"  {len(one.needed_by)} wait for it:"
        yield from (f"    {other}" for other in one.needed_by[:_SHOWN])
        if len(one.needed_by) > _SHOWN:
            yield f"    and {len(one.needed_by) - _SHOWN} more"
    else:
        yield "  nothing waits for it"


def _reason(package: Package, now: float) -> str:
    said = {
        State.BD_UNINSTALLABLE: package.bd_problem,
        State.DEP_WAIT: f"waits for {package.depends}",
        State.FAILED: package.failed,
        State.BUILDING: f"{package.builder} has been building it since {moment(package.state_change)}",
    }.get(package.state, "")
    cause = f"{package.cause}: {package.reason}" if package.cause and package.reason else str(package.cause)
    delay = f"not before {moment(package.not_before)}" if package.not_before > now else ""
    return "\n".join(filter(None, (said, cause, delay)))


def _made(needed: Needed) -> str:
    if needed.by is None:
        return "no source of this run makes it"
    return f"made by {needed.by.key.source} {needed.by.full_version}, which is {needed.by.state}"


def _plain(one: Waiting) -> dict[str, object]:
    key = one.package.key
    return {
        **asdict(key),
        "version": one.package.full_version,
        "state": one.package.state,
        "problem": one.package.bd_problem,
        "depends": one.package.depends,
        "cause": one.package.cause,
        "reason": one.package.reason,
        "not_before": one.package.not_before,
        "place": one.place,
        "needs": [
            {
                "package": needed.name,
                "made_by": None if needed.by is None else needed.by.key.source,
                "state": None if needed.by is None else needed.by.state,
            }
            for needed in one.needs
        ],
        "needed_by": list(one.needed_by),
    }
