"""What this machine lacks to build and boot images, each with what mends it."""

from __future__ import annotations

import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal

from image_builder.boot import kvm
from image_builder.config import BuildConfig
from image_builder.errors import CommandError, PipelineError, SurroundingsError
from image_builder.layers import Store
from image_builder.run import BASE_ENV, run
from image_builder.sandbox import limits
from image_builder.sandbox.emulation import HINT, needed

GIB = 1 << 30
FREE_DISK_BYTES = 10 * GIB  # all shipped formats, their layers, and what is downloaded for them
MEMORY_BYTES = 2 * GIB  # xz with one thread per core and its dictionaries
CLOCK_SKEW_S = 600.0  # what apt forgives a Release of the future

# program -> Debian package, of what a build starts on the host
BUILD_PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "dpkg": "dpkg",
    "mount": "mount",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ip": "iproute2",
    "nft": "nftables",
    "tar": "tar",
}
BOOT_PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "mcopy": "mtools"}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

Verdict = Literal["ok", "warning", "lacking"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at. verdict: "lacking" is what keeps a build from ending well; mend: a command, or words."""

    name: str
    verdict: Verdict
    what: str
    mend: str = ""

    def line(self) -> str:
        return f"{self.name}: {self.what}" + (f" (mend: {self.mend})" if self.mend else "")


def examine(config: BuildConfig, output: Path, *, network: bool = True) -> Iterator[Finding]:
    """Look at everything, one after the other, quickest first. network: ask the archive too.

    output: where builds go. Needs root only for what a build needs root for; says so otherwise.
    """
    yield _root()
    yield programs("programs to build", BUILD_PROGRAMS, "lacking")
    yield _verifier()
    yield _keyring(config)
    yield programs("programs to boot images", BOOT_PROGRAMS, "warning")
    yield _memory(Path("/proc/meminfo").read_text())
    yield disk("disk for layers", config.store)
    yield disk("disk for images", output)
    if os.geteuid() == 0:
        yield _tried("namespaces", _namespaces, "the kernel or the container forbids them: docker run --privileged")
        yield _tried("layer store", lambda: _store(config.store), "image-builder --store on another disk")
        yield _bounds(limits.missing())
        if config.foreign:
            yield _tried("emulation", lambda: _emulation(config.architecture), HINT)
    yield _acceleration(config.architecture)
    if network:
        yield from _archive(config)


def at_once(config: BuildConfig, output: Path) -> list[Finding]:
    """What is lacking, of what can be seen in a moment and without the network: for a build that has just failed."""
    return [finding for finding in examine(config, output, network=False) if finding.verdict == "lacking"]


def _bounds(missing: Sequence[str]) -> Finding:
    """missing: what a step is not kept from."""
    if not missing:
        return Finding("bounds of a step", "ok", "memory, processes, devices")
    mend = "in a container: start it with its own control groups, as docs/security.md says"
    return Finding("bounds of a step", "warning", "; ".join(missing), mend)


def _root() -> Finding:
    if os.geteuid() == 0:
        return Finding("root", "ok", "this is root")
    return Finding("root", "lacking", "building mounts overlays and makes namespaces", "sudo image-builder doctor")


def programs(name: str, wanted: dict[str, str], verdict: Verdict) -> Finding:
    """Are these programs on the path that builds use? wanted: program -> Debian package."""
    missing = [program for program in wanted if not shutil.which(program, path=BASE_ENV["PATH"])]
    if not missing:
        return Finding(name, "ok", ", ".join(wanted))
    packages = " ".join(sorted({wanted[program] for program in missing}))
    return Finding(name, verdict, f"{', '.join(missing)} missing", f"apt-get install {packages}")


def _verifier() -> Finding:
    found = [name for name in ("gpgv", "sqv") if shutil.which(name, path=BASE_ENV["PATH"])]
    if found:
        return Finding("signatures", "ok", f"checked by {found[0]}")
    return Finding("signatures", "lacking", "neither gpgv nor sqv is there", "apt-get install gpgv")


def _keyring(config: BuildConfig) -> Finding:
    if config.keyring is None and config.distribution != "debian":
        return Finding("keyring", "ok", f"{config.distribution}'s, in the tool root")
    keyring = config.keyring or KEYRING
    if keyring.is_file():
        return Finding("keyring", "ok", str(keyring))
    mend = f"put the archive's keys at {keyring}" if config.keyring else "apt-get install debian-archive-keyring"
    return Finding("keyring", "lacking", f"{keyring} is not there", mend)


def _memory(meminfo: str) -> Finding:
    fields = {line.split(":")[0]: line.split() for line in meminfo.splitlines()}
    available = int(fields["MemAvailable"][1]) << 10
    what = f"{available / GIB:.1f} GiB available"
    if available < MEMORY_BYTES:
        return Finding("memory", "warning", f"{what}; compressors take up to {MEMORY_BYTES >> 30} GiB",
                       "image-builder build --jobs 1")  # fmt: skip
    return Finding("memory", "ok", what)


def disk(name: str, folder: Path) -> Finding:
    """Is there space at a folder, or where it will be made?"""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    what = f"{free / GIB:.1f} GiB free at {place}"
    if free < GIB:
        return Finding(name, "lacking", what, "image-builder store prune --max-size SIZE")
    if free < FREE_DISK_BYTES:
        return Finding(name, "warning", f"{what}; all formats take {FREE_DISK_BYTES >> 30} GiB",
                       "image-builder store prune --max-size SIZE")  # fmt: skip
    return Finding(name, "ok", what)


def _tried(name: str, attempt: Callable[[], str], mend: str) -> Finding:
    try:
        return Finding(name, "ok", attempt())
    except PipelineError as e:
        return Finding(name, "lacking", e.what.splitlines()[0], e.hint or mend)


def _namespaces() -> str:
    try:
        run(["unshare", "--mount", "--pid", "--ipc", "--uts", "--net", "--fork", "true"])
    except CommandError as e:
        raise SurroundingsError(e.what.splitlines()[-1], where="unshare") from e
    return "mount, PID, IPC, UTS and network namespaces can be made"


def _store(folder: Path) -> str:
    with Store(folder) as store:
        store.probe()
    return f"{folder} can hold layers"


def _emulation(architecture: str) -> str:
    return f"programs of {architecture} are run {needed(architecture)}; that takes about ten times as long"


def _acceleration(architecture: str) -> Finding:
    try:
        found = kvm.probe(architecture)
    except (PipelineError, KeyError) as e:
        return Finding("KVM", "warning", f"not tried: {e}")
    if found.accelerator == "kvm":
        return Finding("KVM", "ok", "runs a guest")
    mend = "modprobe kvm, or nested virtualisation where this is a guest; images boot by emulation, slowly"
    return Finding("KVM", "warning", found.reason, mend)


def _archive(config: BuildConfig) -> Iterator[Finding]:
    """Can the archives be reached, and does their clock agree with ours?"""
    skews: list[float] = []
    wanted = [(config.mirror, config.suite)]
    if config.security:
        wanted.append((config.security_mirror, f"{config.suite}-security"))
    for uri, suite in wanted:
        address = f"{uri.rstrip('/')}/dists/{suite}/InRelease"
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=10) as answer:
                if date := answer.headers.get("Date"):
                    skews.append(time.time() - parsedate_to_datetime(date).timestamp())
            yield Finding("archive", "ok", f"{address} answers")
        except (OSError, ValueError) as e:
            reason = e.reason if isinstance(e, urllib.error.URLError) else e
            yield Finding("archive", "lacking", f"{address}: {reason}", "mirror: in image-builder.yaml, or http_proxy")
    yield clock(skews)


def clock(skews: Sequence[float]) -> Finding:
    """Seconds this machine is ahead of servers that said their time."""
    if not skews:
        return Finding("clock", "warning", "nobody was there to compare it with")
    skew = min(skews, key=abs)
    if abs(skew) <= CLOCK_SKEW_S:
        return Finding("clock", "ok", f"within {CLOCK_SKEW_S / 60:.0f} minutes of the archive's")
    where = "ahead of" if skew > 0 else "behind"
    what = f"{abs(skew) / 60:.0f} minutes {where} the archive's: signed files seem to be of the future, or expired"
    return Finding("clock", "lacking", what, "timedatectl set-ntp true")
