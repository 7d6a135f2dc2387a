"""Keeps single files by key beside the layers: small JSON values, and downloads by their SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from image_builder.errors import PipelineError
from image_builder.layers.files import draft, read_json
from image_builder.layers.layer import checked
from image_builder.layers.prune import Item

_CHUNK = 1 << 20


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


def blob_path(store: Path, sha256: str) -> Path:
    return store / "blobs" / checked(sha256)[:2] / sha256


def add_blob(store: Path, source: Path | IO[bytes], sha256: str) -> Path:
    """Copy a file or stream in, if its content has this SHA-256; raises PipelineError if not. Synced to the disk."""
    target = blob_path(store, sha256)
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return add_blob(store, stream, sha256)
    target.parent.mkdir(exist_ok=True)
    found = hashlib.sha256()
    with draft(store, target) as file:
        while chunk := source.read(_CHUNK):
            found.update(chunk)
            file.write(chunk)
        if found.hexdigest() != sha256:
            where = getattr(source, "name", "the download")
            raise PipelineError(f"SHA-256 is {found.hexdigest()}, expected {sha256}", where=str(where))
        file.flush()
        os.fsync(file.fileno())
    return target


def items(store: Path) -> Iterator[Item]:
    """List what is kept here, for pruning."""
    for kind, folder, what in (("download", "blobs", "download"), ("value", "values", "value")):
        for path in (store / folder).glob("*/*"):
            with suppress(OSError):
                status = path.stat()
                named = what if kind == "download" else f"value of {path.parent.name}"
                yield Item(path.stem, kind, named, status.st_blocks * 512, status.st_mtime)


def remove(store: Path, item: Item) -> None:
    """Remove one of the items."""
    if item.kind == "download":
        blob_path(store, item.key).unlink(missing_ok=True)
    else:
        for path in (store / "values").glob(f"*/{item.key}.json"):
            path.unlink(missing_ok=True)


def _value_path(store: Path, kind: str, key: str) -> Path:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", kind):
        raise PipelineError("not a kind: small letters, digits and '-'", where=repr(kind))
    return store / "values" / kind / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
