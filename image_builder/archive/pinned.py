"""The archives a rebuild reads, as they were at the instant of a lock: their indices, and what its builds may fetch."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from image_builder.lock import ArchivePin
from proxy.archive.assemble import assemble
from proxy.archive.freeze import FrozenSuite, thaw
from proxy.archive.freeze import blobs as blobs_of
from proxy.archive.sources import Source
from proxy.blobs import Blobs

SUFFIXES = (".xz", ".gz", ".bz2", ".lz4", ".zst", "")


class Pinned:
    """What a network namespace's proxy and an importer need of sources and their pins. Safe in threads.

    cache: the folder of the content store that `freeze` kept the pins' files in.
    """

    def __init__(self, sources: Sequence[Source], pins: Sequence[ArchivePin], *, keyring: Path, cache: Path) -> None:
        self.sources, self.pins, self.keyring, self.cache = tuple(sources), tuple(pins), keyring, cache
        self.blobs: Blobs = blobs_of(cache)
        self._thawing = threading.Lock()

    @cached_property
    def _frozen(self) -> list[FrozenSuite]:
        return thaw(self.pins, self.sources, keyring=self.keyring, cache=self.cache)

    def suites(self) -> list[FrozenSuite]:
        with self._thawing:
            return self._frozen

    def pinned_sources(self) -> list[tuple[Source, ArchivePin]]:
        return [(suite.source, suite.pin) for suite in self.suites()]

    def frozen_set(self) -> Path:
        """The file from which the proxy knows what there is; made if it is not there yet."""
        sources = [source for source, _ in self.pinned_sources()]  # so that every InRelease is in the cache
        return assemble(self.pins, sources, keyring=self.keyring, cache=self.cache)

    def indices(self, kind: str, architecture: str = "") -> Iterator[tuple[FrozenSuite, str, Path, str]]:
        """Every index of a kind, "Sources" or "Packages": (suite, component, file in the store, path in the Release).

        The path's suffix says how the file is compressed. architecture: of Packages.
        """
        wanted = "source/Sources" if kind == "Sources" else f"binary-{architecture}/Packages"
        for suite in self.suites():
            for component in suite.source.components:
                named = (suite.files.get(f"{component}/{wanted}{suffix}") for suffix in SUFFIXES)
                for file in named:
                    if file is not None and self.blobs.has(file.sha256, file.size_bytes):
                        yield suite, component, self.blobs.path(file.sha256), file.path
                        break

    def fetch(self, path: str, sha256: str, size_bytes: int) -> Path:
        """A file below one of the archives, as an index names it: from the store, an archive, or a snapshot of it."""
        at = [f"{source.uri}/{path}" for source in self.sources]
        at += [f"{pin.service}{path}" for pin in self.pins if pin.service]
        return self.blobs.fetch(list(dict.fromkeys(at)), sha256, size_bytes)
