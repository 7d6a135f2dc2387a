"""image-builder archive status: counts by state, rate, time left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import click

from image_builder.archive.database.records import Run
from image_builder.archive.states import State
from image_builder.archive.summary import Progress, progress
from image_builder.archive.words import duration
from image_builder.cli.archive.context import Opened, archive_options


@click.command()
@click.option("--all", "every", is_flag=True, help="Every run, not only the newest.")
@archive_options
def status(opened: Opened, every: bool) -> None:
    """How far the rebuild is: packages by state for each run, suite and architecture; rate, and time left."""
    runs = opened.database.runs() if every else [opened.run]
    now = opened.now()
    seen = [(run, progress(opened.database, run, now)) for run in runs]
    opened.print([_plain(run, one) for run, one in seen], _lines(seen))


def _lines(seen: list[tuple[Run, Progress]]) -> Iterator[str]:
    for number, (run, one) in enumerate(seen):
        if number:
            yield ""
        began = datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%d %H:%M")
        ended = "" if run.finished is None else f", ended after {duration(run.finished - run.started)}"
        yield f"{run.name} (against {_BASES[run.base]}), begun {began} UTC{ended}"
        for (suite, architecture), counts in sorted(one.states.items()):
            yield f"  {suite} {architecture}: {sum(counts.values())} packages"
            for state in State:
                if state in counts:
                    yield f"    {state:<18} {counts[state]:>7}{_causes(one, state) if len(one.states) == 1 else ''}"
        if one.building:
            yield f"  building: {', '.join(sorted(key.source for key in one.building)[:8])}" + (
                f" and {len(one.building) - 8} more" if len(one.building) > 8 else ""
            )
        if one.per_hour:
            yield f"  {one.per_hour:.1f} builds an hour" + (
                f", {duration(one.seconds_left)} left for the {one.open} in the queue" if one.seconds_left else ""
            )


_BASES = {"old": "the old archive", "built": "what was built here", "both": "both archives"}


def _causes(one: Progress, state: State) -> str:
    causes = [f"{number} {cause}" for (of, cause), number in sorted(one.causes.items()) if of is state]
    return f"   ({', '.join(causes)})" if causes else ""


def _plain(run: Run, one: Progress) -> dict[str, object]:
    states: list[Mapping[str, object]] = [
        {"suite": suite, "architecture": architecture, "states": {state.value: n for state, n in counts.items()}}
        for (suite, architecture), counts in sorted(one.states.items())
    ]
    return {
        "run": run.name,
        "stage": run.stage,
        "base": run.base,
        "started": run.started,
        "finished": run.finished,
        "packages": states,
        "causes": [{"state": s, "cause": c, "packages": n} for (s, c), n in sorted(one.causes.items())],
        "building": [
            {"source": key.source, "suite": key.suite, "architecture": key.architecture} for key in sorted(one.building)
        ],
        "builds_per_hour": one.per_hour,
        "open": one.open,
        "seconds_left": one.seconds_left,
    }
