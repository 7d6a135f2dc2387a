"""The tool root: a small root with live-build and all its tools, where the steps run.

With it the host's versions do not matter. It is made by the host's mmdebstrap, of packages that are pinned and fetched
before, and kept in the layer store; the versions of everything in it are part of every key.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from image_builder.architectures import native_architecture
from image_builder.config import BuildConfig
from image_builder.distributions import UBUNTU
from image_builder.errors import SurroundingsError
from image_builder.layers import Layer, Store
from image_builder.lock import ArchivePin
from image_builder.run import run
from image_builder.sandbox import private_mounts, root_is_mount

RECIPE = "1"  # raised when a tool root made by an older version must not be used any more
PACKAGES = (
    "live-build",
    "debootstrap",
    "mmdebstrap",
    "apt-utils",
    "cpio",
    "dctrl-tools",
    "debian-archive-keyring",
    "dosfstools",
    "e2fsprogs",
    "fdisk",
    "gpgv",
    "mount",
    "mtools",
    "pigz",
    "python3-jinja2",
    "qemu-utils",
    "rsync",
    "squashfs-tools",
    "wget",
    "xorriso",
    "xz-utils",
    "zstd",
)
# What live-build's boot loader helpers look for in the host when they do not build with the chroot.
BOOT_PACKAGES = {
    "amd64": (
        "grub-efi-amd64-bin",
        "grub-efi-amd64-signed",
        "grub-efi-ia32-bin",
        "grub-pc-bin",
        "isolinux",
        "librsvg2-bin",
        "shim-signed",
        "syslinux-common",
    ),
    "arm64": ("grub-efi-arm64-bin", "grub-efi-arm64-signed", "librsvg2-bin", "shim-signed"),
}


class ToolRoot(NamedTuple):
    """A finished tool root. digest: SHA-256 over the sorted "name version" lines of its packages.

    pins: the state of the archive its packages are of; empty where nobody knows.
    """

    path: Path
    digest: str
    live_build: str  # version, "1:20250505+deb13u1"
    pins: tuple[ArchivePin, ...] = ()

    def script(self, name: str) -> str:
        """The text of one of live-build's scripts, "chroot"."""
        return (self.path / "usr/lib/live/build" / name).read_text(encoding="utf-8")


def packages(config: BuildConfig) -> tuple[str, ...]:
    """What is in the tool root. It is of this machine's architecture, whatever is built: its tools run as they are."""
    keys = (UBUNTU.keyring_package,) if config.distribution == "ubuntu" and config.keyring is None else ()
    return PACKAGES + BOOT_PACKAGES.get(native_architecture(), ()) + keys


def recipe_key(config: BuildConfig) -> str:
    """What a tool root is stored under: what was asked for, not what came out."""
    asked = [RECIPE, config.tool_suite, native_architecture(), config.tool_mirror, *packages(config)]
    return hashlib.sha256(json.dumps(["tool-root", *asked]).encode()).hexdigest()


def apart(*argv: str) -> list[str]:
    """argv in namespaces of its own for mounts and processes: a killed build takes all of them along."""
    with_proc = ["sh", "-c", 'mount -t proc proc /proc && exec "$@"', "sh", *argv]
    ends = ["--pid", "--fork", "--kill-child"]
    return ["setpriv", "--pdeathsig", "KILL", *private_mounts(with_proc, root_is_mount=root_is_mount(), also=ends)]


def opened(layer: Layer) -> ToolRoot:
    return ToolRoot(layer.diff, str(layer.meta["packages_digest"]), str(layer.meta["live_build"]))


def stored(store: Store, config: BuildConfig) -> ToolRoot | None:
    layer = store.get(recipe_key(config))
    return None if layer is None else opened(layer)


def make(
    store: Store,
    config: BuildConfig,
    *,
    key: str,
    fill: Callable[[Path], object],
    keyring: Path,
    meta: Mapping[str, Any],
    log: Path,
) -> Layer:
    """Make it under this key, unless another build has by then. Takes about 20 s and 390 MB.

    fill: lays apt's lists and the packages into the empty root, from where mmdebstrap takes them: it asks nobody.
    keyring: of its archive. Raises SurroundingsError when the host has no mmdebstrap, CommandError when it fails.
    """
    with store.building(key) as place:
        if isinstance(place, Layer):
            return place
        if not Path("/usr/bin/mmdebstrap").exists():
            raise SurroundingsError("mmdebstrap is not installed", where="tool root", hint="apt-get install mmdebstrap")
        log.parent.mkdir(parents=True, exist_ok=True)
        fill(place.diff)
        # mmdebstrap keeps keys there while it runs: beside the layer, where the next start clears what a kill left
        temporary = place.directory / "tmp"
        temporary.mkdir()
        run(
            apart(
                "mmdebstrap",
                "--mode=root",
                "--variant=apt",
                "--skip=check/empty",  # of what fill() has laid there, lists and packages, nothing stays
                f"--logfile={log}",
                f"--architectures={native_architecture()}",
                f"--include={','.join(packages(config))}",
                "--aptopt=APT::Install-Recommends false",
                "--aptopt=Acquire::Languages none",
                "--aptopt=Acquire::Retries 5",
                "--aptopt=Acquire::Check-Valid-Until false",  # judged when it was pinned
                "--dpkgopt=force-unsafe-io",
                f"--keyring={keyring}",
                config.tool_suite,
                str(place.diff),
                config.tool_mirror.rstrip("/"),
            ),
            timeout_s=config.timeout_s,
            env={"TMPDIR": str(temporary)},
            hint=f"the whole log is in {log}",
        )
        shutil.rmtree(temporary)
        versions = run(["dpkg-query", f"--admindir={place.diff}/var/lib/dpkg", "-W"])
        digest = hashlib.sha256("".join(sorted(versions.splitlines(keepends=True))).encode()).hexdigest()
        live_build = next(line.split("\t")[1] for line in versions.splitlines() if line.startswith("live-build\t"))
        own = {"kind": "tool-root", "name": f"tool root ({config.tool_suite})", "packages_digest": digest}
        return place.commit({**meta, **own, "live_build": live_build})
