"""Carries out one step: stages its files, runs its script over the layers below it, checks, keeps the layer."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from image_builder.apt.handover import LISTS, hand_over
from image_builder.artifacts.collect import found_in
from image_builder.build import trust, unchanged
from image_builder.build.archive import Archive, Packages
from image_builder.build.diagnose import MAKE_ROOM, OUT_OF_MEMORY, Diagnosis, diagnose, last_lines
from image_builder.build.network import Network, View, gone
from image_builder.build.progress import Progress
from image_builder.build.resources import Budget, check_disk, cores, disk_is_short, disk_need
from image_builder.build.seeds import Snaps
from image_builder.errors import PipelineError, SurroundingsError
from image_builder.layers import Construction, Layer, Store
from image_builder.layers.files import disk_full_is_said
from image_builder.live_build import staging
from image_builder.live_build.recipe import Work
from image_builder.live_build.seeding import SEED_AT
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
    snaps: Snaps
    network: Network
    logs: Path
    progress: Progress
    budget: Budget
    jobs: int
    timeout_s: float
    cancel: threading.Event
    began: dict[str, float] = field(default_factory=dict)  # key -> time.monotonic() when its step was started
    built: dict[str, Layer] = field(default_factory=dict)  # key -> layer, of this build
    taken: dict[Node, str] = field(default_factory=dict)  # made elsewhere, or before, after all; with the reason
    warnings: list[str] = field(default_factory=list)

    def log_of(self, node: Node) -> Path:
        return self.logs / log_name(node)

    def __call__(self, node: Node) -> float:
        def waiting(holder: str) -> None:
            self.progress.note(node, f"waits for {holder}, which makes the same layer")

        with self.store.building(node.key, on_wait=waiting, cancel=self.cancel) as place:
            if isinstance(place, Layer):
                self.built[node.key] = place
                self.taken[node] = "made by another build meanwhile"
                self.progress.ended(node, 0.0, place.size_bytes, self.taken[node])
                return 0.0
            with disk_full_is_said(self.store.root):
                return self._build(node, place)

    def _build(self, node: Node, place: Construction) -> float:
        work: Work = node.spec.work
        log = self.log_of(node)
        self.began[node.key] = time.monotonic()
        self.progress.started(node, place.diff)
        usage = self.store.recall("usage", place_of(node)) or {}
        check_disk(self.store.root, need=disk_need(node.spec.kind, usage.get("written")))
        self.packages.ready(work)
        below = [self._layer(lower) for lower in node.stack()[:-1]]
        asked = unchanged.question(node.spec, below, tools=self.tools.digest)
        if (same := unchanged.before(self.store, asked)) is not None:
            return self._take_over(node, place, same)
        stage = place.directory / "stage"
        view = self.network.view()
        sandbox = self._sandbox(node, work, place, stage, view)
        outcome = execute(
            sandbox,
            ["sh", "-euc", work.script],
            log=log,
            timeout_s=self.timeout_s,
            cancel=self.cancel,
            on_line=lambda line: self.progress.line(node, line),
            watch=lambda: disk_is_short(self.store.root),
        )
        self._check(node, work, outcome, log, place)
        for name in outcome.left_running:
            self._warn(node, f"left a process running, ended now: {name}")
        if view.ca:
            trust.take_out(place.diff, view.ca)
        made = found_in(place.diff)
        notes = noted(log.read_text(errors="replace"))
        for text in notes:
            self.progress.note(node, text)
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
                "notes": notes,
                "declined": node.spec.kind == "binary" and not made and is_empty(place.diff),
            }
        )
        self.built[node.key] = layer
        unchanged.note(self.store, asked, node.key)
        self.store.remember("inputs", place_of(node), remembered(node))
        used = {"seconds": outcome.seconds, "bytes": outcome.max_rss_bytes, "written": layer.size_bytes}
        self.store.remember("usage", place_of(node), used)
        self.progress.ended(node, outcome.seconds, layer.size_bytes, "")
        return outcome.seconds

    def _take_over(self, node: Node, place: Construction, same: Layer) -> float:
        """Keep an earlier layer's content under this node's key too."""
        unchanged.take_over(same, place.diff)
        layer = place.commit({**same.meta, "parent": node.parent.key if node.parent else None})
        self.built[node.key] = layer
        self.taken[node] = "the files it is made from are as they were"
        self.store.remember("inputs", place_of(node), remembered(node))
        seconds = time.monotonic() - self.began[node.key]
        self.progress.ended(node, seconds, layer.size_bytes, self.taken[node])
        return seconds

    def _sandbox(self, node: Node, work: Work, place: Construction, stage: Path, view: View) -> Sandbox:
        """The view the step gets: layers below, apt's frozen state on top of them, its own files of config/."""
        staging.write(work.stage, stage / "files")
        lower = [self._layer(below) for below in node.stack()[:-1]]
        if work.archive:
            lower.append(self._archive(work, stage / "archive"))
        if work.snaps is not None:
            lower.append(stage / "snaps")
            self.snaps.write(work.snaps, stage / "snaps/chroot" / SEED_AT)
        if view.ca and node.spec.kind in trust.KINDS:
            trusting = stage / "trust"
            lower += [trusting] if trust.lay(lower, trusting, view.ca, always=view.https) else []
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
            binds=[
                *(Bind(stage / "files" / name, f"/build/{name}", read_only=name == "hooks.d") for name in folders),
                *view.binds,
            ],
            network=view.handle,
            environment={**work.environment, **threads},
            memory_bytes=self.budget.limit_bytes(),
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
        lost = gone(self.network)
        if outcome.cancelled or lost is not None:
            place.abandon(keep=False)
            raise lost or PipelineError("stopped", where=node.spec.name)
        diagnosis = judged(work, outcome, said, timeout_s=self.timeout_s)
        if diagnosis is None and work.archive:
            strange = self.archive.check_written(place.diff / "chroot" / LISTS)
            if strange:
                diagnosis = Diagnosis("apt saw another archive than the lock: " + "; ".join(strange), "", False)
        if diagnosis is None:
            return
        _remove(place.directory / "stage")
        place.abandon(keep=diagnosis.hint != MAKE_ROOM)  # what filled the disk would keep the next build from starting
        error = StepError(node, diagnosis, log, last_lines(said))
        self.progress.failed(node, outcome.seconds, diagnosis.reason)
        raise error

    def _warn(self, node: Node, text: str) -> None:
        self.warnings.append(f"{node.spec.name}: {text}")
        self.progress.note(node, text)


