"""Compares what the store keeps with what was put in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from image_builder.layers.digest import digest, keep
from image_builder.layers.layer import SHORT, Layer, read
from image_builder.layers.listing import differences
from image_builder.layers.shelf import damaged_downloads


@dataclass(frozen=True)
class Problem:
    """Something in the store that is not as it was put in. path: the layer's directory, or the download."""

    key: str
    path: Path
    what: str


def problems(store: Path, deep: bool) -> Iterator[Problem]:
    """Look at every layer by its listing (path, type, mode, owner, size, time, link target).

    deep: at every byte, of downloads too. A layer whose digest the build had no time for gets it now.
    """
    for place in sorted((store / "layers").iterdir()):
        layer, what = read(place)
        if layer is None:
            yield Problem(place.name, place, what)
        else:
            yield from (Problem(layer.key, place, line) for line in layer_problems(layer, deep))
    for path, found in damaged_downloads(store) if deep else ():
        yield Problem(path.name, path, f"{'SHA-256' if len(found) == 64 else 'SHA3-384'} is {found}")


def layer_problems(layer: Layer, deep: bool) -> list[str]:
    """How one layer differs from what was put in, a line for each path."""
    try:
        found = differences(layer.directory / "listing", layer.diff)
    except (OSError, ValueError) as e:
        return [f"its listing cannot be read: {e}"]
    if not found and deep:
        known = layer.digest
        if known is None:
            keep(layer)
        elif (now := digest(layer.diff)) != known:
            found = [f"content differs: digest was {known[:SHORT]}…, is {now[:SHORT]}…"]
    return found
