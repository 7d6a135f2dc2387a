"""seed.yaml, the list of snaps of a seed: read as snapd does and stricter, written in one way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from image_builder.errors import PipelineError
from snaps import channels
from snaps.wishes import is_name

MAX_BYTES = 1 << 20
_KEYS = {
    "name": str, "file": str, "channel": str, "snap-id": str, "classic": bool, "devmode": bool, "private": bool,
    "contact": str, "unasserted": bool, "links": dict,
}  # fmt: skip


class SeedError(PipelineError):
    """A seed that snapd would not take, or should not."""


@dataclass(frozen=True)
class Entry:
    """One snap of a seed.yaml. file: its name in snaps/."""

    name: str
    file: str
    channel: str
    snap_id: str = ""
    classic: bool = False


def text(entries: Sequence[Entry]) -> str:
    """The file for these snaps, in their order."""
    snaps = []
    for entry in entries:
        snap: dict[str, Any] = {"name": entry.name, "channel": entry.channel, "file": entry.file}
        if entry.classic:
            snap["classic"] = True
        snaps.append(snap)
    return yaml.safe_dump({"snaps": snaps}, sort_keys=False, default_flow_style=False)


def parse(data: bytes, *, where: Path) -> list[Entry]:
    """Read a seed.yaml. Raises SeedError, also for keys nobody knows and for snaps without signatures."""
    if len(data) > MAX_BYTES:
        raise SeedError(f"is longer than {MAX_BYTES} bytes", where=where)
    try:
        loaded = _loaded(data.decode("utf-8"), where)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        raise SeedError(f"is no YAML: {e}", where=where) from e
    if not isinstance(loaded, dict) or set(loaded) != {"snaps"} or not isinstance(loaded["snaps"], list):
        raise SeedError("has not exactly one key, snaps, with a list", where=where)
    entries = [_entry(value, where) for value in loaded["snaps"]]
    for what, values in (("name", [e.name for e in entries]), ("file", [e.file for e in entries])):
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise SeedError(f"has the {what} {twice} twice", where=where)
    return entries


def _loaded(text_: str, where: Path) -> Any:
    for event in yaml.parse(text_, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise SeedError("has an alias (*name), which no seed needs", where=where)
    node = yaml.compose(text_, Loader=yaml.SafeLoader)
    _no_key_twice(node, where)
    return yaml.safe_load(text_)


def _no_key_twice(node: yaml.Node | None, where: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise SeedError(f"has the key {twice} twice in one place", where=where)
        for _, value in node.value:
            _no_key_twice(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _no_key_twice(value, where)


def _entry(value: Any, where: Path) -> Entry:
    if not isinstance(value, dict):
        raise SeedError(f"has an entry that is no map: {value!r}", where=where)
    for key, said in value.items():
        if key not in _KEYS:
            raise SeedError(f"has the unknown key {key!r}", where=where)
        if not isinstance(said, _KEYS[key]):
            raise SeedError(f"{key} is {said!r}, which cannot be meant", where=where)
    name, file = value.get("name", ""), value.get("file", "")
    if not is_name(name):
        raise SeedError(f"{name!r} is no name of a snap", where=where)
    if not file or "/" in file or file.startswith(".") or "\0" in file:
        raise SeedError(f"{name}: {file!r} is no name of a file in snaps/", where=where)
    if value.get("unasserted"):
        raise SeedError(f"{name} is unasserted: nothing proves what it is", where=where)
    channel = value.get("channel", "")
    if channel:
        channels.parse(channel, where=f"{where}: {name}")
    return Entry(name, file, channel, value.get("snap-id", ""), value.get("classic", False))
