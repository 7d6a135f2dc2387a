"""A folder as live-build's users know it: config/ written by `lb config`, hook links, environment files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from image_builder import distributions
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError
from image_builder.files import give_to_caller, write_whole
from image_builder.live_build import assembly, configuration, hooks, package_lists, scripts
from image_builder.live_build.hooks import CLEAN_HOOK, EMPTY_HOOK
from image_builder.run import run
from image_builder.series.compose import compose
from image_builder.series.resolve import Target, resolve

HOOKS_DIR = "config/hooks/normal"
ADDED = ".image-builder-added"  # below config/: what live-build/PROJECT and the archives asked for brought
ENVIRONMENT_FILES = ("config/environment.chroot", "config/environment.binary")
MARK = "# written by auto/config; change image-builder.yaml or the environment instead"
IGNORED = """\
/.image-builder-added
/environment.binary
/environment.chroot
/hooks/live/000-none.chroot
/hooks/normal/[0-9][0-9][0-9]-*
"""


def kind_of(targets: Sequence[Target]) -> str:
    """The kind of image plain live-build has to make: that of the first target that has one."""
    kinds = [t.directives.get("binary", "none") for t in targets]
    return next((kind for kind in kinds if kind != "none"), "none")


def configure(
    config: BuildConfig,
    folder: Path,
    hooks_d: Path,
    targets: Sequence[Target],
    more: Sequence[str],
    archives: Mapping[str, bytes],
) -> None:
    """Run `lb config noauto`, link the targets' hooks, write the environment files hooks see.

    more: what the user typed after `lb config`; it wins over our options. archives: files of config/archives.
    """
    for name in configuration.CONFFILES:  # lb config takes what stands there for the user's wish
        (folder / "config" / name).unlink(missing_ok=True)
    take_back(folder)
    kind = kind_of(targets)
    run(["lb", "config", "noauto", *configuration.options(config, kind), *_plain(kind), *more], cwd=folder)
    add(config, folder, archives)
    resolution = resolve(str(hooks_d), [t.name for t in targets], format=config.hook_format)
    (folder / HOOKS_DIR).mkdir(parents=True, exist_ok=True)
    compose(resolution, str(hooks_d), str(folder / HOOKS_DIR))
    for name, text in ((EMPTY_HOOK, "#!/bin/sh\n"), (CLEAN_HOOK, scripts.plain_clean_hook(config.hostname))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, text)
        (folder / name).chmod(0o755)
    names = {
        **distributions.BY_NAME[config.distribution].packages(config.suite, config.architecture),
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


def add(config: BuildConfig, folder: Path, archives: Mapping[str, bytes]) -> None:
    """Copy live-build/PROJECT and the archives asked for into config/, as livecd-rootfs does; remember what came.

    Raises ConfigError for a file that is there already and says another thing: it would be lost.
    """
    target = folder / "config"
    theirs = assembly.tree(config, folder)
    with tempfile.TemporaryDirectory(prefix="image-builder-") as scratch:
        new = Path(scratch)
        if theirs is not None:
            assembly.copy_tree(theirs, new)
        (new / "archives").mkdir(exist_ok=True)
        for name, data in {**assembly.proposed(config), **archives}.items():
            (new / "archives" / name).write_bytes(data)
        came = [p.relative_to(new) for p in sorted(new.rglob("*")) if p.is_symlink() or not p.is_dir()]
        there = [path for path in came if (target / path).is_symlink() or (target / path).exists()]
        if differing := [str(path) for path in there if not _same(new / path, target / path)]:
            raise ConfigError(
                f"differ from what live-build/{config.project} and EXTRA_PPAS bring: {', '.join(differing)}",
                where=target, hint="remove them there or here",
            )  # fmt: skip
        if brought := [str(path) for path in came if path not in there]:
            shutil.copytree(new, target, symlinks=True, dirs_exist_ok=True)
            write_whole(target / ADDED, "".join(f"{path}\n" for path in brought))


def _same(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    return other.is_file() and one.read_bytes() == other.read_bytes()


def take_back(folder: Path) -> None:
    """Remove what the last add() brought into config/."""
    list_file = folder / "config" / ADDED
    if not list_file.is_file():
        return
    for line in list_file.read_text().splitlines():
        path = folder / "config" / line
        if path.is_symlink() or path.is_file():
            path.unlink()
    list_file.unlink()


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
    take_back(folder)
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
