"""A layer while it is being made: seen by its owner only, until it is committed."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image_builder.errors import PipelineError
from image_builder.layers import layer as layers
from image_builder.layers.files import discard, disk_full_is_said, read_json
from image_builder.layers.layer import SHORT, Layer, boot_id
from image_builder.layers.listing import write_listing


@dataclass
class Construction:
    """The one owner's hold on a layer under construction.

    diff: an empty directory on the store's file system, to be used as the upper of the step's sandbox. Ends by
    commit or abandon; the store throws away what its user forgot.
    """

    key: str
    directory: Path
    store: Path
    committed: Callable[[], None]  # told when the layer is visible
    ended: bool = False

    @property
    def diff(self) -> Path:
        return self.directory / "diff"

    def commit(self, meta: Mapping[str, Any]) -> Layer:
        """Make the layer visible under its key, whole, and return it.

        meta: what JSON can hold; "parent" is the key of the layer below, if there is one.
        Raises SurroundingsError when the disk is full; the layer is not visible then, and can be abandoned.
        """
        self._still_open()
        place = self.store / "layers" / self.key[:SHORT]
        with disk_full_is_said(self.store):
            size = write_listing(self.diff, self.directory / "listing")
            (self.directory / "used").touch()
            self._write_meta(meta, size_bytes=size, created=time.time(), boot=boot_id())
            (self.directory / "holder.json").unlink()
            discard(place, self.store / "trash")  # only a damaged one can be there: its key is ours alone
            self.directory.rename(place)
        self.ended = True
        self.committed()
        done, what = layers.read(place)
        if done is None:
            raise PipelineError(what, where=place)
        return done

    def abandon(self, keep: bool = True, meta: Mapping[str, Any] | None = None) -> None:
        """Give up. keep: the diff of a failed step stays, with meta, for a look into it until the next build."""
        self._still_open()
        self.ended = True
        place = self.store / "failed" / self.key[:SHORT]
        discard(place, self.store / "trash")
        if keep:
            with disk_full_is_said(self.store):
                self._write_meta(meta or {})
            self.directory.rename(place)
        else:
            discard(self.directory, self.store / "trash")

    def _write_meta(self, meta: Mapping[str, Any], **about: object) -> None:
        text = json.dumps({"key": self.key, "meta": dict(meta), **about}, indent=1, sort_keys=True)
        (self.directory / "meta.json").write_text(text + "\n")

    def _still_open(self) -> None:
        if self.ended:
            raise PipelineError("this construction has ended already", where=self.directory)


def holder() -> str:
    """Return who we are, as JSON, for those who wait for us."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return json.dumps({"pid": os.getpid(), "command": command, "since": time.time()})


def held_by(directory: Path) -> str:
    """Say who makes the layer in this directory: "pid 123 (image-builder build squashfs) since 12:00:01"."""
    who = read_json(directory / "holder.json")
    try:
        since = time.strftime("%H:%M:%S", time.localtime(who["since"]))
        return f"pid {who['pid']} ({who['command']}) since {since}"
    except (KeyError, TypeError, ValueError, OverflowError):
        return "another process"
