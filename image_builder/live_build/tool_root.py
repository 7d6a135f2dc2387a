"""The tool root: a small root with live-build and all its tools, where the steps run.

With it the host's versions do not matter. It is made by the host's mmdebstrap once and kept in the
layer store; the versions of everything in it are part of every key.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from image_builder.config import BuildConfig
from image_builder.errors import SurroundingsError
from image_builder.layers import Layer, Store
from image_builder.run import run
from proxy.upstream import settings

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
    """A finished tool root. digest: SHA-256 over the sorted "name version" lines of its packages."""

    path: Path
    digest: str
    live_build: str  # version, "1:20250505+deb13u1"

    def script(self, name: str) -> str:
        """The text of one of live-build's scripts, "chroot"."""
        return (self.path / "usr/lib/live/build" / name).read_text(encoding="utf-8")


def _way_out() -> dict[str, str]:
    """A company's proxy, as apt takes it: not as an argument, since there may be a login in it."""
    configured = settings()
    said = {
        "http_proxy": configured.http_proxy,
        "https_proxy": configured.https_proxy,
        "no_proxy": configured.no_proxy,
    }
    return {name: found for name, value in said.items() if (found := os.environ.get(name) if value is None else value)}


def packages(architecture: str) -> tuple[str, ...]:
    return PACKAGES + BOOT_PACKAGES.get(architecture, ())


def recipe_key(config: BuildConfig) -> str:
    """What a tool root is stored under: what was asked for, not what came out."""
    asked = [RECIPE, config.tool_suite, config.architecture, config.mirror, *packages(config.architecture)]
    return hashlib.sha256(json.dumps(["tool-root", *asked]).encode()).hexdigest()


def opened(layer: Layer) -> ToolRoot:
    return ToolRoot(layer.diff, str(layer.meta["packages_digest"]), str(layer.meta["live_build"]))


def stored(store: Store, config: BuildConfig) -> ToolRoot | None:
    layer = store.get(recipe_key(config))
    return None if layer is None else opened(layer)


def make(store: Store, config: BuildConfig, *, log: Path) -> ToolRoot:
    """The tool root, made first if it is not stored. Takes about 25 s and 390 MB.

    Raises SurroundingsError when the host has no mmdebstrap, CommandError when it fails.
    """
    with store.building(recipe_key(config)) as place:
        if isinstance(place, Layer):
            return opened(place)
        if not Path("/usr/bin/mmdebstrap").exists():
            raise SurroundingsError("mmdebstrap is not installed", where="tool root", hint="apt-get install mmdebstrap")
        names = packages(config.architecture)
        log.parent.mkdir(parents=True, exist_ok=True)
        run(
            [
                *("setpriv", "--pdeathsig", "KILL"),  # a killed build takes it along
                "mmdebstrap",
                "--mode=root",
                "--variant=apt",
                f"--logfile={log}",
                f"--architectures={config.architecture}",
                f"--include={','.join(names)}",
                "--aptopt=APT::Install-Recommends false",
                "--aptopt=Acquire::Retries 5",
                "--dpkgopt=force-unsafe-io",
                *([f"--keyring={config.keyring}"] if config.keyring else []),
                *([] if config.check_valid_until else ["--aptopt=Acquire::Check-Valid-Until false"]),
                config.tool_suite,
                place.diff,
                config.mirror,
            ],
            timeout_s=config.timeout_s,
            env=_way_out(),
            hint=f"the whole log is in {log}",
        )
        versions = run(["dpkg-query", f"--admindir={place.diff}/var/lib/dpkg", "-W"])
        digest = hashlib.sha256("".join(sorted(versions.splitlines(keepends=True))).encode()).hexdigest()
        live_build = next(line.split("\t")[1] for line in versions.splitlines() if line.startswith("live-build\t"))
        meta = {"kind": "tool-root", "name": f"tool root ({config.tool_suite})", "packages_digest": digest}
        return opened(place.commit({**meta, "live_build": live_build}))
