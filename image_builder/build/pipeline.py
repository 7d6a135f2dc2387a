"""One build from its plan to its record."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from image_builder.build import record as records
from image_builder.build import report
from image_builder.build.archive import Packages
from image_builder.build.executor import Outcome, execute
from image_builder.build.folder import new_folder, point_latest
from image_builder.build.harvest import harvest, layer_of
from image_builder.build.network import gone, network_for
from image_builder.build.perform import Performer, place_of
from image_builder.build.prepare import Plan
from image_builder.build.progress import Progress, human
from image_builder.build.resources import Budget, cores
from image_builder.build.soundness import settled
from image_builder.build.weights import expectation
from image_builder.errors import PipelineError
from image_builder.files import give_to_caller, write_whole
from image_builder.layers import Store
from image_builder.live_build import staging
from image_builder.sandbox.emulation import emulated


@dataclass(frozen=True)
class Result:
    """A finished build. errors: what failed, each with its own exit status."""

    folder: Path
    record: records.BuildRecord
    errors: tuple[Exception, ...]


def build(plan: Plan, store: Store, progress: Progress, cancel: threading.Event) -> Result:
    """Carry the plan out. Failures of single targets are in the result; Ctrl-C and bugs are raised."""
    started, began = datetime.now(UTC), time.monotonic()
    plan = settled(plan, store, progress)
    folder = new_folder(plan, started)
    performer, outcome = _run(plan, store, progress, cancel, folder)
    found = harvest(plan, store, performer, outcome, folder)
    network = performer.network
    if (lost := gone(network)) is not None and lost not in found.errors:
        found.errors.append(lost)
    trimmed = trim(plan, progress)
    stopped = bool(outcome.cancelled or plan.narrowed) and not found.errors
    record = records.BuildRecord(
        started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds=round(time.monotonic() - began, 2),
        status="stopped" if stopped else "failed" if found.errors else "done",
        asked=plan.config.model_dump(mode="json"),
        lock=plan.lock,
        source_date_epoch=plan.epoch,
        tools={"live-build": plan.tools.live_build, "tool-root": plan.tools.digest},
        targets=tuple(found.targets),
        layers=_layers(plan, store, performer, outcome, folder, began),
        hooks=staging.digests(plan.hooks_d),
        network=network.record(),
        warnings=(*found.warnings, *network.warnings(), *trimmed),
    )
    write_whole(folder / records.RECORD_NAME, record.text())
    report.write(record, folder)
    if not plan.narrowed:
        point_latest(plan, folder)
    give_to_caller(folder.parent)
    return Result(folder, record, tuple(found.errors))


def _run(
    plan: Plan, store: Store, progress: Progress, cancel: threading.Event, folder: Path
) -> tuple[Performer, Outcome]:
    """Perform every step that is to be built, with its packages fetched ahead of it."""
    jobs = plan.config.jobs or cores()
    usage = {id(n): store.recall("usage", place_of(n)) or {} for r in plan.roots for n in r.walk()}
    budget = Budget(lambda node: usage[id(node)].get("bytes"))
    packages = Packages(plan.archive.blobs, plan.archive.addresses)
    to_build = [d.node for d in plan.decisions if d.action == "build"]
    for node in to_build:
        if node.spec.work.solution is not None:
            packages.want(node.spec.work.solution)
        if node.spec.work.snaps is not None:
            plan.snaps.want(node.spec.work.snaps)
    foreign = emulated(plan.config.architecture) if plan.config.foreign and to_build else nullcontext("")
    steps = network_for(
        plan.archive, folder / "logs/proxy", progress, cancel, pinned=plan.config.pinned, used=bool(to_build)
    )
    try:
        with foreign as how, steps as network:
            if how:
                progress.say(f"programs of {plan.config.architecture} are run {how}")
            performer = Performer(
                store=store, tools=plan.tools, archive=plan.archive, packages=packages, snaps=plan.snaps,
                network=network,
                logs=folder / "logs", progress=progress, budget=budget, jobs=jobs, timeout_s=plan.config.timeout_s,
                cancel=cancel,
            )  # fmt: skip
            outcome = execute(
                plan.decisions, performer, jobs=jobs, keep_going=plan.config.keep_going, cancel=cancel, budget=budget,
                expected=expectation(lambda node: usage[id(node)]),
            )  # fmt: skip
    finally:
        packages.close()
        plan.snaps.close()
    return performer, outcome


def trim(plan: Plan, progress: Progress) -> list[str]:
    """See to it that what builds have fetched does not grow without end. A build that is done does not fail by it."""
    if all(decision.action != "build" for decision in plan.decisions):
        return []  # nothing was fetched
    try:
        gone = plan.archive.trim()
    except PipelineError as e:
        return [f"what was fetched by earlier builds could not be pruned: {e}"]
    if gone is not None:
        progress.say(
            f"{human(gone.freed_bytes)} of downloads removed, unused for longest: more than snapshot_store_size"
        )
    return []


def _layers(
    plan: Plan, store: Store, performer: Performer, outcome: Outcome, folder: Path, began: float
) -> tuple[records.LayerRecord, ...]:
    found = []
    for decision in plan.decisions:
        node = decision.node
        action: str = {"reuse": "reused", "skip": "skipped"}.get(decision.action, "built")
        reason = decision.reason
        if node in performer.taken:
            action, reason = "reused", performer.taken[node]
        if node in outcome.failed:
            action = "failed"
        elif node in outcome.blocked:
            action = "blocked"
        elif node in outcome.cancelled:
            action = "stopped"
        layer = layer_of(store, performer, node) if action in {"built", "reused"} else None
        log = performer.log_of(node)
        epoch = layer.meta.get("source_date_epoch") if layer else None
        found.append(records.LayerRecord(
            key=node.key, name=node.spec.name, kind=node.spec.kind, below=node.parent.key if node.parent else None,
            targets=tuple(node.targets), action=action, reason=reason,  # type: ignore[arg-type]
            seconds=round(outcome.done.get(node, 0.0), 2), size_bytes=layer.size_bytes if layer else 0,
            source_date_epoch=int(epoch) if epoch is not None else None,
            began_s=round(performer.began[node.key] - began, 2) if node.key in performer.began else None,
            inputs=dict(node.spec.inputs),
            log=str(log.relative_to(folder)) if log.exists() else "",
            notes=tuple(layer.meta.get("notes") or ()) if layer else (),
        ))  # fmt: skip
    return tuple(found)
