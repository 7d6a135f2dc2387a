"""Two builds of a target held against each other: packages, files, artefacts, hooks, and the layers that differ."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from image_builder.artifacts.compare import Changes, Entry, changes, files, packages
from image_builder.build.join import Part
from image_builder.build.record import LayerRecord, TargetRecord

Diff = Callable[[str], Path | None]  # key -> the layer's folder, if the store still has it


@dataclass(frozen=True)
class TargetDifference:
    """What is another in the second build. brought: path or package -> name of the step that brought the change."""

    name: str
    artefacts: Changes[str]
    packages: Changes[str]
    files: Changes[Entry]
    content: tuple[str, ...]  # paths of one size and mode, but other bytes
    layers: tuple[str, ...]  # steps with another key, and why
    brought: Mapping[str, str] = field(default_factory=dict)
    bytes_compared: bool = True  # False: a layer is no longer stored, so equal sizes were taken for equal bytes

    def __bool__(self) -> bool:
        return bool(self.artefacts or self.packages or self.files or self.content)


@dataclass(frozen=True)
class Difference:
    """Of two builds. hooks: path below hooks.d -> SHA-256. lock: suites and snaps in words."""

    targets: tuple[TargetDifference, ...]
    only_one: tuple[str, ...]
    only_two: tuple[str, ...]
    hooks: Changes[str]
    lock: Changes[str]

    def __bool__(self) -> bool:
        return bool(any(self.targets) or self.only_one or self.only_two)


def compare(one: Part, two: Part, diff: Diff, *, targets: Sequence[str] = ()) -> Difference:
    """Hold two builds against each other. targets: these only; none: all of both."""
    first = {t.name: t for t in one.record.targets if not targets or t.name in targets}
    second = {t.name: t for t in two.record.targets if not targets or t.name in targets}
    both = [name for name in first if name in second]
    return Difference(
        tuple(_target(one, two, first[name], second[name], diff) for name in both),
        tuple(name for name in first if name not in second),
        tuple(name for name in second if name not in first),
        changes(one.record.hooks, two.record.hooks),
        changes(_pinned(one), _pinned(two)),
    )


def _pinned(part: Part) -> dict[str, str]:
    lock = part.record.lock
    found = {
        f"{pin.uri} {pin.suite}": f"{pin.date:%Y-%m-%dT%H:%M:%SZ} {pin.inrelease_sha256[:16]}" for pin in lock.archives
    }
    return found | {f"snap {pin.name}": f"revision {pin.revision}" for pin in lock.snaps}


def _target(one: Part, two: Part, first: TargetRecord, second: TargetRecord, diff: Diff) -> TargetDifference:
    artefacts = changes({a.file: a.sha256 for a in first.artefacts}, {a.file: a.sha256 for a in second.artefacts})
    known = changes(packages(_text(one, first.manifest)), packages(_text(two, second.manifest)))
    listed_one, listed_two = files(_text(one, first.files)), files(_text(two, second.files))
    listed = changes(listed_one, listed_two)
    steps_one, steps_two = _steps(one, first), _steps(two, second)
    other = [layer for layer in steps_two if layer.key not in first.layers]
    gone = [layer for layer in steps_one if layer.key not in second.layers]
    folders = {layer.key: diff(layer.key) for layer in (*steps_one, *steps_two)}
    stored = all(folder is not None for folder in folders.values())
    content: list[str] = []
    brought: dict[str, str] = {}
    if stored:
        alike = [p for p, e in listed_two.items() if e.mode.startswith("-") and listed_one.get(p) == e]
        touched = [p for p in alike if _top(p, other, folders) or _top(p, gone, folders)]
        content = [p for p in touched if not _same_bytes(p, steps_one, steps_two, folders)]
        for path in (*listed.added, *listed.changed, *content):
            if (layer := _top(path, other, folders)) is not None:
                brought[path] = layer.name
        for path in listed.removed:
            # taken away by a step of the second build, or brought by one that is no longer there
            if (layer := _top(path, other, folders) or _top(path, gone, folders)) is not None:
                brought[path] = layer.name
        for name in (*known.added, *known.changed):
            paths = (
                f"./var/lib/dpkg/info/{part}.list" for part in (name, f"{name}:{one.record.asked['architecture']}")
            )
            if (layer := next(filter(None, (_top(path, other, folders) for path in paths)), None)) is not None:
                brought[name] = layer.name
    return TargetDifference(
        first.name, artefacts, known, listed, tuple(content), tuple(_why(gone, other)), brought, bytes_compared=stored
    )


def _text(part: Part, name: str) -> str:
    path = part.folder / name
    return path.read_text(errors="surrogateescape") if name and path.is_file() else ""


def _steps(part: Part, target: TargetRecord) -> list[LayerRecord]:
    known = {layer.key: layer for layer in part.record.layers}
    return [known[key] for key in target.layers if key in known]


def _top(path: str, layers: Sequence[LayerRecord], folders: Mapping[str, Path | None]) -> LayerRecord | None:
    """The highest of these layers that holds a path of the root (a deleted one too, as overlayfs marks it)."""
    for layer in reversed(layers):
        folder = folders[layer.key]
        if folder is not None and _is_there(folder / "chroot" / path):
            return layer
    return None


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True


def _same_bytes(
    path: str, one: Sequence[LayerRecord], two: Sequence[LayerRecord], folders: Mapping[str, Path | None]
) -> bool:
    """Whether a file that looks alike in both listings is."""
    found = [_top(path, steps, folders) for steps in (one, two)]
    places = [folders[layer.key] for layer in found if layer is not None]
    if len(places) < 2 or places[0] == places[1]:
        return len(places) == 2
    here, there = (Path(str(place)) / "chroot" / path for place in places)
    return filecmp.cmp(here, there, shallow=False)


def _why(gone: Sequence[LayerRecord], other: Sequence[LayerRecord]) -> list[str]:
    """Steps that are another one now: the inputs that changed, not those that only stand on such a step."""
    before = {(layer.kind, layer.name): layer for layer in gone}
    said = []
    for layer in other:
        old = before.pop((layer.kind, layer.name), None)
        if old is None:
            said.append(f"{layer.name}: new")
            continue
        if different := sorted(n for n in {*old.inputs, *layer.inputs} if old.inputs.get(n) != layer.inputs.get(n)):
            said.append(f"{layer.name}: {', '.join(different)}")
    return said + [f"{layer.name}: gone" for layer in before.values()]


def as_json(found: Difference) -> dict[str, Any]:
    """For programs: added and removed as mappings, changed as pairs."""

    def told(one: Changes[Any]) -> dict[str, Any]:
        return {
            "added": {n: str(v) for n, v in one.added.items()},
            "removed": {n: str(v) for n, v in one.removed.items()},
            "changed": {n: [str(a), str(b)] for n, (a, b) in one.changed.items()},
        }

    return {
        "same": not found,
        "only_one": list(found.only_one),
        "only_two": list(found.only_two),
        "hooks": told(found.hooks),
        "lock": told(found.lock),
        "targets": {
            target.name: {
                "artefacts": told(target.artefacts),
                "packages": told(target.packages),
                "files": told(target.files),
                "content": list(target.content),
                "layers": list(target.layers),
                "brought": dict(target.brought),
                "bytes_compared": target.bytes_compared,
            }
            for target in found.targets
        },
    }
