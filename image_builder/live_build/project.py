"""A folder as live-build's users know it: config/ written by `lb config`, hook links, environment files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from image_builder.config import BuildConfig
from image_builder.files import give_to_caller, write_whole
from image_builder.live_build import configuration, hooks, package_lists, scripts
from image_builder.live_build.hooks import CLEAN_HOOK, EMPTY_HOOK
from image_builder.run import run
from image_builder.series.compose import compose
from image_builder.series.resolve import Target, resolve

HOOKS_DIR = "config/hooks/normal"
ENVIRONMENT_FILES = ("config/environment.chroot", "config/environment.binary")
MARK = "# written by auto/config; change image-builder.yaml or the environment instead"
IGNORED = "/environment.binary\n/environment.chroot\n/hooks/live/000-none.chroot\n/hooks/normal/[0-9][0-9][0-9]-*\n"


def kind_of(targets: Sequence[Target]) -> str:
    """The kind of image plain live-build has to make: that of the first target that has one."""
    kinds = [t.directives.get("binary", "none") for t in targets]
    return next((kind for kind in kinds if kind != "none"), "none")


def configure(config: BuildConfig, folder: Path, hooks_d: Path, targets: Sequence[Target], more: Sequence[str]) -> None:
    """Run `lb config noauto`, link the targets' hooks, write the environment files hooks see.

    more: what the user typed after `lb config`; it wins over our options.
    """
    for name in configuration.CONFFILES:  # lb config takes what stands there for the user's wish
        (folder / "config" / name).unlink(missing_ok=True)
    kind = kind_of(targets)
    run(["lb", "config", "noauto", *configuration.options(config, kind), *_plain(kind), *more], cwd=folder)
    resolution = resolve(str(hooks_d), [t.name for t in targets], format=config.hook_format)
    (folder / HOOKS_DIR).mkdir(parents=True, exist_ok=True)
    compose(resolution, str(hooks_d), str(folder / HOOKS_DIR))
    for name, text in ((EMPTY_HOOK, "#!/bin/sh\n"), (CLEAN_HOOK, scripts.plain_clean_hook(config.hostname))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, text)
        (folder / name).chmod(0o755)
    names = {
        **config.environment,
        "PROJECT": config.project,
        "SUBPROJECT": config.subproject,
        "SUITE": config.suite,
        "ARCH": config.architecture,
        "SUBARCH": config.subarch,
    }
    for name in ENVIRONMENT_FILES:
        path = folder / name
        if not path.exists() or path.read_text().startswith(MARK):
            write_whole(path, f"{MARK}\n{hooks.environment_file(names)}")
    if config.packages:
        write_whole(folder / "config" / package_lists.OWN_LIST, package_lists.own_list(config.packages))
    write_whole(folder / "config/.gitignore", IGNORED)
    give_to_caller(folder / "config")


def _plain(kind: str) -> list[str]:
    """What `lb build noauto` needs beside.

    Building with the chroot asks for no tools on the host, and Debian 12's version cannot do without. Where
    live-build makes no image of its own, it packs a tar at the end.
    """
    # one blank means no boot loader; nothing at all would mean live-build's own choice
    without = ["--binary-image", "tar", "--bootloaders", " "]
    return ["--build-with-chroot", "true", *(without if kind == "none" else [])]


def clean(config: BuildConfig, folder: Path, more: Sequence[str]) -> None:
    """Run `lb clean noauto`, then take away what configure() and the build left in the folder."""
    run(["lb", "clean", "noauto", *more], cwd=folder)
    for name in (*ENVIRONMENT_FILES, EMPTY_HOOK, CLEAN_HOOK):
        path = folder / name
        if path.is_file() and (name not in ENVIRONMENT_FILES or path.read_text().startswith(MARK)):
            path.unlink()
    for link in (folder / HOOKS_DIR).glob("[0-9][0-9][0-9]-*"):
        if link.is_symlink():
            link.unlink()
    shutil.rmtree(folder / "snapshot-proxy", ignore_errors=True)
    for artefact in folder.glob(f"livecd.{config.project}.*"):
        if artefact.is_file():
            artefact.unlink()
