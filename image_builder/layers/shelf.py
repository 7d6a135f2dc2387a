"""Keeps small JSON values by key beside the layers, and knows what the downloads beside them take."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from image_builder.errors import PipelineError
from image_builder.layers.files import discard, draft, read_json
from image_builder.layers.prune import Item
from image_builder.run import run

# Filled by whoever downloads: files by their SHA-256, snaps by their SHA3-384, and directories of apt's unpacked lists.
DOWNLOADS = "archive"
_FILES, _SNAPS, _LISTS = f"{DOWNLOADS}/sha256", f"{DOWNLOADS}/sha3-384", f"{DOWNLOADS}/lists"
_FOLDERS = {"download": _FILES, "snap": _SNAPS, "lists": _LISTS}


def remember(store: Path, kind: str, key: str, value: Any) -> None:
    """Keep what JSON can hold under (kind, key), in place of what was there."""
    target = _value_path(store, kind, key)
    target.parent.mkdir(exist_ok=True)
    with draft(store, target) as file:
        file.write(json.dumps({"key": key, "value": value}, sort_keys=True).encode())


def recall(store: Path, kind: str, key: str) -> Any:
    """Return the value kept under (kind, key), None if there is none or it is damaged; note its use."""
    path = _value_path(store, kind, key)
    kept = read_json(path)
    if not isinstance(kept, dict) or kept.get("key") != key:
        return None
    with suppress(OSError):
        os.utime(path)
    return kept.get("value")


def items(store: Path) -> Iterator[Item]:
    """List values and downloads, for pruning."""
    for path in (store / "values").glob("*/*.json"):
        yield from _item(path, "value", f"value of {path.parent.name}")
    for path in (store / _FILES).glob("*"):
        yield from _item(path, "download", "download")
    for path in (store / _SNAPS).glob("*"):
        if path.is_file():  # not the folder of those on their way
            yield from _item(path, "snap", "snap")
    for path in (store / _LISTS).glob("*"):
        yield from _item(path, "lists", "apt's lists, unpacked")


def remove(store: Path, item: Item) -> None:
    """Remove one of the items."""
    if item.kind == "value":
        for path in (store / "values").glob(f"*/{item.key}.json"):
            path.unlink(missing_ok=True)
    else:
        discard(store / _FOLDERS[item.kind] / item.key, store / "trash")


def damaged_downloads(store: Path) -> Iterator[tuple[Path, str]]:
    """Read every download; give those whose content is not the one their name says, with the hash it has."""
    for folder, kind in ((_FILES, "sha256"), (_SNAPS, "sha3_384")):
        for path in sorted(path for path in (store / folder).glob("*") if path.is_file()):
            with path.open("rb") as file:
                found = hashlib.file_digest(file, kind).hexdigest()
            if found != path.name:
                yield path, found


def _item(path: Path, kind: str, what: str) -> Iterator[Item]:
    with suppress(FileNotFoundError):  # gone meanwhile
        status = path.stat()
        size = status.st_blocks * 512
        if kind == "lists":
            size = int(run(["du", "--summarize", "--block-size=1", path]).split()[0])
        # Whoever downloads does not touch what it finds; the kernel notes at least one reading a day.
        used = status.st_mtime if kind == "value" else max(status.st_mtime, status.st_atime)
        yield Item(path.stem if kind == "value" else path.name, kind, what, size, used)


def _value_path(store: Path, kind: str, key: str) -> Path:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", kind):
        raise PipelineError("not a kind: small letters, digits and '-'", where=repr(kind))
    return store / "values" / kind / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
