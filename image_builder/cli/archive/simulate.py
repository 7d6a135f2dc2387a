"""image-builder archive simulate: how long a rebuild would take, and what it needs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from image_builder.archive.words import duration
from image_builder.cli.archive.indices import FILE, Indices, index_options

GIB = 1 << 30


@click.command()
@click.option("--machines", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--slots", type=click.IntRange(1, 256), default=2, show_default=True, help="Builds at once on each.")
@click.option("--base", type=click.Choice(["old", "both", "built"]), default="both", show_default=True)
@click.option("--times", type=FILE, metavar="FILE", help="Recorded builds, lines of source,seconds; others are drawn.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same draws the same.")
@click.option("--calm", is_flag=True, help="No package fails, no machine vanishes.")
@click.option("--bounds", "only_bounds", is_flag=True, help="Only what no order can go below; takes seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@index_options
def simulate(
    read: Callable[[], Indices],
    machines: int,
    slots: int,
    base: str,
    times: Path | None,
    seed: int,
    calm: bool,
    only_bounds: bool,
    as_json: bool,
) -> None:
    """Drive a whole pass through the real scheduler and a database of its own, in simulated time; build nothing.

    Says how long it takes on these machines, how near that is to the least possible, and the space it needs. Exit
    status 1 when a package did not end as it should: a bug.
    """
    from image_builder.archive.model import Base
    from image_builder.archive.schedule.passes import base_system, plan_pass
    from image_builder.archive.simulate import forecast
    from image_builder.archive.simulate.nature import Chances, Nature, recorded_times

    archive = read()
    quiet = Chances(never=0, crowded=0, flaky=0, vanish_seconds=0, sick_seconds=0, twice=0)
    nature = Nature(seed, quiet if calm else Chances(), recorded_times(times) if times else {})
    chosen = Base(base)
    earlier = base_system(archive.sources, archive.binaries, archive.architecture) if chosen is not Base.OLD else ()
    plan = plan_pass(
        archive.sources,
        archive.binaries,
        architecture=archive.architecture,
        base=chosen,
        seconds={one.name: nature.fate(one.name).expected_seconds for one in archive.sources},
        earlier=earlier,
    )
    stored = forecast.space(archive.sources, archive.binaries)
    value: dict[str, Any] = {
        "sources": len(archive.sources),
        "borrowed": len(plan.borrowed),
        "bounds": [
            {"slots": count, "work_seconds": bound.work, "critical_seconds": bound.critical}
            for count, bound in forecast.bounds(plan, nature)
        ],
        "source_bytes": stored.sources,
        "result_bytes": stored.results,
        "build_bytes": stored.of_machines(machines * slots),
        "memory_bytes": machines * slots * forecast.BUILD_MEMORY_BYTES,
    }
    wrong: list[str] = []
    if not only_bounds:
        value["simulated"], wrong = _simulated(archive, plan, nature, machines, slots)
    if as_json:
        click.echo(json.dumps(value, indent=1))
    else:
        _print(value, machines, slots)
    if wrong:
        for line in wrong[:20]:
            click.echo(f"wrong: {line}", err=True)
        raise click.exceptions.Exit(1)


def _simulated(archive: Indices, plan: Any, nature: Any, machines: int, slots: int) -> tuple[dict[str, Any], list[str]]:
    from image_builder.archive.database.open import open_database
    from image_builder.archive.simulate.simulation import Simulation

    with (
        tempfile.TemporaryDirectory(prefix="image-builder-simulate.") as folder,
        open_database(Path(folder) / "archive.db", durable=False) as database,
    ):
        simulation = Simulation(
            database, archive.sources, plan, nature,
            machines=machines, slots_each=slots, architecture=archive.architecture,
        )  # fmt: skip
        with simulation.scheduler() as scheduler:
            simulation.go(scheduler)
        found = simulation.summary()
    return {
        "seconds": found.seconds,
        "least_seconds": found.bound.seconds,
        "ratio": found.ratio,
        "attempts": found.attempts,
        "states": {str(state): count for state, count in sorted(found.states.items())},
        "triggers": found.triggers,
        "vanished": found.work.vanished,
    }, list(found.wrong)


def _print(value: Mapping[str, Any], machines: int, slots: int) -> None:
    click.echo(f"{value['sources']} sources; {value['borrowed']} of them in cycles that older builds of theirs break")
    click.echo("\nthe least time, if every build succeeded at once:")
    click.echo("  builds at once   all work   longest chain")
    for line in value["bounds"]:
        work, critical = duration(line["work_seconds"]), duration(line["critical_seconds"])
        click.echo(f"  {line['slots']:>14}   {work:>8}   {critical:>13}")
    click.echo(
        f"\nspace: sources {value['source_bytes'] / GIB:.0f} GiB, results {value['result_bytes'] / GIB:.0f} GiB; on "
        f"{machines} machines with {slots} builds at once: disk {value['build_bytes'] / GIB:.0f} GiB, memory "
        f"{value['memory_bytes'] / GIB:.0f} GiB together"
    )
    if simulated := value.get("simulated"):
        click.echo(
            f"\nsimulated on {machines} machines with {slots} builds at once: {duration(simulated['seconds'])}, "
            f"{simulated['ratio']:.2f} of the least possible with what happened"
        )
        click.echo("  " + ", ".join(f"{count} {state}" for state, count in simulated["states"].items()))
        click.echo(
            f"  {simulated['attempts']} attempts, machines went away {simulated['vanished']} times, the repository was "
            f"looked at {simulated['triggers']} times"
        )
