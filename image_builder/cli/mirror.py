"""`image-builder mirror`: fetch beforehand what the targets need."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from image_builder.apt.solution import Package, Solution
from image_builder.build import progress as displays
from image_builder.build.prepare import Plan, prepare
from image_builder.build.tools import Maker
from image_builder.cli.build import opened, shared
from image_builder.files import give_to_caller
from image_builder.lock import ArchivePin
from proxy.cli.mirror import Progress, drop_option, show_report, to_option
from proxy.mirror import Report, Want
from proxy.mirror import mirror as fetch_all


@click.command()
@shared
@to_option
@drop_option
@click.option(
    "-j", "--jobs", "at_once", type=click.IntRange(1, 64), default=4, show_default=True, help="Files at once."
)
def mirror(
    project_dir: Path, config_file: Path | None, lock_path: Path | None, update: bool, as_json: bool,
    folder: Path | None, drop: Path | None, at_once: int, **options: Any,
) -> None:  # fmt: skip
    """Fetch all packages that building TARGETs installs, whether or not a layer has them already, and the tool root's.

    A build with the lock that is used here then needs no network. The same call goes on where an earlier one
    stopped. Exit status 1 when something is missing or has failed; it is listed then.
    """
    with opened(project_dir, config_file, options) as (config, store):
        display = displays.make()
        plan = prepare(config, project_dir.resolve(), store, display, update=update, lock_path=lock_path)
        for warning in plan.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        if plan.lock_is_new:
            plan.lock.write(plan.lock_path)
            give_to_caller(plan.lock_path)
        for name in unforeseen(plan):
            print(f"warning: {name}: apt chooses its packages when it is built; they are not fetched", file=sys.stderr)
        wanted = packages_of(plan)
        show = Progress()
        report = fetch_all(
            plan.lock.archives, plan.archive.sources, Want(files=[(p.uri, p.sha256) for p in wanted]),
            keyring=plan.archive.keyring, cache=plan.archive.cache, folder=folder, drop=drop, jobs=at_once,
            progress=show,
        )  # fmt: skip
        if plan.tools.pins:
            report.add(_tools(Maker(store, config, display), plan.tools.pins, drop, at_once, show))
        else:
            print(
                "warning: the lock names no tool root, so it is not fetched; --update writes it down", file=sys.stderr
            )
        show.end()
        if folder is not None and folder.exists():
            give_to_caller(folder)
        show_report(report, as_json=as_json)
        if not report.complete:
            sys.exit(1)  # an Exit of click would be lost on the way up


def _tools(maker: Maker, pins: Sequence[ArchivePin], drop: Path | None, at_once: int, show: Progress) -> Report:
    """Fetch what the tool root is made of: into the store alone, for only builds ask for it."""
    packages = maker.solution(pins).packages
    return fetch_all(
        pins, [maker.source], Want(files=[(p.uri, p.sha256) for p in packages]),
        keyring=maker.keyring, cache=maker.cache, drop=drop, jobs=at_once, progress=show,
    )  # fmt: skip


def packages_of(plan: Plan) -> list[Package]:
    """What the steps of a plan install, each once; what lies in the project (config/packages.chroot) is there."""
    found: dict[str, Package] = {}
    for decision in plan.decisions:
        solution = decision.node.spec.work.solution
        while isinstance(solution, Solution):
            found |= {package.sha256: package for package in solution.packages}
            solution = solution.below
    return sorted(p for p in found.values() if not p.uri.startswith("file:/packages/"))


def unforeseen(plan: Plan) -> list[str]:
    """Steps that install packages nobody can tell beforehand: what a hook of an early step adds to the lists, say."""
    specs = [decision.node.spec for decision in plan.decisions]
    return [spec.name for spec in specs if spec.kind in {"base", "packages"} and spec.work.solution is None]
