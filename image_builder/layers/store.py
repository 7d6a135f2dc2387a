"""The layer store: a directory that many builds share, safe against each other and against kill -9."""

from __future__ import annotations

import atexit
import builtins
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from image_builder.errors import PipelineError, SurroundingsError
from image_builder.layers import layer as layers
from image_builder.layers import leftovers, shelf, verify
from image_builder.layers.background import Keeper
from image_builder.layers.construction import Construction, held_by, holder
from image_builder.layers.files import discard, disk_full_is_said, read_json, unique
from image_builder.layers.layer import SHORT, Layer, checked
from image_builder.layers.locks import KeyLocks
from image_builder.layers.probe import probe
from image_builder.layers.prune import Item, choose
from proxy.blobs import Blobs
from proxy.store.upkeep import busy

log = logging.getLogger(__name__)

DEFAULT_ROOT = Path("/var/lib/image-builder")
DOWNLOADS_KEY = hashlib.sha256(b"downloads").hexdigest()
POLL_S = 0.05  # while another makes the layer we want
T = TypeVar("T")


@dataclass(frozen=True)
class Failed:
    """What a failed step left, with what was said of it at Construction.abandon."""

    key: str
    diff: Path
    meta: Mapping[str, Any]


class Store:
    """Layers by key below one directory.

    layers/K    finished ones: diff/, meta.json, listing, digest.json, used (its time is the last use), durable
    building/   those under construction        failed/K  the diff of a failed step, for a look
    values/     small JSON values by key        archive/  downloads (see downloads)
    trash/      what is being removed           drafts/   files being written       *.lock  locks on keys
    K is the first 16 digits of the key. Nothing is made before it is needed: asking an empty place is free.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._mutex = threading.Lock()
        self._used: KeyLocks | None = None
        self._keeper: Keeper | None = None
        self._held = ExitStack()

    def probe(self) -> None:
        """Try for real whether layers can be kept here; raise SurroundingsError with the reason and what to do."""
        self._lay_out()
        probe(self.root)

    def clear_leftovers(self) -> builtins.list[str]:
        """Remove what killed builds left; return a line for each. For the start of a build."""
        self._lay_out()
        return leftovers.clear(self.root)

    def close(self) -> None:
        """See finished layers onto the disk, and let go of those in use."""
        with self._mutex:
            keeper, self._keeper = self._keeper, None
            used, self._used = self._used, None
        atexit.unregister(self.close)
        try:
            if keeper:
                keeper.close()
        finally:
            if used:
                used.close()
            self._held.close()

    def until_closed(self, context: AbstractContextManager[T]) -> T:
        """Enter something that others must see as long as this store is open; close() leaves it."""
        return self._held.enter_context(context)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- finished layers

    def get(self, key: str) -> Layer | None:
        """Return the layer of this key and note its use, None if there is none (a damaged one: with a warning).

        Until this store is closed or its process ends, prune leaves it alone.
        """
        place = self.root / "layers" / checked(key)[:SHORT]
        try:
            if not place.exists():
                return None
        except PermissionError as e:
            raise _not_ours(self.root, e) from e
        self._hold(key)  # before looking, so that it cannot go in between
        layer, what = layers.read(place)
        if layer is None:
            if place.exists():
                log.warning("%s: a damaged layer, not used: %s", place, what)
            return None
        if layer.key != key:
            return None
        with suppress(OSError):  # a read-only disk still serves
            os.utime(place / "used")
        return layer

    def list(self) -> builtins.list[Layer]:
        """Return all finished layers, least recently used first."""
        if not self._is_there():
            return []
        found = [layer for place in (self.root / "layers").iterdir() if (layer := layers.read(place)[0])]
        return sorted(found, key=lambda layer: (layer.last_used, layer.created, layer.key))

    def damage(self, layer: Layer) -> builtins.list[str]:
        """How a layer differs from what was put in, as far as names, sizes and times tell; a line for each path."""
        return verify.layer_problems(layer, deep=False)

    def set_aside(self, layer: Layer) -> None:
        """Remove a damaged layer, so that it is made anew. Raises PipelineError while another build uses it."""
        with self._mutex, self._locks() as others:
            if self._used is not None:
                self._used.release(layer.key)
            if not others.take(layer.key):
                raise PipelineError("is damaged, and another build uses it", where=layer.directory,
                                    hint="let that one end, then run the same command again")  # fmt: skip
            discard(layer.directory, self.root / "trash")

    # ---- layers under construction

    @contextmanager
    def building(
        self,
        key: str,
        *,
        on_wait: Callable[[str], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> Iterator[Layer | Construction]:
        """Hold the right to make the layer of this key, or get it from who has it.

        Yields the finished Layer if there is one, also after waiting for another thread or process that makes it
        (on_wait is told once who that is); else a Construction. One that is neither committed nor abandoned when
        the block ends is thrown away. Raises PipelineError if cancel is set while waiting.
        """
        if layer := self.get(key):
            yield layer
            return
        self._lay_out()
        owner = KeyLocks(self.root / "building.lock")  # one of our own: it excludes our other threads too
        try:
            self._wait_for(key, owner, on_wait, cancel)
            if layer := self.get(key):
                yield layer
                return
            self._hold(key)
            construction = self._construction(key)
            try:
                yield construction
            finally:
                if not construction.ended:
                    construction.abandon(keep=False)
        finally:
            owner.close()

    def failed(self) -> builtins.list[Failed]:
        """Return what the failed steps of the last build left. A diff is safe from the next build once held."""
        found = []
        for place in sorted((self.root / "failed").glob("*")):
            about = read_json(place / "meta.json")
            if isinstance(about, dict) and isinstance(about.get("meta"), dict):
                self._hold(about["key"])
                if place.exists():
                    found.append(Failed(about["key"], place / "diff", about["meta"]))
        return found

    def forget_failed(self) -> None:
        """Remove what failed steps left and nobody looks into now. For the start of a build."""
        self._lay_out()
        with self._locks() as others:
            leftovers.forget_failed(self.root, others)

    # ---- single files by key

    def remember(self, kind: str, key: str, value: Any) -> None:
        """Keep a JSON value under (kind, key), whole or not at all, in place of what was there."""
        self._lay_out()
        shelf.remember(self.root, kind, key, value)

    def recall(self, kind: str, key: str) -> Any:
        """Return the value kept under (kind, key), None if there is none."""
        return shelf.recall(self.root, kind, key)

    def downloads(self) -> Path:
        """Return the directory for downloads, which its user lays out: files by name in sha256/, apt's in lists/.

        Until this store is closed or its process ends, prune leaves all of it alone.
        """
        self._lay_out()
        self._hold(DOWNLOADS_KEY)
        return self.root / shelf.DOWNLOADS

    # ---- care

    def verify(self, deep: bool) -> builtins.list[verify.Problem]:
        """Compare all that is kept with what was put in: by names, sizes and times, or (deep) by every byte."""
        if not self._is_there():
            return []
        for layer in self.list():
            self._hold(layer.key)
        return [*verify.problems(self.root, deep)]

    def prune(self, max_bytes: int, *, dry_run: bool = False) -> builtins.list[Item]:
        """Remove the least recently used until the rest takes at most max_bytes; return what was (or would be) removed.

        What a running build uses stays, also if it is ours; a layer goes after those that stand on it.
        """
        if not self._is_there():
            return []
        with self._locks() as others:
            items = [
                *(
                    Item(one.key, "layer", _what(one), one.size_bytes, one.last_used, one.meta.get("parent"))
                    for one in self.list()
                ),
                *shelf.items(self.root),
            ]
            served = busy(Blobs(self.root / shelf.DOWNLOADS / "sha256"))  # by `snapshot-proxy serve`, say

            def take(item: Item) -> bool:
                shared = item.kind in {"download", "snap", "lists"}  # under one lock
                return others.take(DOWNLOADS_KEY if shared else item.key) and not (served and shared)

            chosen = choose(items, max_bytes, take)
            for item in chosen if not dry_run else ():
                if item.kind == "layer":
                    discard(self.root / "layers" / item.key[:SHORT], self.root / "trash")
                    others.release(item.key)  # who waits for it may make it anew
                else:
                    shelf.remove(self.root, item)
        return chosen

    # ---- inside

    def _wait_for(
        self, key: str, owner: KeyLocks, on_wait: Callable[[str], None] | None, cancel: threading.Event | None
    ) -> None:
        told = False
        while not owner.take(key):
            if not told:
                told = True
                who = held_by(next((self.root / "building").glob(f"{key[:SHORT]}.*"), self.root))
                log.debug("waiting for layer %s: %s", key[:SHORT], who)
                if on_wait:
                    on_wait(who)
            if cancel is None:
                time.sleep(POLL_S)
            elif cancel.wait(POLL_S):
                raise PipelineError("cancelled while waiting for another build", where=f"layer {key[:SHORT]}")

    def _construction(self, key: str) -> Construction:
        # With the right in hand, what others began under this key is what a kill left.
        for remains in (self.root / "building").glob(f"{key[:SHORT]}.*"):
            discard(remains, self.root / "trash")
        discard(self.root / "failed" / key[:SHORT], self.root / "trash")
        directory = self.root / "building" / unique(key[:SHORT])
        with disk_full_is_said(self.root):
            directory.mkdir()
            (directory / "holder.json").write_text(holder())
            (directory / "diff").mkdir()
            (directory / "diff").chmod(0o755)  # it is the work tree's root, whatever our umask
        return Construction(key, directory, self.root, self._committed)

    def _committed(self) -> None:
        with self._mutex:
            if self._keeper is None:
                self._keeper = Keeper(self.root)
                atexit.register(self.close)
            self._keeper.wake.set()

    def _hold(self, key: str) -> None:
        with self._mutex:
            if self._used is None:
                self._used = KeyLocks(self.root / "used.lock")
            used = self._used
        used.share(key)

    @contextmanager
    def _locks(self) -> Iterator[KeyLocks]:
        """Locks on what is in use, apart from our own, to see whether anybody holds it."""
        locks = KeyLocks(self.root / "used.lock")
        try:
            yield locks
        finally:
            locks.close()

    def _is_there(self) -> bool:
        try:
            return any(True for _ in (self.root / "layers").iterdir()) or (self.root / "values").is_dir()
        except FileNotFoundError:
            return False
        except OSError as e:
            raise _not_ours(self.root, e) from e

    def _lay_out(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o711)  # layers hold outdated setuid programs
            for name in ("layers", "building", "failed", "values", "trash", "drafts"):
                (self.root / name).mkdir(exist_ok=True, mode=0o700)
        except OSError as e:
            raise _not_ours(self.root, e) from e


def _not_ours(root: Path, error: OSError) -> SurroundingsError:
    hint = "run as root, or choose another directory by --store"
    return SurroundingsError(f"cannot use the layer store: {error.strerror}", where=root, hint=hint)


def _what(layer: Layer) -> str:
    return str(layer.meta.get("name") or layer.meta.get("kind") or "layer")
