"""What a snap says of itself in meta/snap.yaml: its base, its kind, the snaps it takes content from."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from image_builder.errors import CommandError, PipelineError, SurroundingsError
from image_builder.run import run
from snaps.wishes import is_name

NO_BASE_KINDS = frozenset({"base", "snapd", "os", "kernel"})
_KINDS = {"application": "app", "core": "os"}  # old words for the same


@dataclass(frozen=True)
class SnapMeta:
    """base: "" where none is needed. providers: snaps its content plugs name by default, in the order of the plugs."""

    name: str
    kind: str
    base: str
    confinement: str
    providers: tuple[str, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        """The snaps that must be there for this one to run."""
        return tuple(dict.fromkeys(([self.base] if self.base else []) + list(self.providers)))


def read(path: Path) -> SnapMeta:
    """Read a snap file, a squashfs. Raises PipelineError for one without a snap.yaml that can be used."""
    if shutil.which("unsquashfs") is None:
        raise SurroundingsError("unsquashfs is not installed", where=path, hint="apt-get install squashfs-tools")
    try:
        text = run(["unsquashfs", "-cat", path, "meta/snap.yaml"], timeout_s=60)
    except CommandError as e:
        raise PipelineError("holds no meta/snap.yaml", where=path, hint="is it a snap?") from e
    return parse(text, where=path)


def parse(text: str, *, where: str | Path) -> SnapMeta:
    """Read the text of a snap.yaml. Raises PipelineError."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise PipelineError(f"its snap.yaml is no YAML: {e}", where=where) from e
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(name, str) or not is_name(name):
        raise PipelineError("its snap.yaml does not say what it is called", where=where)
    kind = value.get("type") or "app"
    kind = _KINDS.get(str(kind), str(kind))
    if name == "snapd" and kind == "app":  # the first ones did not say so
        kind = "snapd"
    return SnapMeta(
        name, kind, _base(value.get("base"), kind, where), str(value.get("confinement") or "strict"), _providers(value)
    )


def _base(said: Any, kind: str, where: str | Path) -> str:
    """No word about it means core, "none" means none, and some kinds have none whatever they say."""
    if kind in NO_BASE_KINDS or said == "none":
        return ""
    if said is None:
        return "core"
    if not isinstance(said, str) or not is_name(said):
        raise PipelineError(f"its snap.yaml names the base {said!r}", where=where)
    return "core" if said == "core16" else said  # another name for the same


def _providers(value: Mapping[str, Any]) -> tuple[str, ...]:
    found = []
    plugs = value.get("plugs")
    for name, plug in plugs.items() if isinstance(plugs, dict) else ():
        if isinstance(plug, dict) and plug.get("interface", name) == "content":
            provider = str(plug.get("default-provider") or "").partition(":")[0]  # an old form names the slot, too
            if is_name(provider):
                found.append(provider)
    return tuple(dict.fromkeys(found))
