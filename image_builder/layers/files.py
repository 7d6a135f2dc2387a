"""Puts files and directories into the store whole or not at all."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from image_builder.errors import CommandError, SurroundingsError
from image_builder.layers.locks import KeyLocks
from image_builder.run import run

log = logging.getLogger(__name__)


def unique(prefix: str) -> str:
    """Return a name nobody else uses: prefix, a dot, 16 hex digits."""
    return f"{prefix}.{os.urandom(8).hex()}"


@contextmanager
def disk_full_is_said(where: Path) -> Iterator[None]:
    """Turn a full disk inside the block into a SurroundingsError in words."""
    try:
        yield
    except (OSError, CommandError) as e:
        if isinstance(e, CommandError) and os.strerror(errno.ENOSPC) not in str(e):
            raise
        if isinstance(e, OSError) and e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        hint = "make room there, or: image-builder store prune --max-size SIZE"
        raise SurroundingsError("no space left on its disk", where=where, hint=hint) from e


@contextmanager
def draft(store: Path, target: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears as target when the block ends without an exception, and replaces what is there.

    The draft is locked by its name before it exists, so that clear_drafts can tell a dead writer's from a live one's.
    """
    name = unique("draft")
    locks = KeyLocks(store / "drafts.lock")
    path = store / "drafts" / name
    try:
        locks.take(name.rpartition(".")[2])
        with disk_full_is_said(store):
            with path.open("xb") as file:
                yield file
            path.rename(target)
    finally:
        path.unlink(missing_ok=True)
        locks.close()


def clear_drafts(store: Path) -> list[Path]:
    """Remove the drafts of writers that are dead; return them."""
    locks = KeyLocks(store / "drafts.lock")
    try:
        dead = [path for path in (store / "drafts").iterdir() if locks.take(path.name.rpartition(".")[2])]
        for path in dead:
            path.unlink(missing_ok=True)
        return dead
    finally:
        locks.close()


def read_json(path: Path) -> Any:
    """Return what is in a JSON file, None if it is not there or damaged."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def discard(path: Path, trash: Path) -> bool:
    """Remove a tree that may be large: out of sight at once, from the disk then; what a kill leaves is in trash.

    Returns whether it was there.
    """
    grave = trash / unique(path.name)
    try:
        path.rename(grave)
    except FileNotFoundError:
        return False
    erase(grave)
    return True


def erase(tree: Path) -> None:
    """Remove a tree in the trash. Another build may be at the same, over which rm(1) can stumble: not an error."""
    try:
        run(["rm", "-rf", "--", tree])
    except CommandError as e:
        if tree.exists():
            log.warning("%s is still there: %s", tree, e)
