"""From the user's request to a plan: targets, tool root, lock, live-build's configuration, the tree of layers."""

from __future__ import annotations

import hashlib
import json
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from image_builder.architectures import native_architecture
from image_builder.build import ppas
from image_builder.build.archive import LOCK_NAME, Archive
from image_builder.build.progress import Progress
from image_builder.build.seeds import Snaps
from image_builder.build.solver import StoredSolver
from image_builder.build.tools import tools_for
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError
from image_builder.layers import Store
from image_builder.live_build import assembly, configuration, stages, staging, tool_root
from image_builder.live_build.chain import chain, left_out, refuse_other_distributions
from image_builder.live_build.recipe import Recipe
from image_builder.live_build.seeding import Seeding
from image_builder.lock import Lock
from image_builder.plan.explain import Decision, decide
from image_builder.plan.tree import Node, grow
from image_builder.series.parse import parse
from image_builder.series.resolve import (
    Target,
    list_targets,
    resolve,
    split_targets,
    target_order_warnings,
    whole_targets,
)
from image_builder.series.tree import Folder

BOOTSTRAP = (
    "mmdebstrap",
    "--mode=root",
    "--variant=minbase",
    "--skip=check/empty,update",  # the archive layer has brought lists and packages
    "--dpkgopt=force-unsafe-io",  # the layer is synced once, as a whole
    "--aptopt=Acquire::Languages none",
    "--aptopt=Acquire::Retries 5",
    "--aptopt=Acquire::Check-Valid-Until false",  # judged when the lock was made
    # without it, usrmerge and with it all of perl are installed, which debootstrap does not do
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
)


@dataclass(frozen=True)
class Plan:
    """All that is decided before the first step. decisions: lower layers before higher ones."""

    config: BuildConfig
    project_dir: Path
    hooks_d: Path
    targets: tuple[Target, ...]
    provides: Mapping[str, tuple[str, ...]]  # target -> names its artefacts must have
    left_out: Mapping[str, tuple[str, ...]]  # target -> hooks that are not for this architecture
    archive: Archive
    snaps: Snaps
    tools: tool_root.ToolRoot
    lock: Lock
    lock_is_new: bool
    lock_path: Path
    epoch: int
    roots: list[Node]
    decisions: list[Decision]
    warnings: tuple[str, ...]
    narrowed: bool = False  # to some of the steps: no target will be finished


def hooks_folder(config: BuildConfig, project_dir: Path) -> Path:
    """The hooks.d to use: the configured one, that of live-build/PROJECT, the project's, or the shipped one."""
    if config.hooks is not None:
        found = project_dir / config.hooks
        if not found.is_dir():
            raise ConfigError("is no folder", where=found, hint="hooks in image-builder.yaml names the hooks.d to use")
        return found.resolve()
    shipped = (
        Path(__file__).resolve().parents[2] / "hooks.d",
        Path(sysconfig.get_path("data")) / "share/image-builder/hooks.d",
    )
    theirs = assembly.tree(config, project_dir)
    for folder in (*([theirs / "hooks.d"] if theirs else []), project_dir / "hooks.d", *shipped):
        if folder.is_dir():
            return folder.resolve()
    raise ConfigError("there is no hooks.d", where=project_dir, hint="give one by `hooks:` in image-builder.yaml")


def chosen(hooks_d: Path, config: BuildConfig) -> tuple[Target, ...]:
    """The targets to build. A series file of nothing but `depends` lines stands for those it names.

    Raises ConfigError (all problems at once) for unknown targets and bad series files.
    """
    named = split_targets(list(config.targets)) or ["all"]
    if named == ["all"] and not any(t.name == "all" for t in list_targets(hooks_d)):
        named = [t.name for t in list_targets(hooks_d)]
    names = list(dict.fromkeys(named))
    while True:
        targets = resolve(str(hooks_d), names, format=config.hook_format).targets
        meant = [n for t in targets for n in (t.depends if _is_group(hooks_d, t, config.hook_format) else (t.name,))]
        if (meant := list(dict.fromkeys(meant))) == names:
            return targets
        names = meant


def _is_group(hooks_d: Path, target: Target, format: str) -> bool:
    lines = parse(Folder(hooks_d).text(target.series), format).lines
    return bool(lines) and all(line.kind == "depends" for line in lines)


