"""Takes what a run of steps made into the build's folder: each target's artefacts, manifest and file list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from image_builder.artifacts import collect, sbom
from image_builder.build import record as records
from image_builder.build.executor import Outcome
from image_builder.build.perform import Performer
from image_builder.build.prepare import Plan
from image_builder.errors import PipelineError
from image_builder.files import write_whole
from image_builder.layers import Layer, Store
from image_builder.lock import SnapPin
from image_builder.plan.explain import RESULTS
from image_builder.plan.tree import Node, chain


@dataclass
class Harvest:
    """What there is to hand over, and what went wrong."""

    targets: list[records.TargetRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)


def harvest(plan: Plan, store: Store, performer: Performer, outcome: Outcome, folder: Path) -> Harvest:
    """Look at every target; copy the artefacts of those that are done, with SHA256SUMS."""
    found = Harvest(warnings=[*plan.warnings, *performer.warnings], errors=list(outcome.failed.values()))
    artefacts: dict[str, list[collect.Artefact]] = {}
    for target in plan.targets:
        nodes = chain(plan.roots, target.name)
        record = _target(store, performer, outcome, target.name, nodes, folder, narrowed=plan.narrowed)
        if record.status == "done":
            artefacts[target.name], missing = _artefacts(plan, store, performer, target.name, nodes)
            found.warnings += [m for m in missing if isinstance(m, str)]
            if bad := [m for m in missing if isinstance(m, Exception)]:
                found.errors += bad
                record = record.model_copy(update={"status": "failed", "error": "\n".join(map(str, bad))})
        found.targets.append(record)
    try:
        joined = collect.join(artefacts)
    except collect.ClashError as e:
        # neither of two different files is the right one; all others are delivered
        found.errors.append(e)
        for number, record in enumerate(found.targets):
            own = artefacts.get(record.name, [])
            if e.names & {a.name for a in own}:
                found.targets[number] = record.model_copy(update={"status": "failed", "error": str(e)})
                artefacts[record.name] = [a for a in own if a.name not in e.names]
        joined = collect.join(artefacts)
    for artefact in joined:
        collect.put(artefact, folder)
    write_whole(folder / "SHA256SUMS", collect.checksums(joined))
    published = {a.name for a in joined}
    for number, record in enumerate(found.targets):
        files = tuple(
            records.ArtefactRecord(file=a.name, size_bytes=a.size_bytes, sha256=a.sha256, tree_sha256=a.tree_sha256)
            for a in artefacts.get(record.name, ())
            if a.name in published
        )
        own = [a for a in artefacts.get(record.name, ()) if a.name in published]
        bill = _bill(plan, store, performer, record.name, own, folder) if record.status == "done" else ""
        found.targets[number] = record.model_copy(update={"artefacts": files, "sbom": bill})
    return found


def _bill(
    plan: Plan, store: Store, performer: Performer, target: str, artefacts: Sequence[collect.Artefact], folder: Path
) -> str:
    """Write a target's bill of materials beside its manifest; the file's name, empty for a root without packages."""
    nodes = chain(plan.roots, target)
    status = _newest(store, performer, nodes, "chroot/var/lib/dpkg/status")
    if status is None:
        return ""
    release = _newest(store, performer, nodes, "chroot/usr/lib/os-release")
    said = dict(line.split("=", 1) for line in release.read_text().splitlines() if "=" in line) if release else {}
    with status.open(encoding="utf-8", errors="replace") as lines:
        packages = sbom.installed(lines)
    text = sbom.spdx(
        target, packages, artefacts, project=plan.config.project, suite=plan.config.suite,
        vendor=said.get("ID", "debian").strip('"'), epoch=plan.epoch,
        tool=f"image-builder-{version('live-image-builder')}",
    )  # fmt: skip
    write_whole(folder / f"{target}.spdx.json", text)
    return f"{target}.spdx.json"


def seeded(node: Node) -> Sequence[SnapPin]:
    """The snaps a step has put into its root."""
    return () if node.spec.work is None else node.spec.work.snaps or ()


def _newest(store: Store, performer: Performer, nodes: Sequence[Node], path: str) -> Path | None:
    """A file of a target's root, from the highest layer that has it."""
    for node in reversed(nodes):
        layer = layer_of(store, performer, node)
        if layer is not None and (layer.diff / path).is_file():
            return layer.diff / path
    return None


def layer_of(store: Store, performer: Performer, node: Node) -> Layer | None:
    """The layer of a node, made in this build or before it."""
    return performer.built.get(node.key) or store.get(node.key)


def _target(
    store: Store, performer: Performer, outcome: Outcome, name: str, nodes: Sequence[Node], folder: Path, *,
    narrowed: bool,
) -> records.TargetRecord:  # fmt: skip
    """What became of one target, with its manifest and file list in the build's folder."""
    seconds = round(sum(outcome.done.get(n, 0.0) for n in nodes), 2)
    keys = tuple(n.key for n in nodes)
    snaps = {pin.name: pin.revision for n in nodes for pin in seeded(n)}
    failed = [n for n in nodes if n in outcome.failed]
    if failed:
        error = str(outcome.failed[failed[0]])
        return records.TargetRecord(name=name, status="failed", layers=keys, seconds=seconds, error=error)
    if narrowed or any(n in outcome.cancelled or n in outcome.blocked for n in nodes):
        return records.TargetRecord(name=name, status="stopped", layers=keys, seconds=seconds)
    texts = {"manifest": "", "files": ""}
    finish = next(n for n in nodes if n.spec.kind == "finish")
    layer = layer_of(store, performer, finish)
    for kind, file in (("manifest", "chroot.packages.live"), ("files", "chroot.files")):
        if layer is not None and (layer.diff / file).is_file():
            target = folder / f"{name}.{kind}"
            write_whole(target, (layer.diff / file).read_text(errors="surrogateescape"))
            texts[kind] = target.name
    return records.TargetRecord(
        name=name,
        status="done",
        layers=keys,
        seconds=seconds,
        manifest=texts["manifest"],
        files=texts["files"],
        snaps=snaps,
    )


def _artefacts(
    plan: Plan, store: Store, performer: Performer, name: str, nodes: Sequence[Node]
) -> tuple[list[collect.Artefact], list[str | PipelineError]]:
    """A target's artefacts, and for what it declared and did not make: a warning (a hook declined) or an error."""
    layers = []
    for node in nodes:
        if node.spec.kind in RESULTS - {"finish"}:
            layer = layer_of(store, performer, node)
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
