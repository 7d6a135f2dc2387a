"""`image-builder build` and `plan`."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from image_builder import config as configuration
from image_builder.build import progress as displays
from image_builder.build.folder import unchanged
from image_builder.build.prepare import Plan, prepare
from image_builder.cli import say_what_is_lacking
from image_builder.commands import explained
from image_builder.errors import PipelineError, SurroundingsError
from image_builder.files import give_to_caller
from image_builder.layers import Store
from proxy import upstream

if TYPE_CHECKING:
    from image_builder.build.pipeline import Result

EPILOG = """\b
Environment: PROJECT SUBPROJECT SUITE ARCH SUBARCH IMAGE_TARGETS IMAGEFORMAT PROPOSED EXTRA_PPAS
REPO_SNAPSHOT_STAMP SNAPSHOT_SERVICE_TIMESTAMP SOURCE_DATE_EPOCH
IMAGE_BUILDER_STORE IMAGE_BUILDER_OUTPUT IMAGE_BUILDER_JOBS.
Options win over the environment, the environment over image-builder.yaml."""


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """The options of everything that makes a plan."""
    options = [
        click.argument("targets", nargs=-1),
        click.option("-C", "--directory", "project_dir", type=click.Path(path_type=Path), default=Path(),
                     help="The project folder (default: this one)."),
        click.option("-c", "--config", "config_file", type=click.Path(path_type=Path),
                     help="The YAML file (default: image-builder.yaml in the project folder)."),
        click.option("--suite", help="Suite of Debian or Ubuntu: trixie, bookworm, noble."),
        click.option("--arch", "architecture", help="Its name in Debian, amd64; a foreign one is emulated."),
        click.option("--store", type=click.Path(path_type=Path), help="Layer store (default /var/lib/image-builder)."),
        click.option("--output", type=click.Path(path_type=Path), help="Where builds go (default: builds)."),
        click.option("--hooks-source", "hooks", type=click.Path(path_type=Path), help="The hooks.d to use."),
        click.option("--lock", "lock_path", type=click.Path(path_type=Path),
                     help="The lock (default: image-builder.lock in the project folder)."),
        click.option("--update", is_flag=True, help="Pin the archive anew, to this instant."),
        click.option("--snapshot", metavar="STAMP|now",
                     help="Pin the archive as it was at this instant: POSIX seconds or YYYYMMDDTHHMMSSZ."),
        click.option("--no-snapshot", "pinned", flag_value=False, default=None,
                     help="Give the steps the live network: what hooks fetch is then not pinned."),
        click.option("--json", "as_json", is_flag=True, help="JSON on stdout."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command(epilog=EPILOG)
@shared
@click.option("-n", "--dry-run", is_flag=True, help="Print the plan and build nothing.")
@click.option("--only", "hook", help="Run this hook and what is below it, and nothing after it; see `shell`.")
@click.option("-j", "--jobs", type=int, help="Steps at once (default: number of cores).")
@click.option(
    "--keep-going/--fail-fast", default=None, help="After a failure finish the other targets (default) or stop."
)
@click.option("--timeout", "timeout_s", type=float, help="Seconds one step may take (default 3600).")
@click.option("-q", "--quiet", is_flag=True, help="No progress, only the table at the end.")
def build(
    project_dir: Path, config_file: Path | None, lock_path: Path | None, update: bool, as_json: bool, dry_run: bool,
    hook: str | None, quiet: bool, **options: Any,
) -> None:  # fmt: skip
    """Build image TARGETs (default: IMAGE_TARGETS, else the configuration, else all).

    Artefacts, checksums, manifests, logs and the build record go into a folder below builds/;
    builds/latest is the newest. What an earlier build made is taken from the layer store.
    """
    with opened(project_dir, config_file, options) as (config, store):
        display = displays.make(quiet=quiet or dry_run)
        plan = prepare(config, project_dir.resolve(), store, display, update=update, lock_path=lock_path)
        if hook is not None:
            from image_builder.build.shell import only

            plan = only(plan, hook)
        for warning in plan.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        if dry_run:
            show_plan(plan, as_json=as_json)
            return
        sys.exit(carry_out(plan, store, display, as_json=as_json))


@click.command()
@shared
def plan(
    project_dir: Path, config_file: Path | None, lock_path: Path | None, update: bool, as_json: bool, **options: Any
) -> None:
    """Print the tree of layers for TARGETs: build or reuse, and why."""
    with opened(project_dir, config_file, options) as (config, store):
        made = prepare(config, project_dir.resolve(), store, displays.make(), update=update, lock_path=lock_path)
        for warning in made.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        show_plan(made, as_json=as_json)


def way_out(config: configuration.BuildConfig) -> None:
    """From now on archives are reached as the configuration says. Raises ConfigError for a proxy that cannot be one."""
    upstream.configure(
        upstream.Settings(http_proxy=config.http_proxy, https_proxy=config.https_proxy, no_proxy=config.no_proxy)
    )


class opened:
    """The configuration and the store, tried for real and cleared of what a kill left."""

    def __init__(
        self, project_dir: Path, file: Path | None, options: dict[str, Any], *, forget_failed: bool = True
    ) -> None:
        """forget_failed: what the last build's failed steps left is of no more use."""
        self._forget_failed = forget_failed
        if not project_dir.is_dir():
            raise click.UsageError(f"{project_dir}: no such folder")
        self.config = configuration.load(project_dir, file=file, options=options)
        way_out(self.config)

    def __enter__(self) -> tuple[configuration.BuildConfig, Store]:
        if os.geteuid() != 0:
            raise SurroundingsError(
                "building needs root: it mounts overlays and makes namespaces",
                where="image-builder",
                hint="run it with sudo; the results will belong to you",
            )
        self.store = Store(self.config.store)
        for line in self.store.clear_leftovers():
            print(f"cleared: {line}", file=sys.stderr)
        if self._forget_failed:
            self.store.forget_failed()
        self.store.probe()  # now that there is room where a kill or a failure had taken it
        return self.config, self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()


