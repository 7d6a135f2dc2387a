"""A content store taken from another host, or given to it, by rsync; over HTTP any web server does it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from image_builder.run import run
from image_builder.scratch import scratch
from proxy.blobs import Blobs

# Files of a store never change, so those of the same name and size are the same.
_RSYNC = ("rsync", "--recursive", "--times", "--size-only", "--chmod=F644", "--include=[0-9a-f]*", "--exclude=*")
_HINT = "the other store is HOST:FOLDER/sha256, rsync://HOST/MODULE/sha256 or a folder; ssh must need no password"
_PASSED = ("SSH_AUTH_SOCK", "HOME", "RSYNC_PASSWORD", "RSYNC_RSH")  # how the user reaches the other host


@dataclass(frozen=True)
class Pulled:
    """What came: hashes taken, and names of files that were not what their names say."""

    taken: tuple[str, ...]
    refused: tuple[str, ...]


def pull(store: Blobs, source: str, *, environ: Mapping[str, str] = os.environ) -> Pulled:
    """Take what another store has and this one has not; each file is checked. Raises CommandError."""
    store.folder.mkdir(parents=True, exist_ok=True)
    taken, refused = [], []
    with scratch(store.folder.parent) as folder:
        compare = f"--compare-dest={store.folder.absolute()}"
        run([*_RSYNC, compare, _folder(source), f"{folder}/"], hint=_HINT, env=_passed(environ))
        for path in sorted(folder.iterdir()):
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != path.name:
                refused.append(path.name)
            elif not store.has(found, path.stat().st_size):
                store.take(path, found, path.stat().st_size)
                taken.append(found)
            path.unlink()
    return Pulled(tuple(taken), tuple(refused))


def push(store: Blobs, target: str, *, environ: Mapping[str, str] = os.environ) -> None:
    """Give another store what it has not; there too a file has its name when it is whole. Raises CommandError."""
    run([*_RSYNC, f"{store.folder}/", _folder(target)], hint=_HINT, env=_passed(environ))


def _folder(place: str) -> str:
    """A store's folder as rsync takes it: what is in it, not itself. A leading "-" is no option."""
    return re.sub(r"^-", "./-", place).rstrip("/") + "/"


def _passed(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in _PASSED if name in environ}
