"""One build from its plan to its folder: steps, artefacts, checksums, manifests, record."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from image_builder.artifacts import collect
from image_builder.build import record as records
from image_builder.build.archive import Packages
from image_builder.build.executor import Outcome, execute
from image_builder.build.perform import Performer, place_of
from image_builder.build.prepare import Plan
from image_builder.build.progress import Progress
from image_builder.build.resources import Budget, cores
from image_builder.errors import PipelineError
from image_builder.files import give_to_caller, write_whole
from image_builder.layers import Layer, Store
from image_builder.plan.explain import RESULTS
from image_builder.plan.tree import Node, chain

DEFAULT_SECONDS = {
    "base": 20.0,
    "prepare": 3.0,
    "packages": 40.0,
    "finish": 8.0,
    "image": 60.0,
    "binary": 30.0,
    "pack": 5.0,
}
Status = Literal["done", "failed", "stopped"]


@dataclass(frozen=True)
class Result:
    """A finished build. errors: what failed, each with its own exit status."""

    folder: Path
    record: records.BuildRecord
    errors: tuple[Exception, ...]
    unchanged: bool = False


def latest(plan: Plan) -> Path:
    """The link to the newest build's folder."""
    return plan.project_dir / plan.config.output / "latest"


def unchanged(plan: Plan) -> Result | None:
    """The last build, when this one would give the same: every result layer stored, its folder whole."""
    if any(d.action == "build" for d in plan.decisions):
        return None
    folder = latest(plan).resolve()
    before = records.BuildRecord.read(folder)
    if before is None or before.status != "done" or before.lock.digest != plan.lock.digest:
        return None
    now = {t.name: [n.key for n in chain(plan.roots, t.name)] for t in plan.targets}
    if {t.name: list(t.layers) for t in before.targets} != now:
        return None
    for artefact in {a for t in before.targets for a in t.artefacts}:
        path = folder / artefact.file
        if not path.exists() or (artefact.sha256 and path.stat().st_size != artefact.size_bytes):
            return None
    return Result(folder, before, (), unchanged=True)


def build(plan: Plan, store: Store, progress: Progress, cancel: threading.Event) -> Result:
    """Carry the plan out. Failures of single targets are in the result; Ctrl-C and bugs are raised."""
    started, began = datetime.now(UTC), time.monotonic()
    folder = _new_folder(plan, started)
    jobs = plan.config.jobs or cores()
    usage = {id(n): store.recall("usage", place_of(n)) or {} for r in plan.roots for n in r.walk()}
    budget = Budget(lambda node: usage[id(node)].get("bytes"))
    packages = Packages(plan.archive.blobs)
    # Lists are unpacked by the first step that needs them; without a step, never.
    to_build = [d.node for d in plan.decisions if d.action == "build"]
    lists = plan.archive.lists if any(n.spec.work.archive for n in to_build) else Path("/nonexistent")
    for node in to_build:
        if node.spec.work.solution is not None:
            packages.want(node.spec.work.solution)
    performer = Performer(
        store=store, tools=plan.tools, lists=lists, blobs=plan.archive.blobs, packages=packages, logs=folder / "logs",
        progress=progress, budget=budget, jobs=jobs, timeout_s=plan.config.timeout_s, cancel=cancel,
    )  # fmt: skip
    try:
        outcome = execute(
            plan.decisions, performer, jobs=jobs, keep_going=plan.config.keep_going, cancel=cancel, budget=budget,
            expected=lambda n: float(usage[id(n)].get("seconds") or DEFAULT_SECONDS.get(n.spec.kind, 3.0)),
        )  # fmt: skip
    finally:
        packages.close()
    errors: list[Exception] = list(outcome.failed.values())
    targets, artefacts = [], {}
    warnings = [*plan.warnings, *performer.warnings]
    for target in plan.targets:
        nodes = chain(plan.roots, target.name)
        one = _target(store, performer, outcome, target.name, nodes, folder)
        if one.status == "done":
            artefacts[target.name], missing = _artefacts(plan, store, performer, target.name, nodes)
            warnings += [str(m) for m in missing if isinstance(m, str)]
            errors += (bad := [m for m in missing if isinstance(m, Exception)])
            if bad:
                one = one.model_copy(update={"status": "failed", "error": "\n".join(map(str, bad))})
        targets.append(one)
    try:
        joined = collect.join(artefacts)
    except PipelineError as e:
        errors.append(e)
        joined = []
    for artefact in joined:
        collect.put(artefact, folder)
    write_whole(folder / "SHA256SUMS", collect.checksums(joined))
    published = {a.name for a in joined}
    targets = [
        t.model_copy(update={"artefacts": tuple(
            records.ArtefactRecord(file=a.name, size_bytes=a.size_bytes, sha256=a.sha256)
            for a in artefacts.get(t.name, ()) if a.name in published)})
        for t in targets
    ]  # fmt: skip
    stopped = bool(outcome.cancelled) and not errors
    status: Status = "stopped" if stopped else "failed" if errors else "done"
    record = records.BuildRecord(
        started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds=round(time.monotonic() - began, 2),
        status=status,
        asked=plan.config.model_dump(mode="json"),
        lock=plan.lock,
        source_date_epoch=plan.epoch,
        tools={"live-build": plan.tools.live_build, "tool-root": plan.tools.digest},
        targets=tuple(targets),
        layers=_layers(plan, store, performer, outcome, folder),
        warnings=tuple(warnings),
    )
    write_whole(folder / records.RECORD_NAME, record.text())
    _point_latest(plan, folder)
    give_to_caller(folder.parent)
    return Result(folder, record, tuple(errors))