def log_name(node: Node) -> str:
    """A step's log file. Its key is in it: several steps may have one name."""
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", node.spec.name).strip("-")
    return f"{slug}.{node.key[:8]}.log"


def noted(said: str) -> list[str]:
    """What a step says for the record: lines "N: …" of its log, each once."""
    return list(dict.fromkeys(line[3:].strip() for line in said.splitlines() if line.startswith("N: ")))


def judged(work: Work, outcome: Outcome, said: str, *, timeout_s: float) -> Diagnosis | None:
    """Why a step that ended so is a failure; None: as far as its exit status and its log tell, it is none."""
    if outcome.stopped:
        return Diagnosis(outcome.stopped, MAKE_ROOM, True)
    if outcome.exit_status != 0 or outcome.timed_out:
        if outcome.out_of_memory:
            return OUT_OF_MEMORY
        end = said[-LOG_END:]
        return diagnose(end, exit_status=outcome.exit_status, timed_out=outcome.timed_out, timeout_s=timeout_s)
    missed = [name for name in work.expects if f"/{name}..." not in said]
    if missed:
        return Diagnosis(f"live-build did not run {', '.join(missed)}, and did not say so", "", False)
    return None


def place_of(node: Node) -> str:
    """What the store remembers a step's last inputs and usage under, whatever its key."""
    return hashlib.sha256(node.path.encode()).hexdigest()


def is_empty(diff: Path) -> bool:
    """Did a hook change nothing but live-build's own marks? Mount points of the stage count as nothing."""
    ours = {"config", "hooks.d", "local", ".build", "binary"}
    return all(entry.name in ours for entry in os.scandir(diff))


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
