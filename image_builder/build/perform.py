"""Carries out one step: stages its files, runs its script over the layers below it, checks, keeps the layer."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from image_builder.apt.handover import hand_over
from image_builder.artifacts.collect import found_in
from image_builder.build.archive import Archive, Packages
from image_builder.build.diagnose import OUT_OF_MEMORY, Diagnosis, diagnose, last_lines
from image_builder.build.progress import Progress
from image_builder.build.resources import Budget, check_disk, cores
from image_builder.errors import PipelineError, SurroundingsError
from image_builder.layers import Construction, Layer, Store
from image_builder.live_build import staging
from image_builder.live_build.steps import Work
from image_builder.live_build.tool_root import ToolRoot
from image_builder.plan.explain import remembered
from image_builder.plan.tree import Node
from image_builder.sandbox import Bind, Outcome, Sandbox, execute

LOG_END = 4_000  # characters looked at for the reason of a failure; above them stands what a retry has mended


class StepError(PipelineError):
    """A step failed. exit_status is 3 when the surroundings were at fault."""

    def __init__(self, node: Node, diagnosis: Diagnosis, log: Path, said: str) -> None:
        self.node, self.diagnosis, self.log = node, diagnosis, log
        if diagnosis.surroundings:
            self.exit_status = SurroundingsError.exit_status
        of = ", ".join(node.targets)
        what = f"{diagnosis.reason}\n" + "\n".join(f"  | {line}" for line in said.splitlines())
        what += f"\n  the whole log: {log}"
        super().__init__(what, where=f"{node.spec.name} (of {of})", hint=diagnosis.hint)


@dataclass
class Performer:
    """Called with a node by the executor, in one of its threads; returns the step's seconds."""

    store: Store
    tools: ToolRoot
    archive: Archive
    packages: Packages
    logs: Path
    progress: Progress
    budget: Budget
    jobs: int
    timeout_s: float
    cancel: threading.Event
    built: dict[str, Layer] = field(default_factory=dict)  # key -> layer, of this build
    taken: set[Node] = field(default_factory=set)  # made by another build while this one waited
    warnings: list[str] = field(default_factory=list)

    def log_of(self, node: Node) -> Path:
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", node.spec.name).strip("-")
        return self.logs / f"{slug}.{node.key[:8]}.log"

    def __call__(self, node: Node) -> float:
        def waiting(holder: str) -> None:
            self.progress.note(node, f"waits for {holder}, which makes the same layer")

        with self.store.building(node.key, on_wait=waiting, cancel=self.cancel) as place:
            if isinstance(place, Layer):
                self.built[node.key] = place
                self.taken.add(node)
                self.progress.ended(node, 0.0, place.size_bytes, "made by another build meanwhile")
                return 0.0
            return self._build(node, place)

    def _build(self, node: Node, place: Construction) -> float:
        work: Work = node.spec.work
        log = self.log_of(node)
        self.progress.started(node, place.diff)
        check_disk(self.store.root)
        self.packages.ready(work)
        stage = place.directory / "stage"
        sandbox = self._sandbox(node, work, place, stage)
        outcome = execute(
            sandbox,
            ["sh", "-euc", work.script],
            log=log,
            timeout_s=self.timeout_s,
            cancel=self.cancel,
            on_line=lambda line: self.progress.line(node, line),
        )
        self._check(node, work, outcome, log, place)
        for name in outcome.left_running:
            self._warn(node, f"left a process running, ended now: {name}")
        made = found_in(place.diff)
        _remove(stage)
        layer = place.commit(
            {
                "kind": node.spec.kind,
                "name": node.spec.name,
                "parent": node.parent.key if node.parent else None,
                "image": node.spec.image,
                "seconds": round(outcome.seconds, 2),
                "source_date_epoch": work.environment.get("SOURCE_DATE_EPOCH"),
                "artefacts": made,
                "declined": node.spec.kind == "binary" and not made and _is_empty(place.diff),
            }
        )
        self.built[node.key] = layer
        self.store.remember("inputs", place_of(node), remembered(node))
        self.store.remember("usage", place_of(node), {"seconds": outcome.seconds, "bytes": outcome.max_rss_bytes})
        self.progress.ended(node, outcome.seconds, layer.size_bytes, "")
        return outcome.seconds

    def _sandbox(self, node: Node, work: Work, place: Construction, stage: Path) -> Sandbox:
        """The view the step gets: layers below, apt's frozen state on top of them, its own files of config/."""
        staging.write(work.stage, stage / "files")
        lower = [self._layer(below) for below in node.stack()[:-1]]
        if work.archive:
            lower.append(self._archive(work, stage / "archive"))
        folders = [name for name in ("config", "hooks.d", "local") if (stage / "files" / name).is_dir()]
        threads = {
            # bytes do not depend on these two, so they are in no key
            "IMAGE_BUILDER_THREADS": str(cores()),
            "IMAGE_BUILDER_MEMORY_MB": str(self.budget.share_mib(self.jobs)),
            "BUILDER_HOSTNAME": os.uname().nodename,
        }
        return Sandbox(
            root=self.tools.path,
            lower=lower,
            upper=place.diff,
            binds=[Bind(stage / "files" / name, f"/build/{name}", read_only=name == "hooks.d") for name in folders],
            environment={**work.environment, **threads},
        )

    def _layer(self, node: Node) -> Path:
        layer = self.built.get(node.key) or self.store.get(node.key)
        if layer is None:
            raise PipelineError("the layer below is gone", where=node.spec.name, hint="run the same command again")
        return layer.diff

    def _archive(self, work: Work, folder: Path) -> Path:
        """A layer of its own on top of the stack: apt's lists as frozen, and the packages it will ask for.

        The lists hide what layers below hold of an older instant (overlayfs: an opaque directory).
        """
        packages = work.solution.packages if work.solution else ()
        given = hand_over(self.archive.lists, packages, self.archive.blobs, folder / "chroot")
        os.setxattr(given.lists, "trusted.overlay.opaque", b"y")
        return folder

    def _check(self, node: Node, work: Work, outcome: Outcome, log: Path, place: Construction) -> None:
        """Raise StepError unless the step did what it was for; the exit status alone does not say so."""
        said = log.read_text(errors="replace") if log.exists() else ""
        if outcome.cancelled:
            place.abandon(keep=False)
            raise PipelineError("stopped", where=node.spec.name)
        diagnosis = None
        if outcome.exit_status != 0 or outcome.timed_out:
            diagnosis = diagnose(
                said[-LOG_END:], exit_status=outcome.exit_status, timed_out=outcome.timed_out, timeout_s=self.timeout_s
            )
        missed = [name for name in work.expects if f"/{name}..." not in said]
        if diagnosis is not None and outcome.out_of_memory:
            diagnosis = OUT_OF_MEMORY
        if diagnosis is None and missed:
            diagnosis = Diagnosis(f"live-build did not run {', '.join(missed)}, and did not say so", "", False)
        if diagnosis is None:
            return
        _remove(place.directory / "stage")
        place.abandon(keep=True)
        error = StepError(node, diagnosis, log, last_lines(said))
        self.progress.failed(node, outcome.seconds, diagnosis.reason)
        raise error

    def _warn(self, node: Node, text: str) -> None:
        self.warnings.append(f"{node.spec.name}: {text}")
        self.progress.note(node, text)


def place_of(node: Node) -> str:
    """What the store remembers a step's last inputs and usage under, whatever its key."""
    return hashlib.sha256(node.path.encode()).hexdigest()


def _is_empty(diff: Path) -> bool:
    """Did a hook change nothing but live-build's own marks? Mount points of the stage count as nothing."""
    ours = {"config", "hooks.d", "local", ".build", "binary"}
    return all(entry.name in ours for entry in os.scandir(diff))


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
