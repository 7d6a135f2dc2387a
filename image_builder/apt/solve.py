"""Asking apt, with the frozen lists and without the network, which packages a step will install."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from image_builder.apt.solution import Package, Solution, names_of, parse_uris, status_text, step_between
from image_builder.errors import PipelineError
from image_builder.run import run
from image_builder.sandbox.namespaces import private_mounts, root_is_mount
from image_builder.scratch import scratch
from proxy.archive.sources import Source

INSIDE = "/mnt"  # where the private folders stand in the tool root: a folder every root has
_ENVIRONMENT = ("env", "-i", f"APT_CONFIG={INSIDE}/apt.conf", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8")
# What mmdebstrap's merged-usr hook puts into the empty root first, so that nothing pulls in usrmerge, with all of perl.
_MERGED_USR = """\
Package: usr-is-merged
Status: install ok installed
Architecture: all
Multi-Arch: foreign
Maintainer: nobody
Version: 1
Description: stands in until the real one is installed
"""


@dataclass(frozen=True)
class Bind:
    """A folder of the host that is seen in the tool root."""

    source: Path
    target: str
    read_only: bool = False


class RunInRoot(Protocol):
    """Runs a program with the tool root as /, these folders bound in it in order; returns its standard output."""

    def __call__(self, argv: Sequence[str], binds: Sequence[Bind]) -> str: ...


@dataclass(frozen=True)
class Context:
    """What apt is to choose from, and where apt is."""

    run_in_root: RunInRoot
    sources: tuple[Source, ...]
    lists: Path  # of the frozen suites: lists_folder()
    cache: Path  # apt's own cache for these lists is kept in it
    architecture: str
    preferences: Mapping[str, str] = field(default_factory=dict)  # file name in preferences.d -> text
    apt_conf: str = ""  # what the build's own apt.conf adds


def in_root(root: Path) -> RunInRoot:
    """Runs programs by chroot in mount and PID namespaces of their own: nothing is left mounted or running.

    Nothing is written into root either. root may be "/", for the host's own apt. Needs root's rights.
    """

    def enter(argv: Sequence[str], binds: Sequence[Bind]) -> str:
        mounts = [
            word
            for bind in binds
            for word in (str(bind.source), str(root / bind.target.lstrip("/")), "ro" if bind.read_only else "rw")
        ]
        # mount(8) needs the second call to make a bind read-only: the first one ignores the option.
        script = (
            'root=$1; n=$2; shift 2; while [ "$n" -gt 0 ]; do mount --bind "$1" "$2"; '
            'if [ "$3" = ro ]; then mount -o remount,bind,ro "$2"; fi; shift 3; n=$((n-1)); done; '
            'exec chroot "$root" "$@"'
        )
        command = private_mounts(
            ["sh", "-euc", script, "sh", str(root), str(len(binds)), *mounts, *argv],
            root_is_mount=root_is_mount(),
            also=["--pid", "--fork", "--kill-child"],  # with its PID namespace everything ends, apt's children too
        )
        return run(["setpriv", "--pdeathsig", "KILL", *command], hint="entering the tool root needs root")

    return enter


def solve_base(
    ctx: Context, suite: str, *, include: Sequence[str] = (), merged_usr: bool = True, required: bool = True
) -> Solution:
    """What mmdebstrap --variant=minbase installs, in its two steps: the essential set, then the rest on top of it.

    merged_usr: with its hook of that name. required: False for --variant=apt, without what the archive only calls
    required. Source: mmdebstrap 1.5.7, run_download and run_install, whose
    arguments to apt are repeated here. Raises PipelineError with apt's words.
    """
    ctx = replace(ctx, preferences={})  # which come into the root when it is there
    base = Solution(())
    stand_in = _MERGED_USR if merged_usr else ""
    essential = _step(
        ctx, base, "install", [_narrow(suite, ctx.architecture, "?essential")], recommends=False, stand_in=stand_in
    )
    more_of_it = _narrow(suite, ctx.architecture, "?and(?priority(required),?not(?essential))")
    rest = [*(["usr-is-merged"] if merged_usr else []), *include, "apt", *([more_of_it] if required else [])]
    more = _step(ctx, Solution(essential.packages), "install", rest, recommends=False, stand_in=stand_in)
    return Solution(
        tuple(sorted(Solution(more.packages, more.removed, Solution(essential.packages)).installed.values()))
    )


def solve_packages(
    ctx: Context, below: Solution, names: Sequence[str], *, recommends: bool, upgrade: bool = False
) -> Solution:
    """What `apt-get install NAMES` does in a root in which `below` is installed.

    names: as apt takes them (name, name=version, name/suite, name-, task^). upgrade: a dist-upgrade comes first,
    as live-build makes one. Raises PipelineError with apt's words.
    """
    state = below
    if upgrade:
        state = _step(ctx, state, "dist-upgrade", [], recommends=recommends)
    if names:
        state = _step(ctx, state, "install", names, recommends=recommends)
    return step_between(below, state)


def _narrow(suite: str, architecture: str, pattern: str) -> str:
    return f"?narrow(?or(?archive(^{suite}$),?codename(^{suite}$)),?architecture({architecture}),{pattern})"


def _step(
    ctx: Context, below: Solution, verb: str, names: Sequence[str], *, recommends: bool, stand_in: str = ""
) -> Solution:
    where = f"apt-get {verb}"
    kept = _kept_folder(ctx)
    with scratch(ctx.cache) as private:
        binds = [
            Bind(private, INSIDE),
            Bind(ctx.lists, f"{INSIDE}/lists", read_only=True),
            Bind(kept, f"{INSIDE}/cache"),
        ]
        _private_folders(private, ctx)
        if below.installed:
            _settings(private, ctx, recommends, _kept_status(ctx.cache, kept, ""))
            known = _ask(
                ctx, binds, ["apt-cache", "show", "--", *names_of(tuple(below.installed.values()))], "apt-cache"
            )
            status = status_text(known, below.installed, where=where)
            if stand_in and ("usr-is-merged", "all") not in below.installed:
                status = f"{stand_in}\n{status}"
            (private / "status").write_text(status)
            # Not written: one such cache has 45 MB, and no other call has the same status
            _settings(private, ctx, recommends, (f"{INSIDE}/status", ""))
        else:
            _settings(private, ctx, recommends, _kept_status(ctx.cache, kept, stand_in))
        said = _ask(ctx, binds, ["apt-get", "--yes", "--print-uris", verb, "--", *names], where)
    packages, removed = parse_uris(said, architecture=ctx.architecture, where=where)
    gone = [_as_installed(one, below) for one in removed]
    return Solution(tuple(packages), tuple(gone), below if below.installed else None)


def _kept_folder(ctx: Context) -> Path:
    """Where apt keeps its caches of these lists, read with these sources."""
    lines = "".join(source.line() for source in ctx.sources)
    kept = ctx.cache / "apt-cache" / f"{ctx.lists.name}-{hashlib.sha256(lines.encode()).hexdigest()[:8]}"
    kept.mkdir(parents=True, exist_ok=True)
    return kept


def _kept_status(cache: Path, kept: Path, text: str) -> tuple[str, str]:
    """Where apt finds a status that many calls share, and its cache for it, good while the file stays as it is."""
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = kept / f"status-{name}"
    if not path.exists():
        with scratch(cache) as folder:
            (folder / name).write_text(text)
            with suppress(FileExistsError):  # another build was faster; its file may be in a cache already
                os.link(folder / name, path)
    return f"{INSIDE}/cache/{path.name}", f"{INSIDE}/cache/pkgcache-{name}.bin"


def _as_installed(gone: tuple[str, str], below: Solution) -> tuple[str, str]:
    return gone if gone in below.installed else (gone[0], "all")


def _private_folders(private: Path, ctx: Context) -> None:
    """Everything apt reads or writes, so that neither the host's settings nor the tool root's own count."""
    etc = private / "etc/apt"
    for folder in (*(etc / f"{part}.d" for part in ("apt.conf", "preferences", "sources.list")), private / "state"):
        folder.mkdir(parents=True)
    for name in ("lists", "cache", "log"):
        (private / name).mkdir()
    (etc / "sources.list").write_text("".join(source.line() + "\n" for source in ctx.sources))
    for file, text in ctx.preferences.items():
        (etc / "preferences.d" / Path(file).name).write_text(text)
    # apt does not believe a cache that is older than its sources, and these are written for each call; what they
    # say is in the name of the cache's folder.
    for path in (etc / "sources.list", etc / "sources.list.d"):
        os.utime(path, (0, 0))


def _settings(private: Path, ctx: Context, recommends: bool, files: tuple[str, str]) -> None:
    status, pkgcache = files
    settings = {
        "Dir": INSIDE,
        "Dir::State": f"{INSIDE}/state",
        "Dir::State::lists": f"{INSIDE}/lists",
        "Dir::State::status": status,
        "Dir::Cache": f"{INSIDE}/cache",
        "Dir::Cache::pkgcache": pkgcache,
        "Dir::Cache::archives": f"{INSIDE}/state",
        "Dir::Log": f"{INSIDE}/log",
        "APT::Architecture": ctx.architecture,
        "APT::Architectures": ctx.architecture,
        "APT::Install-Recommends": str(recommends).lower(),
        "Acquire::Languages": "none",
        "Acquire::ForceHash": "sha256",
        "pkgCacheGen::ForceEssential": ",",  # as mmdebstrap: apt itself is asked for by name
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "root",
        "APT::Get::HideAutoRemove": "true",
    }
    lines = [f'{key} "{value}";' for key, value in settings.items()]
    (private / "apt.conf").write_text("\n".join([*lines, ctx.apt_conf]) + "\n")


def _ask(ctx: Context, binds: Sequence[Bind], argv: Sequence[str], where: str) -> str:
    # apt explains itself on both streams; the exit status comes as the last line.
    said = ctx.run_in_root([*_ENVIRONMENT, "sh", "-c", '"$@" 2>&1; echo "ended with $?"', "sh", *argv], binds)
    text, _, status = said.rstrip("\n").rpartition("\n")
    if status != "ended with 0":
        errors = [line.removeprefix("E: ") for line in text.splitlines() if line.startswith("E: ")]
        unmet = text.partition("The following packages have unmet dependencies:\n")[2].partition("E: ")[0]
        raise PipelineError(
            "; ".join(errors) + (f"\n{unmet.rstrip()}" if unmet else "") or text[-2000:] or status,
            where=where,
            hint="is the name right, and its component among those asked for?" if "locate" in text else "",
        )
    return text


def total(solutions: Sequence[Solution]) -> list[Package]:
    """The packages of several steps, each once."""
    return sorted({package.sha256: package for solution in solutions for package in solution.packages}.values())
