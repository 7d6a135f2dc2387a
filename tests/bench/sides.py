"""The sides of a comparison, with the same wishes: image-builder, plain live-build, the tools by hand.

Plain live-build runs in the tool root too, so that neither its version nor that of its tools makes a difference.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ground import Ground
from report import Cost, measured

from image_builder.build.record import BuildRecord
from image_builder.config import BuildConfig
from image_builder.errors import CommandError, PipelineError
from image_builder.live_build import configuration, hooks, package_lists
from image_builder.run import BASE_ENV, run

TOP = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).with_name("image-builder")
HELPER = re.compile(r"\[[^]]+\] lb (\S+)")  # what live-build prints when a helper begins
SMALL = ("systemd-sysv", "dbus", "udev", "iproute2", "netbase", "ca-certificates", "less", "nano")
# What makes plain live-build's image the same, beside the options we pass ourselves. Caches are left to its defaults;
# one blank means no boot loader.
PLAIN_OPTIONS = (
    "--debootstrap-options", "--variant=minbase", "--cache", "true", "--binary-image", "tar", "--bootloaders", " ",
)  # fmt: skip
# A quick compressor and level: to see that a bench works, and where compressing is not what is measured.
QUICK = {"SQUASHFS_COMP": "lz4", "XZ_LEVEL": "0"}


@dataclass(frozen=True)
class Edit:
    """A change to a copy of the shipped hooks.d. pattern: what goes, a regular expression; "": the file is new."""

    file: str
    pattern: str
    text: str


@dataclass(frozen=True)
class Case:
    """What is wished of all sides. environment: what hooks see."""

    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()

    @property
    def config(self) -> BuildConfig:
        return BuildConfig(packages=self.packages, environment=self.environment)

    def put_hooks(self, target: Path) -> None:
        shutil.copytree(TOP / "hooks.d", target, symlinks=True)
        for edit in self.edits:
            file = target / edit.file
            text, count = re.subn(edit.pattern, edit.text, file.read_text()) if edit.pattern else (edit.text, 1)
            if not count:
                raise PipelineError(f"has no {edit.pattern!r} any more", where=file, hint="correct the bench")
            file.write_text(text)
            file.chmod(0o755)


# -- image-builder


def project(ground: Ground, name: str, case: Case) -> Path:
    """A project folder that wishes the case, without a lock."""
    folder = ground.folder / name
    folder.mkdir()
    wishes = {"packages": case.packages, "environment": dict(case.environment)}
    (folder / "image-builder.yaml").write_text(json.dumps(wishes, indent=1))  # JSON is YAML
    case.put_hooks(folder / "hooks.d")
    return folder


def build(folder: Path, store: Path, targets: Sequence[str], *options: str) -> Cost:
    """`image-builder build`, as a user starts it. Raises CommandError with the end of what it said."""
    log = folder.with_suffix(".log")
    # It ends with us, and cleans up then. PYTHONPATH: so that a copy of the project can be measured.
    words: list[str | Path] = [
        "setpriv",
        "--pdeathsig",
        "TERM",
        COMMAND,
        "build",
        *targets,
        *options,
        "--store",
        store,
        "-C",
        folder,
    ]
    environment = {**BASE_ENV, "CI": "1", **{n: os.environ[n] for n in ("PYTHONPATH",) if n in os.environ}}

    def ran() -> int:
        with log.open("wb") as out, subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        ) as child:  # fmt: skip
            try:
                return child.wait()
            except BaseException:
                child.terminate()
                raise

    cost, status = measured(ran)
    if status != 0:
        said = log.read_text(errors="replace")[-3000:]
        raise CommandError(f"exit {status}\n{said}", where=shlex.join(map(str, words)))
    _say(f"image-builder build {' '.join([*targets, *options])}", cost)
    return cost


def record(folder: Path) -> BuildRecord:
    """The record of a project's newest build."""
    found = BuildRecord.read(folder / "builds/latest")
    if found is None:
        raise PipelineError("has no build record", where=folder)
    return found


# -- plain live-build