def _new_folder(plan: Plan, started: datetime) -> Path:
    base = plan.project_dir / plan.config.output
    stamp = started.strftime("%Y-%m-%dT%H.%M.%SZ")
    for suffix in ("", *(f"-{n}" for n in range(2, 1000))):
        folder = base / f"{stamp}{suffix}"
        try:
            (folder / "logs").mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as e:
            raise PipelineError(f"cannot be made: {e.strerror}", where=folder, hint="choose another --output") from e
        return folder
    raise PipelineError("a thousand builds in one second", where=base)


def _point_latest(plan: Plan, folder: Path) -> None:
    link = latest(plan)
    part = link.with_name(f".latest.{folder.name}")
    part.unlink(missing_ok=True)
    part.symlink_to(folder.name)
    part.replace(link)


def _layer(store: Store, performer: Performer, node: Node) -> Layer | None:
    return performer.built.get(node.key) or store.get(node.key)


def _target(
    store: Store, performer: Performer, outcome: Outcome, name: str, nodes: Sequence[Node], folder: Path
) -> records.TargetRecord:
    """What became of one target, with its manifest and file list in the build's folder."""
    seconds = round(sum(outcome.done.get(n, 0.0) for n in nodes), 2)
    keys = tuple(n.key for n in nodes)
    failed = [n for n in nodes if n in outcome.failed]
    if failed:
        error = str(outcome.failed[failed[0]])
        return records.TargetRecord(name=name, status="failed", layers=keys, seconds=seconds, error=error)
    if any(n in outcome.cancelled or n in outcome.blocked for n in nodes):
        return records.TargetRecord(name=name, status="stopped", layers=keys, seconds=seconds)
    texts = {"manifest": "", "files": ""}
    finish = next(n for n in nodes if n.spec.kind == "finish")
    layer = _layer(store, performer, finish)
    for kind, file in (("manifest", "chroot.packages.live"), ("files", "chroot.files")):
        if layer is not None and (layer.diff / file).is_file():
            target = folder / f"{name}.{kind}"
            write_whole(target, (layer.diff / file).read_text(errors="surrogateescape"))
            texts[kind] = target.name
    return records.TargetRecord(
        name=name, status="done", layers=keys, seconds=seconds, manifest=texts["manifest"], files=texts["files"]
    )


def _artefacts(
    plan: Plan, store: Store, performer: Performer, name: str, nodes: Sequence[Node]
) -> tuple[list[collect.Artefact], list[str | PipelineError]]:
    """A target's artefacts, and for what it declared and did not make: a warning (a hook declined) or an error."""
    layers = []
    for node in nodes:
        if node.spec.kind in RESULTS - {"finish"}:
            layer = _layer(store, performer, node)
            if layer is None:
                return [], [PipelineError("its layer is gone from the store", where=node.spec.name, hint="build again")]
            layers.append((layer.diff, layer.meta))
    provides = plan.provides[name]
    found = collect.of_target(name, layers, provides)
    missing = [p for p in provides if p not in {a.name for a in found}]
    declined = [str(meta["name"]) for _, meta in layers if meta.get("declined")]
    declined += plan.left_out.get(name, ())
    if plan.config.image_format == "none":
        return found, []
    said: list[str | PipelineError] = []
    for wanted in missing:
        if declined:
            said.append(f"{name}: {wanted} was not made: {', '.join(declined)} declined")
        else:
            said.append(
                PipelineError(f"declares {wanted} by `provides`, but no hook made it", where=f"target {name}",
                              hint="correct the name, or see the logs of its binary hooks"))  # fmt: skip
    return found, said


def _layers(
    plan: Plan, store: Store, performer: Performer, outcome: Outcome, folder: Path
) -> tuple[records.LayerRecord, ...]:
    found = []
    for decision in plan.decisions:
        node = decision.node
        action: str = {"reuse": "reused", "skip": "skipped"}.get(decision.action, "built")
        reason = decision.reason
        if node in performer.taken:
            action, reason = "reused", "made by another build meanwhile"
        if node in outcome.failed:
            action = "failed"
        elif node in outcome.blocked:
            action = "blocked"
        elif node in outcome.cancelled:
            action = "stopped"
        layer = _layer(store, performer, node) if action in {"built", "reused"} else None
        log = performer.log_of(node)
        epoch = layer.meta.get("source_date_epoch") if layer else None
        found.append(records.LayerRecord(
            key=node.key, name=node.spec.name, kind=node.spec.kind, below=node.parent.key if node.parent else None,
            targets=tuple(node.targets), action=action, reason=reason,  # type: ignore[arg-type]
            seconds=round(outcome.done.get(node, 0.0), 2), size_bytes=layer.size_bytes if layer else 0,
            source_date_epoch=int(epoch) if epoch is not None else None,
            log=str(log.relative_to(folder)) if log.exists() else "",
        ))  # fmt: skip
    return tuple(found)
