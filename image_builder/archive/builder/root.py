"""The builder's root: a small root with sbuild and mmdebstrap, so that the host's versions do not matter."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import NamedTuple

from image_builder.apt.solution import Solution
from image_builder.architectures import native_architecture
from image_builder.archive.builder import tools as chosen
from image_builder.archive.builder.assignment import Tools
from image_builder.archive.builder.recipe import USER
from image_builder.errors import SurroundingsError
from image_builder.layers import Layer, Store
from image_builder.live_build.tool_root import apart
from image_builder.run import run
from image_builder.sandbox import Sandbox, execute
from proxy.archive.freeze import blobs
from proxy.store.upkeep import in_use

RECIPE = "2"  # raised when a root made by an older version must not be used any more
PACKAGES = (
    "ca-certificates",
    "debian-archive-keyring",
    "dpkg-dev",  # dpkg-architecture and dpkg-source
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


def made(store: Store, tools: Tools, log: Path) -> BuilderRoot:
    """The root of these tools: a stored one of the same packages, else made now, in about 20 s and 500 MB.

    What it is made of is fetched before, so that a second time no network is needed. Raises SurroundingsError when the
    host has no mmdebstrap, CommandError when it fails, PipelineError when what the lock names is nowhere any more.
    """
    asked = chosen.question(tools, [RECIPE, native_architecture(), *PACKAGES])
    known = store.recall("builder-root", asked)
    layer = store.get(str(known)) if known else None
    if layer is None:
        with in_use(blobs(store.downloads())):
            solution = chosen.solution(store, tools, PACKAGES)
            key = hashlib.sha256(json.dumps(["builder-root", RECIPE, solution.digest]).encode()).hexdigest()
            layer = _found_or_made(store, key, tools, solution, log)
        store.remember("builder-root", asked, key)
    return BuilderRoot(layer.diff, str(layer.meta["packages_digest"]), str(layer.meta["sbuild"]))


def _found_or_made(store: Store, key: str, tools: Tools, solution: Solution, log: Path) -> Layer:
    with store.building(key) as place:
        if isinstance(place, Layer):
            return place
        if not Path("/usr/bin/mmdebstrap").exists():
            raise SurroundingsError(
                "mmdebstrap is not installed", where="builder root", hint="apt-get install mmdebstrap"
            )
        log.parent.mkdir(parents=True, exist_ok=True)
        chosen.fetched(store, tools, solution)(place.diff)
        # mmdebstrap keeps keys there while it runs: beside the layer, where the next start clears what a kill left
        temporary = place.directory / "tmp"
        temporary.mkdir()
        subordinate = f"{USER}:{FIRST_SUBORDINATE}:{SUBORDINATES}"
        run(
            apart(
                *("mmdebstrap", "--mode=root", "--variant=apt", "--skip=check/empty", f"--logfile={log}"),
                f"--architectures={native_architecture()}",
                f"--include={','.join(PACKAGES)}",
                "--aptopt=APT::Install-Recommends false",
                "--aptopt=Acquire::Languages none",
                "--aptopt=Acquire::Check-Valid-Until false",  # judged when it was pinned
                "--dpkgopt=force-unsafe-io",
                f'--customize-hook=chroot "$1" useradd --uid {USER_ID} --create-home {USER}',
                f'--customize-hook=echo {subordinate} | tee "$1/etc/subuid" >"$1/etc/subgid"',
                f"--keyring={tools.source.signed_by[0]}",
                tools.source.suite,
                str(place.diff),
                tools.source.uri,
            ),
            timeout_s=1800,
            env={"TMPDIR": str(temporary)},
            hint=f"the whole log is in {log}",
        )
        shutil.rmtree(temporary)
        versions = run(["dpkg-query", f"--admindir={place.diff}/var/lib/dpkg", "-W"])
        digest = hashlib.sha256("".join(sorted(versions.splitlines(keepends=True))).encode()).hexdigest()
        sbuild = next(line.split("\t")[1] for line in versions.splitlines() if line.startswith("sbuild\t"))
        name = f"builder root ({tools.source.suite})"
        return place.commit({"kind": "tool-root", "name": name, "packages_digest": digest, "sbuild": sbuild})
