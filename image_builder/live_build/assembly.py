"""The configuration of one build: the project's config/, live-build/PROJECT/ copied onto it, archives asked for.

As livecd-rootfs has it: what live-build/PROJECT/ brings (hooks, includes, package lists) goes into config/, and
EXTRA_PPAS and PROPOSED become files of config/archives/. The project's own folder is not written to.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from image_builder import distributions
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError
from image_builder.scratch import kept

TREES = "live-build"  # where the trees of projects lie
# Not part of config/: hooks.d has steps of its own, auto/ are live-build's entry points.
APART = frozenset({"hooks.d", "auto"})
# Where livecd-rootfs' live-build looks for hooks, and ours does not.
OLD_HOOKS, NEW_HOOKS = "hooks", "hooks/normal"


def tree(config: BuildConfig, project_dir: Path) -> Path | None:
    """The folder live-build/PROJECT, if the project has one."""
    found = project_dir / TREES / config.project
    return found if found.is_dir() else None


def config_folder(
    config: BuildConfig, project_dir: Path, cache: Path, archives: Mapping[str, bytes] | None = None
) -> Path:
    """The folder this build reads as config/: the project's own, unless something is to be added.

    archives: file name below config/archives -> content. What is added replaces what is there, as a copy would. An
    assembled folder lies on the cache's file system and is gone when this process ends.
    """
    own, theirs = project_dir / "config", tree(config, project_dir)
    added = {**proposed(config), **(archives or {})}
    if theirs is None and not added:
        return own
    folder = kept(cache) / "config"
    folder.mkdir()
    if own.is_dir():
        shutil.copytree(own, folder, symlinks=True, dirs_exist_ok=True)
    if theirs is not None:
        copy_tree(theirs, folder)
    (folder / "archives").mkdir(exist_ok=True)
    for name, data in added.items():
        (folder / "archives" / name).write_bytes(data)
    return folder


def copy_tree(theirs: Path, folder: Path) -> None:
    """Copy live-build/PROJECT onto a config/.

    Hooks are copied with links followed, since a link may lead out of the tree; all else keeps its links. Hooks
    directly in hooks/ go to hooks/normal/, where live-build runs them. Raises ConfigError for an early hook there.
    """
    for base, folders, names in os.walk(theirs):
        here = Path(base).relative_to(theirs)
        if here == Path():
            folders[:] = [name for name in folders if name not in APART]
        folders.sort()
        linked = [name for name in folders if (Path(base) / name).is_symlink()]
        for name in sorted([*names, *linked]):
            source = Path(base) / name
            is_hook = here.parts[:1] == (OLD_HOOKS,)
            if is_hook and name.endswith(".chroot_early"):
                raise ConfigError(
                    "is an early hook, which live-build has no place for", where=source,
                    hint=f"move it to {theirs.name}/hooks.d/chroot/, whose early hooks run for every target",
                )  # fmt: skip
            if is_hook and not source.exists():
                raise ConfigError("is a link to nothing", where=source, hint=f"it leads to {source.readlink()}")
            into = Path(NEW_HOOKS) if here == Path(OLD_HOOKS) else here
            target = folder / into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_symlink() or target.is_file():
                target.unlink()
            shutil.copy2(source, target, follow_symlinks=is_hook and not source.is_dir())
        for name in folders:
            if name not in linked and here / name != Path(OLD_HOOKS):
                (folder / here / name).mkdir(parents=True, exist_ok=True)
                shutil.copymode(Path(base) / name, folder / here / name)


def proposed(config: BuildConfig) -> dict[str, bytes]:
    """Files of config/archives for the pocket of packages that are being tried.

    Ubuntu's is one live-build has no option for. Since 23.10 its Release says NotAutomatic, for which apt gives it a
    priority of 100: a package comes from it when it is asked for by NAME/SUITE-proposed, unless proposed_priority
    says otherwise.
    """
    if not config.proposed:
        return {}
    suite = f"{config.suite}-{distributions.BY_NAME[config.distribution].proposed}"
    found = {}
    if config.distribution == "ubuntu":
        found["proposed.list"] = f"deb {config.mirror.rstrip('/')} {suite} {' '.join(config.archive_areas)}\n"
    if config.proposed_priority is not None:
        field = "a" if config.distribution == "ubuntu" else "n"  # whose Release has that name as Suite, and as Codename
        found["proposed.pref"] = f"Package: *\nPin: release {field}={suite}\nPin-Priority: {config.proposed_priority}\n"
    return {f"{name}.{phase}": text.encode() for name, text in found.items() for phase in ("chroot", "binary")}
