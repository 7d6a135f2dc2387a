"""Tries whether a directory can hold layers, by doing once what every step does."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

from image_builder.errors import CommandError, SurroundingsError
from image_builder.layers.files import draft, read_json, unique
from image_builder.layers.layer import boot_id
from image_builder.layers.locks import KeyLocks
from image_builder.run import run
from image_builder.sandbox import private_mounts, root_is_mount

MIN_FREE_BYTES = 1 << 30

_TRIAL = """
cd "$1"
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,redirect_dir=on,index=off,volatile seen
rm seen/file
rm -r seen/directory && mkdir seen/directory
mv seen/moved seen/there
"""
_ELSEWHERE = "choose another directory by --store: one on ext4, xfs or btrfs (in a container: a volume)"


def probe(store: Path) -> None:
    """Raise SurroundingsError, with the reason and what to do, if store cannot hold layers.

    What was found is kept for as long as this kernel runs, so only the first build of a boot tries for real.
    """
    if os.geteuid() != 0:
        raise SurroundingsError("layers need root: overlay mounts, devices, owners", where=store, hint="run with sudo")
    size, _, free = shutil.disk_usage(store)
    if free < MIN_FREE_BYTES and size:  # some file systems do not say
        what = f"no space: {free >> 20} MiB are free, a build needs {MIN_FREE_BYTES >> 20} MiB at the very least"
        raise SurroundingsError(
            what, where=store, hint="image-builder store prune --max-size SIZE, or --store elsewhere"
        )
    found = {"boot": boot_id(), "device": store.stat().st_dev}
    if read_json(store / "probe.json") == found:
        return
    _try(store)
    with draft(store, store / "probe.json") as file:
        file.write(json.dumps(found).encode())


def _try(store: Path) -> None:
    # Named and locked as a layer under construction, so that leftovers.clear knows whether we live.
    name = unique("probe").rpartition(".")[2]
    owners = KeyLocks(store / "building.lock")
    owners.take(name)
    trial = store / "building" / name
    kind = run(["stat", "--file-system", "--format=%T", store]).strip()
    try:
        for name in ("lower/directory", "lower/moved", "upper", "work", "seen"):
            (trial / name).mkdir(parents=True)
        (trial / "lower/file").touch()
        (trial / "lower/directory/inside").touch()
        try:
            os.setxattr(trial / "lower/file", "trusted.image-builder", b"1")
        except OSError as e:
            raise SurroundingsError(
                f"this file system ({kind}) keeps no trusted.* attributes: {e.strerror}", where=store, hint=_ELSEWHERE
            ) from e
        try:
            run(private_mounts(["sh", "-ec", _TRIAL, "sh", str(trial)], root_is_mount=root_is_mount()))
        except CommandError as e:
            what = f"this file system ({kind}) cannot be the upper of an overlay"
            raise SurroundingsError(what, where=store, hint=_ELSEWHERE) from e
        gone = (trial / "upper/file").lstat()
        opaque = os.getxattr(trial / "upper/directory", "trusted.overlay.opaque")
        if not stat.S_ISCHR(gone.st_mode) or gone.st_rdev != 0 or opaque != b"y":
            raise SurroundingsError(f"overlay on {kind} leaves no whiteouts", where=store, hint=_ELSEWHERE)
    finally:
        shutil.rmtree(trial, ignore_errors=True)
        owners.close()
