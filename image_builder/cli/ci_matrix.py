"""`image-builder ci-matrix`: the targets as jobs for a CI system."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from image_builder.build import jobs
from image_builder.build import progress as displays
from image_builder.build.perform import place_of
from image_builder.build.prepare import prepare
from image_builder.build.weights import expectation
from image_builder.cli.build import opened, shared


@click.command("ci-matrix")
@shared
@click.option("--by-branch", is_flag=True, help="One job per finished root instead of one per target.")
@click.option("--for", "system", type=click.Choice(["github", "gitlab"]), default="github", show_default=True,
              help="github: a matrix; gitlab: a child pipeline whose jobs extend `.image`.")  # fmt: skip
@click.option("--template", default="docs/ci/gitlab-image.yml", show_default=True,
              help="With --for gitlab: the file of the project that holds `.image`.")  # fmt: skip
def ci_matrix(
    project_dir: Path, config_file: Path | None, lock_path: Path | None, update: bool, by_branch: bool, system: str,
    template: str, **options: Any,
) -> None:  # fmt: skip
    """Print TARGETs (default: as for build) as jobs, heaviest first, in JSON.

    \b
    image-builder lock                          first job: one instant for all
    image-builder ci-matrix >matrix.json        what the other jobs are
    image-builder build --lock FILE TARGET      one of them, on any machine
    image-builder collect DIR...                last job: their results joined

    A job's weight is the seconds its steps took last time on this machine, or a guess.
    """
    del options["as_json"]  # it is JSON anyway
    with opened(project_dir, config_file, options) as (config, store):
        plan = prepare(config, project_dir.resolve(), store, displays.make(), update=update, lock_path=lock_path)
        if plan.lock_is_new:
            print(
                f"warning: there is no lock; each job would make its own: image-builder lock --lock {plan.lock_path}",
                file=sys.stderr,
            )
        expected = expectation(lambda node: store.recall("usage", place_of(node)))
        found = jobs.jobs(plan.roots, [t.name for t in plan.targets], expected, by_branch=by_branch)
    print(json.dumps(jobs.github(found) if system == "github" else jobs.gitlab(found, template), indent=2))