def prepare(
    config: BuildConfig,
    project_dir: Path,
    store: Store,
    progress: Progress,
    *,
    update: bool = False,
    lock_path: Path | None = None,
) -> Plan:
    """Decide everything. Makes the tool root and a lock where there is none; builds nothing else."""
    hooks_d = hooks_folder(config, project_dir)
    targets = chosen(hooks_d, config)
    warnings = [warning for target in targets for warning in target_order_warnings(target)]
    warnings += _foreign(config, targets)
    lock_path = lock_path or project_dir / LOCK_NAME
    tools = tools_for(store, config, lock_path, progress, update=update)
    archive = _archive(config, project_dir, store, tools, lock_path, update=update)
    snaps = Snaps(config, project_dir, archive.cache, progress)
    lock, is_new = _pinned(config, store, archive, snaps, lock_path, update=update)
    warnings += snaps.warnings(lock)
    solver = _solver(config, store, archive)
    epoch = lock.epoch() if config.source_date_epoch is None else config.source_date_epoch
    recipe = _recipe(config, project_dir, hooks_d, store, tools, archive, snaps, solver, epoch, targets)
    refuse_other_distributions(recipe, targets)
    roots = grow({target.name: chain(recipe, target) for target in targets})
    warnings += _unseeded(config, roots)

    def before(path: str) -> Mapping[str, str] | None:
        found = store.recall("inputs", hashlib.sha256(path.encode()).hexdigest())
        return None if found is None else {str(k): str(v) for k, v in found.items()}

    decisions = decide(roots, lambda key: store.get(key) is not None, before)
    provides = {
        t.name: tuple(p.replace("$PROJECT", config.project).replace("${PROJECT}", config.project) for p in t.provides)
        for t in targets
    }
    declining = {t.name: left_out(recipe, t) for t in targets}
    return Plan(
        config, project_dir, hooks_d, targets, provides, declining, archive, snaps, tools, lock, is_new, lock_path,
        epoch, roots, decisions, tuple(warnings),
    )  # fmt: skip


def resolve_lock(
    config: BuildConfig, project_dir: Path, store: Store, progress: Progress, path: Path, *, update: bool
) -> tuple[Lock, bool]:
    """The lock alone, without a plan: (lock, was it made now)."""
    tools = tools_for(store, config, path, progress, update=update)
    archive = _archive(config, project_dir, store, tools, path, update=update)
    snaps = Snaps(config, project_dir, archive.cache, progress)
    return _pinned(config, store, archive, snaps, path, update=update)


def _archive(
    config: BuildConfig, project_dir: Path, store: Store, tools: tool_root.ToolRoot, path: Path, *, update: bool
) -> Archive:
    """The archives of the build, with what is asked for beside the project's own. path: the lock's."""
    cache = store.downloads()
    extra = ppas.wanted(config, None if update else Lock.read(path), cache)
    folder = assembly.config_folder(config, project_dir, cache, ppas.archives(extra))
    return Archive(store, config, folder, tools, extra)


def _recipe(
    config: BuildConfig,
    project_dir: Path,
    hooks_d: Path,
    store: Store,
    tools: tool_root.ToolRoot,
    archive: Archive,
    snaps: Snaps,
    solver: StoredSolver,
    epoch: int,
    targets: Sequence[Target],
) -> Recipe:
    by_hand = configuration.written_by_hand(project_dir)
    configuration.agrees(config, by_hand)
    pinned = dict(sorted(archive.release_files.items()))
    kinds = sorted({t.directives.get("binary", "none") for t in targets} - {"none"})
    return Recipe(
        config=config,
        project_dir=project_dir,
        config_dir=archive.config_dir,
        hooks_d=hooks_d,
        tools=tools,
        lists=pinned,
        lock_digest=hashlib.sha256(json.dumps(pinned).encode()).hexdigest(),
        epoch=epoch,
        plain=configuration.configure(store, tools, config, "none", by_hand),
        images={kind: configuration.configure(store, tools, config, kind, by_hand) for kind in kinds},
        chroot_calls=stages.place(stages.parse(tools.script("chroot")), stages.CHROOT_PLACES, script="lb chroot"),
        binary_calls=stages.place(stages.parse(tools.script("binary")), stages.BINARY_PLACES, script="lb binary"),
        solver=solver,
        bootstrap=(
            *BOOTSTRAP,
            *(["--skip=check/qemu"] if config.foreign else []),  # it looks for Debian's own registration only
            f"--architectures={config.architecture}",
            config.suite,
            "/build/chroot",
            "-",
        ),
        apt_sources="\n".join(f"deb {s.uri} {s.suite} {' '.join(s.components)}" for s in archive.sources),
        owners=_owners(hooks_d),
        whole_tree=config.hook_inputs == "all",
        seeding=snaps.seeding(archive.lock, [t.name for t in list_targets(hooks_d)]) if archive.lock else Seeding(),
    )


