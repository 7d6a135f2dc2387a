"""image-builder archive cycles: which sources wait for each other, and what would free them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import click

from image_builder.cli.archive.indices import Indices, index_options

SHOWN = 12  # names in a line


@click.command()
@click.option(
    "--from-nothing",
    is_flag=True,
    help="Count the base system too. Otherwise its packages are taken as built in stage 0.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@index_options
def cycles(read: Callable[[], Indices], from_nothing: bool, as_json: bool) -> None:
    """Show the cycles: sources, a shortest way round, what could be dropped, and what an older build would free.

    Within a pass these are broken by the old archive's binaries; with base "built", put what is named last into stage
    0, or name dependencies to be dropped in the configuration.
    """
    from image_builder.archive.cycles import cycles as find
    from image_builder.archive.order import build_graph
    from image_builder.archive.schedule.passes import base_system

    archive = read()
    earlier: frozenset[str] = frozenset()
    if not from_nothing:
        earlier = base_system(archive.sources, archive.binaries, archive.architecture)
    graph = build_graph(archive.sources, archive.binaries, architecture=archive.architecture, available=earlier)
    found = find(graph, archive.sources, archive.architecture)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=1))
        return
    if not found:
        click.echo("no cycles")
    for one in found:
        click.echo(f"{len(one.sources)} sources: {_some(one.sources)}")
        click.echo(f"  for one: {' → '.join(one.example)}")
        for drop in one.droppable[:SHOWN]:
            click.echo(f"  {drop.source} can do without {drop.dependency}: {drop.how}")
        if len(one.droppable) > SHOWN:
            click.echo(f"  … and {len(one.droppable) - SHOWN} more; --json has them all")
        click.echo(f"  older builds of {len(one.old)} free all of them: {_some(one.old)}")


def _some(names: Sequence[str]) -> str:
    def parts() -> Iterator[str]:
        yield ", ".join(names[:SHOWN])
        if len(names) > SHOWN:
            yield f"and {len(names) - SHOWN} more"

    return " ".join(parts())
