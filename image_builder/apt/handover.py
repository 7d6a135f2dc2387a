"""Handing what was frozen and fetched to the apt of a build, so that it downloads nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from image_builder.apt.fetch import archives_folder
from image_builder.apt.lists import copy_lists
from image_builder.apt.solution import Package
from proxy.blobs import Blobs

LISTS = "var/lib/apt/lists"
CACHE = "var/cache/apt"

# With both folders in the empty target, mmdebstrap makes no update (it finds all that one leaves
# behind), takes every package from the cache, and leaves both as they are for the steps that follow.
MMDEBSTRAP_OPTIONS = ("--skip=check/empty,cleanup/apt", '--aptopt=Acquire::Languages "none"')


@dataclass(frozen=True)
class Handover:
    """Folders to be seen in the root of one step, bound or as a layer: they keep 150 MB out of its own layer."""

    lists: Path  # at LISTS; after the step check_lists() compares it with the lock
    cache: Path  # at CACHE


def hand_over(lists: Path, packages: Sequence[Package], store: Blobs, folder: Path) -> Handover:
    """Lay out lists and packages below a folder as they stand in a root; beside the store it costs no time or space.

    lists: from lists_folder(). packages: of all solutions this step may install. `apt-get update` in the root then
    reads the InRelease files only (the lists are current), and `apt-get install` of these packages fetches nothing.
    One step's apt writes into it, so each step gets its own.
    """
    result = Handover(folder / LISTS, folder / CACHE)
    copy_lists(lists, result.lists)
    archives_folder(packages, store, result.cache / "archives")
    for name in ("pkgcache.bin", "srcpkgcache.bin"):
        # Their presence tells mmdebstrap that an update was made (run_update); apt finds them empty and makes its own.
        (result.cache / name).touch()
    return result