def _unseeded(config: BuildConfig, roots: Sequence[Node]) -> list[str]:
    """Snaps that are asked for, and no target takes: a warning; an error when this build alone asks for them."""
    if not (config.snaps or config.extra_snaps):
        return []
    if any(node.spec.work.snaps is not None for root in roots for node in root.walk()):
        return []
    said = "snaps are asked for, but none of these targets seeds any"
    if config.extra_snaps:
        raise ConfigError(said, where="EXTRA_SNAPS", hint="a target takes them with `depends snaps` in its series file")
    return [f"{said}: a target takes them with `depends snaps` in its series file"]


def _owners(hooks_d: Path) -> dict[str, str]:
    """Hook -> the first series file, by name, that lists it; collected hooks belong to none."""
    found: dict[str, str] = {}
    for target in whole_targets(str(hooks_d))[0]:
        for entry in target.hooks:
            name = Path(entry.series).name
            found[entry.path] = min(found.get(entry.path, name), name)
    return found


def _pinned(
    config: BuildConfig, store: Store, archive: Archive, snaps: Snaps, path: Path, *, update: bool
) -> tuple[Lock, bool]:
    """The project's lock, or a new one with the epoch it keeps: (lock, was it made now)."""
    lock, is_new = archive.pinned(path, update=update)
    ppas.check(archive.ppas, lock)
    if is_new:
        epoch = _kept_epoch(store, _solver(config, store, archive), lock)
        lock = archive.lock = lock.model_copy(update={"source_date_epoch": epoch})
    archive.lock, snaps_are_new = snaps.pinned(path, lock, update=update)
    return archive.lock, is_new or snaps_are_new


def _solver(config: BuildConfig, store: Store, archive: Archive) -> StoredSolver:
    pinned = dict(sorted(archive.release_files.items()))
    folder = archive.config_dir
    local = staging.digest(staging.parts(folder, ["packages.chroot"]))
    # With any of these live-build lets apt look again, and upgrade
    own_archives = any(any(folder.glob(p)) for p in ("archives/*.list*", "archives/*.pref*", "packages.chroot/*.deb"))
    preferences = [
        f"{path.relative_to(folder)}\n{path.read_text()}"
        for path in sorted(folder.glob("a*/*pref*")) if path.is_file()
    ]  # fmt: skip
    return StoredSolver(
        store, config,
        [json.dumps(pinned), *(s.line() for s in archive.sources), *preferences, local, archive.tools.digest],
        archive.context,
        upgrade=own_archives,
    )  # fmt: skip


def _foreign(config: BuildConfig, targets: Sequence[Target]) -> list[str]:
    """What is to be said of a build for another machine than this one. Raises ConfigError for what it cannot make."""
    if not config.foreign:
        return []
    images = [t.name for t in targets if t.directives.get("binary", "none") != "none"]
    if images:
        raise ConfigError(
            f"needs boot loaders of {config.architecture} beside live-build, which {native_architecture()} has not",
            where=", ".join(images),
            hint=f"build it on {config.architecture}, or leave it out of the targets",
        )
    return [
        f"{config.architecture} is emulated by QEMU on this {native_architecture()} machine: whatever runs in the root"
        " takes about ten times as long"
    ]


def _kept_epoch(store: Store, solver: StoredSolver, lock: Lock) -> int:
    """The SOURCE_DATE_EPOCH of a new lock.

    It is in every key, so it must not move while nothing else does: it stays what it was when this base
    system was first pinned here.
    """
    base = solver.base().digest
    kept = store.recall("epoch", base)
    if kept is None:
        kept = lock.epoch()
        store.remember("epoch", base, kept)
    return int(kept)