@dataclass(frozen=True)
class Plain:
    """A plain run. helpers: seconds by helper, each up to the next one. packages: lines of `dpkg-query -W`."""

    cost: Cost
    helpers: Mapping[str, float]
    packages: frozenset[str]

    @property
    def own_image_s(self) -> float:
        """Seconds for an image nobody asked for: live-build makes one in any case, here beside that of the hooks."""
        return self.helpers.get("binary_rootfs", 0.0) + self.helpers.get("binary_tar", 0.0)

    @property
    def counted(self) -> Cost:
        """Without those seconds, which would flatter us. Their CPU time is not known and stays in."""
        return Cost(self.cost.wall_s - self.own_image_s, self.cost.cpu_s)


def plain(ground: Ground, name: str, case: Case, target: str, *, with_chroot: bool = False) -> Plain:
    """`lb config && lb build` for one target in a folder without our auto/, with nothing cached.

    with_chroot: as live-build does it by default, with a copy of the root and its archives set up once more.
    """
    folder = ground.folder / name
    _plain_folder(folder, case, target)
    options = [*configuration.options(case.config, "none"), *PLAIN_OPTIONS]
    options += ["--build-with-chroot", "true"] if with_chroot else []
    starts: list[tuple[str, float]] = []

    def on_line(text: str) -> None:
        if match := HELPER.match(text):
            starts.append((match[1], time.monotonic()))

    cost = ground.in_tool_root(folder, f"lb config {shlex.join(options)} && lb build", on_line)
    starts.append(("", time.monotonic()))
    helpers: dict[str, float] = {}
    for (helper, began), (_, ended) in pairwise(starts):
        helpers[helper] = helpers.get(helper, 0.0) + ended - began
    if not list(folder.glob("livecd.*")):
        raise PipelineError(f"made no livecd.* of {target}", where="plain live-build")
    packages = frozenset((folder / "chroot.packages.live").read_text().splitlines())
    result = Plain(cost, helpers, packages)
    _say(f"lb config && lb build, {target}; {result.own_image_s:.1f} s of it for an image of its own", cost)
    shutil.rmtree(folder)
    return result


def _plain_folder(folder: Path, case: Case, target: str) -> None:
    case.put_hooks(folder / "hooks.d")
    links, empty = folder / "config/hooks/normal", folder / "config/hooks/live/000-none.chroot"
    run([TOP / "hooks.d/make-hooks", "-q", "--hooks-source", folder / "hooks.d", "--hooks-dir", links, target])
    empty.parent.mkdir(parents=True)
    empty.write_text("#!/bin/sh\n")  # without one here, live-build runs none of the chroot hooks in normal/
    empty.chmod(0o755)
    config = case.config
    names = {"PROJECT": config.project, "SUITE": config.suite, "ARCH": config.architecture, **case.environment}
    for name in ("chroot", "binary"):
        (folder / f"config/environment.{name}").write_text(hooks.environment_file(names))
    if case.packages:
        own = folder / "config" / package_lists.OWN_LIST
        own.parent.mkdir()
        own.write_text(package_lists.own_list(case.packages))


def same_packages(folder: Path, target: str, other: Plain) -> str:
    """A note that says whether both sides put the same packages into the image."""
    ours = frozenset((folder / "builds/latest" / f"{target}.manifest").read_text().splitlines())
    if ours == other.packages:
        return f"{target}: the same {len(ours)} packages on both sides"
    names = sorted(line.replace("\t", "=") for line in ours ^ other.packages)
    return f"{target}: packages differ: {' '.join(names)}"


# -- by hand


def by_hand(ground: Ground, name: str, script: str) -> Cost:
    """A shell script in an empty folder, with the programs of the tool root."""
    folder = ground.folder / name
    folder.mkdir()
    cost = ground.in_tool_root(folder, script)
    _say("by hand", cost)
    shutil.rmtree(folder)
    return cost


def _say(what: str, cost: Cost) -> None:
    print(f"{cost.wall_s:8.2f} s  {what}", file=sys.stderr, flush=True)
