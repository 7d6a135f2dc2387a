"""A layer in the records of a project's builds: what it is made of, and what changed since it was last built. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from image_builder.artifacts.compare import Changes, changes
from image_builder.build.record import BuildRecord, LayerRecord
from image_builder.errors import ConfigError


@dataclass(frozen=True)
class Explained:
    """before: the layer at the same place in an earlier build that had another key there, with that build's name."""

    layer: LayerRecord
    place: tuple[str, ...]  # names of the steps below it and its own, lowest first
    before: tuple[str, LayerRecord] | None
    inputs: Changes[str]  # against before; empty where there is none
    below_changed: bool


def records(builds: Path) -> list[tuple[str, BuildRecord]]:
    """The builds of a folder, newest first: (name of its folder, record). What cannot be read is left out.

    Names are times; `latest` is the newest one whatever its name says, since a clock may have been set back.
    """
    newest = (builds / "latest").resolve().name
    folders = sorted(
        (p for p in builds.glob("2*") if p.is_dir()), key=lambda p: (p.name == newest, p.name), reverse=True
    )
    found = ((folder.name, BuildRecord.read(folder)) for folder in folders)
    return [(name, record) for name, record in found if record is not None]


def find(wanted: str, record: BuildRecord) -> LayerRecord:
    """The layer of a key (or its beginning) or of a name (or a part of it). Raises ConfigError for none or several."""
    layers = record.layers
    matches = (
        [x for x in layers if len(wanted) >= 4 and x.key.startswith(wanted)]
        or [x for x in layers if x.name == wanted]
        or [x for x in layers if wanted in x.name]
    )
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(f"{x.name} ({x.key[:12]})" for x in matches or layers)
    if matches:
        raise ConfigError(f"{wanted!r} are several layers: {names}", where="explain", hint="name one by its key")
    raise ConfigError(f"no layer is called {wanted!r}", where="explain", hint=f"there are {names}")


def explain(wanted: str, history: Sequence[tuple[str, BuildRecord]]) -> Explained:
    """What the newest build says of a layer, held against the last build that had another one in its place."""
    if not history:
        raise ConfigError("there is no build yet", where="explain", hint="image-builder build")
    record = history[0][1]
    layer = find(wanted, record)
    place = _place(layer, record.layers)
    before = next(_others(layer, place, history[1:]), None)
    if before is None:
        return Explained(layer, place, None, changes({}, {}), below_changed=False)
    old = before[1]
    return Explained(layer, place, before, changes(old.inputs, layer.inputs), below_changed=old.below != layer.below)


def _others(
    layer: LayerRecord, place: tuple[str, ...], history: Iterable[tuple[str, BuildRecord]]
) -> Iterator[tuple[str, LayerRecord]]:
    for name, record in history:
        for other in record.layers:
            same = other.name == layer.name and other.kind == layer.kind
            if same and other.key != layer.key and _place(other, record.layers) == place:
                yield name, other


def _place(layer: LayerRecord, layers: Sequence[LayerRecord]) -> tuple[str, ...]:
    known: Mapping[str, LayerRecord] = {x.key: x for x in layers}
    names = [layer.name]
    while layer.below is not None and layer.below in known:
        layer = known[layer.below]
        names.append(layer.name)
    return tuple(reversed(names))
