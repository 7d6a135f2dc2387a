"""image-builder archive plan: what a rebuild would do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import click

from image_builder.archive.planning import Planned
from image_builder.archive.planning import plan as planned
from image_builder.archive.rebuild.choosing import chosen
from image_builder.archive.rebuild.ground import laid, utc
from image_builder.cli.archive.context import Opened, archive_options

SHOWN = 20  # blocked packages, unless all are asked for


@click.command()
@click.option("--stage", "stages", type=int, multiple=True, help="Only this pass. May be given again.")
@click.option("--update", is_flag=True, help="Pin the archives as they are now, in a new lock.")
@click.option("--all", "every", is_flag=True, help=f"Show all packages that cannot be built, not only {SHOWN}.")
@archive_options
def plan(opened: Opened, stages: tuple[int, ...], update: bool, every: bool) -> None:
    """Say how many packages each pass would build, and which cannot be built, and why. Nothing is built or written.

    What builds need is looked for among the archive's binaries and the local packages.
    """
    config = opened.config
    ground = laid(config, update=update, now=utc(opened.now()))
    found = [
        planned(config, ground.archive, one, chosen(ground, one), config.work / "dose")
        for one in config.passes
        if not stages or one.stage in stages
    ]
    opened.print([_plain(one) for one in found], _lines(config.name, found, None if every else SHOWN))


def _plain(one: Planned) -> dict[str, object]:
    return {
        "stage": one.stage,
        "base": str(one.base),
        "packages": {name: {str(s): count for s, count in states.items()} for name, states in one.counts.items()},
        "blocked": [
            {
                "source": package.key.source,
                "architecture": package.key.architecture,
                "version": package.version,
                "problem": package.bd_problem,
                "reasons": json.loads(package.bd_chain or "[]"),
            }
            for package in one.blocked
        ],
    }


def _lines(name: str, found: Iterable[Planned], shown: int | None) -> Iterator[str]:
    for one in found:
        yield f"{name} stage {one.stage}, against {one.base}"
        for architecture, states in one.counts.items():
            counts = ", ".join(f"{count} {state}" for state, count in states.items())
            yield f"  {architecture}: {counts}"
        for package in one.blocked[:shown]:
            yield f"  {package.key.source} {package.version} ({package.key.architecture}) cannot be built:"
            yield from (f"    {line}" for line in package.bd_problem.splitlines())
        if shown is not None and len(one.blocked) > shown:
            yield f"  and {len(one.blocked) - shown} more: --all shows them"
