"""Files from an archive into a folder by SHA-256: checked, whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from image_builder.errors import PipelineError, SurroundingsError
from image_builder.scratch import scratch
from proxy.http import stream

INRELEASE_MAX_BYTES = 16 << 20  # nobody has said its size before it is read; Debian's have less than 200 kB


class Blobs:
    """A folder of files named by their SHA-256, shared by concurrent builds; tmp/ beside it is for what is coming."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str) -> Path:
        return self.folder / sha256

    def has(self, sha256: str, size_bytes: int | None = None) -> bool:
        """Whether the file is there, with this size: what is in the folder was checked when it came."""
        try:
            found = self.path(sha256).stat().st_size
        except FileNotFoundError:
            return False
        return size_bytes is None or found == size_bytes

    def add(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        if not self.has(sha256, len(data)):
            self._place(sha256, lambda temporary: temporary.write_bytes(data))
        return sha256

    def read(self, sha256: str) -> bytes:
        """The file, checked again. Raises PipelineError for a damaged one, and removes it: it is fetched anew then."""
        data = self.path(sha256).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            self.path(sha256).unlink(missing_ok=True)
            raise PipelineError("the file is damaged; removed", where=self.path(sha256), hint="run the same again")
        return data

    def fetch(self, url: str, sha256: str, size_bytes: int) -> Path:
        """The file of this hash, from the folder or the network. Raises like fetch()."""
        if not self.has(sha256, size_bytes):
            self._place(sha256, lambda temporary: _fetch_checked(url, temporary, sha256, size_bytes))
        return self.path(sha256)

    def _place(self, sha256: str, fill: Callable[[Path], object]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with scratch(self.folder.parent) as folder:
            temporary = folder / sha256
            try:
                fill(temporary)
                temporary.chmod(0o644)  # apt reads it as the user _apt
                # apt believes a package of the right size: after a loss of power that must be the whole file
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                temporary.replace(self.path(sha256))
            except OSError as e:
                raise SurroundingsError(e.strerror or str(e), where=self.folder) from e


def fetch(url: str, *, max_bytes: int = INRELEASE_MAX_BYTES) -> bytes:
    """The bytes at an address. Raises NotThereError, or SurroundingsError that names the host."""
    chunks: list[bytes] = []
    stream(url, chunks.append, chunks.clear, max_bytes=max_bytes)
    return b"".join(chunks)


def _fetch_checked(url: str, path: Path, sha256: str, size_bytes: int) -> None:
    with path.open("wb") as file:

        def again() -> None:
            file.seek(0)
            file.truncate()

        stream(url, file.write, again, max_bytes=size_bytes)
    with path.open("rb") as written:
        found = hashlib.file_digest(written, "sha256").hexdigest()
    if found != sha256:
        raise PipelineError(
            f"SHA-256 is {found}, {path.stat().st_size} bytes; the signed index says {sha256}, {size_bytes} bytes",
            where=url,
            hint="a mirror in the middle of its update, or a file changed on its way; try again or use another mirror",
        )
