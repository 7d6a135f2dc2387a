"""The folder of one build: a new one for each, `latest` for the newest, none for a build that changes nothing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from image_builder.build.prepare import Plan
from image_builder.build.record import BuildRecord
from image_builder.errors import PipelineError
from image_builder.plan.tree import chain


def latest(plan: Plan) -> Path:
    """The link to the newest build's folder."""
    return plan.project_dir / plan.config.output / "latest"


def new_folder(plan: Plan, started: datetime) -> Path:
    """Make builds/2026-11-21T12.00.00Z with its folder for logs."""
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


def point_latest(plan: Plan, folder: Path) -> None:
    """Let `latest` name this build; there is no moment without it."""
    link = latest(plan)
    part = link.with_name(f".latest.{folder.name}")
    part.unlink(missing_ok=True)
    part.symlink_to(folder.name)
    part.replace(link)


def unchanged(plan: Plan) -> tuple[Path, BuildRecord] | None:
    """The last build, when this one would give the same: every result layer stored, its folder whole."""
    if any(d.action == "build" for d in plan.decisions):
        return None
    folder = latest(plan).resolve()
    before = BuildRecord.read(folder)
    if before is None or before.status != "done" or before.lock.digest != plan.lock.digest:
        return None
    now = {t.name: [n.key for n in chain(plan.roots, t.name)] for t in plan.targets}
    if {t.name: list(t.layers) for t in before.targets} != now:
        return None
    for artefact in {a for t in before.targets for a in t.artefacts}:
        path = folder / artefact.file
        if not path.exists() or (artefact.sha256 and path.stat().st_size != artefact.size_bytes):
            return None
    return folder, before
