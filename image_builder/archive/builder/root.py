"""The builder's root: a small root with sbuild and mmdebstrap, so that the host's versions do not matter."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from image_builder.archive.builder.recipe import USER
from image_builder.errors import SurroundingsError
from image_builder.layers import Layer, Store
from image_builder.run import run
from image_builder.sandbox import Sandbox, execute

RECIPE = "1"  # raised when a root made by an older version must not be used any more
PACKAGES = (
    "build-essential",  # dpkg-architecture and dpkg-source, with their tables
    "ca-certificates",
    "debian-archive-keyring",
    "iproute2",  # sbuild raises the loopback device of a build's own network namespace
    "mmdebstrap",
    "mount",
    "sbuild",
    "uidmap",  # newuidmap: sbuild's chroots are made and entered without root
    "zstd",
)
FIRST_SUBORDINATE, SUBORDINATES = 100_000, 65_536
USER_ID = 1000  # uid and gid of the user sbuild runs as


class BuilderRoot(NamedTuple):
    """digest: SHA-256 over the sorted "name version" lines of its packages."""

    path: Path
    digest: str
    sbuild: str  # version


TOOL_SUITE = "trixie"
TOOL_MIRROR = "http://deb.debian.org/debian"


def made_here(store: Store, log: Path) -> BuilderRoot:
    """The root for this machine's own architecture."""
    architecture = run(["dpkg", "--print-architecture"]).strip()
    return make(store, suite=TOOL_SUITE, architecture=architecture, mirror=TOOL_MIRROR, keyring=None, log=log)


def probe(root: BuilderRoot, log: Path) -> None:
    """Try what sbuild does for every build. Raises SurroundingsError where user namespaces cannot be made."""
    as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
    sandbox = Sandbox(root=root.path, network="none", nests=True)
    outcome = execute(sandbox, [*as_user, "unshare", "--user", "--map-root-user", "--mount", "true"], log=log)
    if outcome.exit_status != 0:
        raise SurroundingsError(
            "no user namespaces can be made, which sbuild needs for its chroots",
            where=log,
            hint="not in a chroot, and /proc/sys/user/max_user_namespaces (and, if it is there,"
            " /proc/sys/kernel/unprivileged_userns_clone) must not be 0",
        )


def make(
    store: Store,
    *,
    suite: str,
    architecture: str,
    mirror: str,
    keyring: Path | None,
    log: Path,
    check_date: bool = True,
) -> BuilderRoot:
    """The root, made first if it is not stored. Takes about 30 s and 500 MB.

    Raises SurroundingsError when the host has no mmdebstrap, CommandError when it fails.
    """
    asked = ["builder-root", RECIPE, suite, architecture, mirror, *PACKAGES]
    with store.building(hashlib.sha256(json.dumps(asked).encode()).hexdigest()) as place:
        if isinstance(place, Layer):
            return _opened(place)
        if not Path("/usr/bin/mmdebstrap").exists():
            raise SurroundingsError(
                "mmdebstrap is not installed", where="builder root", hint="apt-get install mmdebstrap"
            )
        log.parent.mkdir(parents=True, exist_ok=True)
        subordinate = f"{USER}:{FIRST_SUBORDINATE}:{SUBORDINATES}"
        run(
            [
                *("setpriv", "--pdeathsig", "KILL"),  # a killed build takes it along
                *("mmdebstrap", "--mode=root", "--variant=apt", f"--logfile={log}"),
                f"--architectures={architecture}",
                f"--include={','.join(PACKAGES)}",
                "--aptopt=APT::Install-Recommends false",
                "--aptopt=Acquire::Retries 5",
                "--dpkgopt=force-unsafe-io",
                f'--customize-hook=chroot "$1" useradd --uid {USER_ID} --create-home {USER}',
                f'--customize-hook=echo {subordinate} | tee "$1/etc/subuid" >"$1/etc/subgid"',
                *([f"--keyring={keyring}"] if keyring else []),
                *([] if check_date else ["--aptopt=Acquire::Check-Valid-Until false"]),
                suite,
                place.diff,
                mirror,
            ],
            timeout_s=1800,
            hint=f"the whole log is in {log}",
        )
        versions = run(["dpkg-query", f"--admindir={place.diff}/var/lib/dpkg", "-W"])
        digest = hashlib.sha256("".join(sorted(versions.splitlines(keepends=True))).encode()).hexdigest()
        sbuild = next(line.split("\t")[1] for line in versions.splitlines() if line.startswith("sbuild\t"))
        meta = {"kind": "tool-root", "name": f"builder root ({suite})", "packages_digest": digest, "sbuild": sbuild}
        return _opened(place.commit(meta))


def _opened(layer: Layer) -> BuilderRoot:
    return BuilderRoot(layer.diff, str(layer.meta["packages_digest"]), str(layer.meta["sbuild"]))
