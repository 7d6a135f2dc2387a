"""The content store: files from archives by SHA-256, checked, whole or not at all, shared by all builds of a host."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from image_builder.errors import PipelineError
from proxy.http import NotThereError, stream
from proxy.store import coming
from proxy.store.coming import DiskError, Part, WrongBytesError

log = logging.getLogger(__name__)

INRELEASE_MAX_BYTES = 16 << 20  # nobody has said its size before it is read; Debian's have less than 200 kB
UNKNOWN_MAX_BYTES = 64 << 30  # of a file whose size no index says: the hash decides, after this much at the latest
SHARED = "IMAGE_BUILDER_SHARED_STORES"  # addresses of other hosts' stores, with blanks between them
_silent: set[str] = set()  # shared stores that did not answer this process
USED_S = 60.0  # times of use are kept as exactly as this


class Blobs:
    """A folder of files named by their SHA-256. Beside it are coming/, with what is on its way, and tmp/."""

    def __init__(self, folder: Path, shared: Sequence[str] | None = None) -> None:
        """shared: stores of other hosts, served by any web server, so that BASE/sha256/HASH is a file; asked first.
        None: those the environment names."""
        self.folder = folder
        named = os.environ.get(SHARED, "").split() if shared is None else shared
        self.shared = tuple(base.rstrip("/") for base in named)
        self._coming = folder.parent / "coming"

    def path(self, sha256: str) -> Path:
        return self.folder / sha256

    def has(self, sha256: str, size_bytes: int | None = None) -> bool:
        """Whether the file is there, with this size: what is in the folder was checked when it came."""
        try:
            found = self.path(sha256).stat().st_size
        except FileNotFoundError:
            return False
        return size_bytes is None or found == size_bytes

    def use(self, sha256: str, found: os.stat_result | None = None) -> None:
        """Note that it was used now: what was not used for longest is pruned first. found: what stat() says of it."""
        with suppress(OSError):
            found = found or self.path(sha256).stat()
            if (now := time.time()) - found.st_atime > USED_S:
                os.utime(self.path(sha256), (now, found.st_mtime))  # said, for many disks are mounted with noatime

    def add(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()

        def whole(part: Part) -> None:
            part.restart()
            part.write(data)

        self._bring(sha256, len(data), whole)
        return sha256

    def read(self, sha256: str) -> bytes:
        """The file, checked again. Raises PipelineError for a damaged one, and removes it: it is fetched anew then."""
        data = self.path(sha256).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            self.path(sha256).unlink(missing_ok=True)
            raise PipelineError("the file is damaged; removed", where=self.path(sha256), hint="run the same again")
        self.use(sha256)
        return data

    def take(self, path: Path, sha256: str, size_bytes: int | None) -> Path:
        """Copy a file that came by other ways into the store. Raises WrongBytesError for another one."""

        def copy(part: Part) -> None:
            part.restart()
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    part.write(chunk)

        return self._bring(sha256, size_bytes, copy)

    def fetch(
        self,
        url: str | Iterable[str],
        sha256: str,
        size_bytes: int | None,
    ) -> Path:
        """The file of this hash: from the store, else from the first address that has it.

        Several that want the same file, threads or processes, fetch it once. What a killed one got is gone on
        with. Raises NotThereError when no address has it; else the first other problem (network: SurroundingsError;
        other bytes than those of the hash: PipelineError).
        """
        limit = UNKNOWN_MAX_BYTES if size_bytes is None else size_bytes
        urls = [url] if isinstance(url, str) else list(url)
        return self._bring(sha256, size_bytes, lambda part: self._from_first(self.addresses(sha256, urls), part, limit))

    def addresses(self, sha256: str, urls: Iterable[str]) -> list[str]:
        """Where to ask, best first: other hosts' stores, then the archive's own addresses."""
        return [f"{base}/sha256/{sha256}" for base in self.shared] + list(urls)

    # -- what is coming

    def part_path(self, sha256: str) -> Path:
        """Where the bytes of a file that is fetched now can be read along."""
        return coming.part_path(self._coming, sha256)

    def claim(self, sha256: str, size_bytes: int | None) -> Part | None:
        """Become the one who brings a file; None while somebody else is. Raises SurroundingsError."""
        return coming.claim(self._coming, self.path(sha256), sha256, size_bytes)

    def wait(self, sha256: str, timeout_s: float | None = None) -> bool:
        """Until nobody brings it any more, or for this time: whether it is in the store then."""
        coming.wait(self._coming, sha256, timeout_s)
        return self.has(sha256)

    def _bring(self, sha256: str, size_bytes: int | None, fill: Callable[[Part], object]) -> Path:
        while not self.has(sha256, size_bytes):
            part = self.claim(sha256, size_bytes)
            if part is None:
                self.wait(sha256)
                continue
            with part:
                if not self.has(sha256, size_bytes):
                    fill(part)
                    part.commit()
        self.use(sha256)
        return self.path(sha256)

    def _from_first(self, urls: Sequence[str], part: Part, max_bytes: int) -> None:
        if part.size_bytes == part.got:  # killed between the last byte and the name
            with suppress(WrongBytesError):
                part.check()
                return
        problems: list[PipelineError] = []
        for url in urls:
            base = url.removesuffix(f"/sha256/{part.sha256}")
            if base in _silent:
                continue
            try:
                _fetch_into(part, url, max_bytes)
                return
            except DiskError:
                raise
            except WrongBytesError as e:
                problems.append(WrongBytesError(e.what, where=url, hint=e.hint))
            except PipelineError as e:
                problems.append(e)
                if base in self.shared and not isinstance(e, NotThereError):
                    log.warning("%s: a shared store that does not answer; not asked again: %s", base, e.what)
                    _silent.add(base)
        raise _all_in_one(problems) if problems else NotThereError("no address is known", where=part.sha256)


def _all_in_one(problems: Sequence[PipelineError]) -> PipelineError:
    """The first that is more than "not there", else the first; its hint says what became of the other addresses."""
    first = next((one for one in problems if not isinstance(one, NotThereError)), problems[0])
    others = [f"{one.where}: {one.what}" for one in problems if one is not first]
    if not others:
        return first
    hints = [first.hint] if first.hint else []
    return type(first)(first.what, where=first.where, hint="; ".join([*hints, "asked as well: " + ", ".join(others)]))


def fetch(url: str, *, max_bytes: int = INRELEASE_MAX_BYTES) -> bytes:
    """The bytes at an address. Raises NotThereError, or SurroundingsError that names the host."""
    chunks: list[bytes] = []
    stream(url, chunks.append, chunks.clear, max_bytes=max_bytes)
    return b"".join(chunks)


def _fetch_into(part: Part, url: str, max_bytes: int) -> None:
    resumed = part.got > 0
    try:
        stream(url, part.write, part.restart, max_bytes=max_bytes, got=lambda: part.got)
        part.check()
    except WrongBytesError:
        if not resumed:
            raise
        # What a killed run left was of something else: once more, from the beginning.
        part.restart()
        stream(url, part.write, part.restart, max_bytes=max_bytes, got=lambda: part.got)
        part.check()
