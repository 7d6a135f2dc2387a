"""Clears what a killed build left in the store. Who is dead is asked of the kernel's locks, never of a PID."""

from __future__ import annotations

from pathlib import Path

from image_builder import scratch
from image_builder.layers.files import clear_drafts, discard, erase
from image_builder.layers.layer import SHORT, read
from image_builder.layers.locks import KeyLocks
from image_builder.layers.shelf import DOWNLOADS
from image_builder.sandbox import limits


def clear(store: Path) -> list[str]:
    """Remove unfinished layers of dead owners, damaged layers, drafts and trash; say what it was, a line each.

    The control groups of killed sandboxes and temporary folders too, which nobody needs to hear of.
    """
    limits.clear()
    scratch.clear(store / DOWNLOADS)
    cleared = [f"{path.name}: an unfinished file" for path in clear_drafts(store)]
    owners = KeyLocks(store / "building.lock")
    try:
        for path in (store / "building").iterdir():
            if owners.take(path.name):
                discard(path, store / "trash")
                owners.release(path.name)
                cleared.append(f"{path.name[:SHORT]}: a layer whose build was killed")
        for path in (store / "layers").iterdir():
            what = read(path)[1]
            if what and owners.take(path.name):
                if read(path)[1]:  # still: its owner may just have put a sound one there
                    discard(path, store / "trash")
                    cleared.append(f"{path.name}: {what}")
                owners.release(path.name)
    finally:
        owners.close()
    for path in (store / "trash").iterdir():
        erase(path)
    return cleared


def forget_failed(store: Path, used: KeyLocks) -> None:
    """Remove the kept diffs of failed steps that nobody looks into now. used: locks of an object of its own."""
    for path in (store / "failed").iterdir():
        if used.take(path.name):
            discard(path, store / "trash")
            used.release(path.name)