def carry_out(plan: Plan, store: Store, display: displays.Progress, *, as_json: bool) -> int:
    """Build, print the table, return the exit status."""
    age = plan.lock.age(datetime.now(UTC))
    display.say(f"lock: {'made now' if plan.lock_is_new else plan.lock_path}, {age}")
    if plan.lock_is_new:
        plan.lock.write(plan.lock_path)
        give_to_caller(plan.lock_path)
    if not plan.config.pinned:
        display.say("NOT PINNED (--no-snapshot): steps reach the live network, and what they fetch is on no record")
    if not plan.narrowed and (before := unchanged(plan)) is not None:
        folder, record = before
        print(f"nothing to do: {folder} is what this build would give", file=sys.stderr)
        if as_json:
            print(record.text(), end="")
        return 0
    from image_builder.build import pipeline  # a build with nothing to do should not wait for what it needs

    with display:
        result = pipeline.build(plan, store, display, threading.Event())
    for warning in result.record.warnings:
        if warning not in plan.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print(result.record.text(), end="")
    else:
        show_table(result)
    for error in result.errors:
        print(explained(error), file=sys.stderr)
    if result.errors:
        names = [t.name for t in result.record.targets if t.status != "done"]
        print(f"failed: {' '.join(names) or 'joining the artefacts'}; when mended, the same command goes on from the "
              "last finished layer", file=sys.stderr)  # fmt: skip
        # a bug among the failures keeps its traceback
        for error in result.errors:
            if not isinstance(error, PipelineError):
                raise error
        statuses = {e.exit_status for e in result.errors if isinstance(e, PipelineError)}
        if SurroundingsError.exit_status in statuses:
            say_what_is_lacking()
        return 3 if statuses == {3} else 1
    return 0


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """The tree on stdout, one line per layer."""
    if as_json:
        rows = [
            {"name": d.node.spec.name, "kind": d.node.spec.kind, "key": d.node.key, "targets": d.node.targets,
             "below": d.node.parent.key if d.node.parent else None, "action": d.action, "reason": d.reason}
            for d in plan.decisions
        ]  # fmt: skip
        print(json.dumps({"targets": [t.name for t in plan.targets], "layers": rows}, indent=2))
        return
    for d in plan.decisions:
        depth = len(d.node.stack()) - 1
        ends = [t for t in d.node.targets if not any(t in c.targets for c in d.node.children)]
        of = f"  -> {', '.join(ends)}" if ends else ""
        print(f"{'  ' * depth}{d.node.spec.name}: {d.action} ({d.reason}){of}")
    count = sum(d.action == "build" for d in plan.decisions)
    print(f"{len(plan.decisions)} layers, {count} to build", file=sys.stderr)


def show_table(result: Result) -> None:
    """Target, artefact, size, time, what was reused; on stdout."""
    record = result.record
    reused = {layer.key for layer in record.layers if layer.action == "reused"}
    rows = [("target", "artefact", "size", "time", "reused")]
    for target in record.targets:
        share = f"{sum(k in reused for k in target.layers)} of {len(target.layers)} layers"
        made = [(a.file, displays.human(a.size_bytes)) for a in target.artefacts] or [(target.status, "")]
        for number, (file, size) in enumerate(made):
            first = number == 0
            rows.append(
                (
                    target.name if first else "",
                    file,
                    size,
                    f"{target.seconds:.1f} s" if first else "",
                    share if first else "",
                )
            )
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"{result.folder}: {record.status} in {record.seconds:.1f} s")
