"""Files of a frozen suite, by their hash: from the store, else from wherever the archive may still have them."""

from __future__ import annotations

import hashlib
import logging

from image_builder.errors import PipelineError, SurroundingsError
from image_builder.lock import ArchivePin
from proxy.archive.release import IndexFile
from proxy.archive.sources import Source
from proxy.blobs import Blobs, fetch
from proxy.http import NotThereError

log = logging.getLogger(__name__)


def tops(pin: ArchivePin, source: Source) -> list[str]:
    """The folders that may hold the InRelease and what it names: the mirror's, and at a snapshot service."""
    there = source.top.removeprefix(source.uri + "/")
    served = [f"{pin.service.rstrip('/')}/{there}"] if pin.service else []
    if pin.from_.endswith("/InRelease"):
        served.insert(0, pin.from_.removesuffix("InRelease"))
    return list(dict.fromkeys([source.top, *served]))


def inrelease(pin: ArchivePin, source: Source, store: Blobs) -> bytes:
    """The very InRelease a pin names, kept in the store from now on.

    Raises PipelineError if nobody has it any more, SurroundingsError if nobody has it who could be asked.
    """
    if store.has(pin.inrelease_sha256):
        return store.read(pin.inrelease_sha256)
    missed: SurroundingsError | None = None
    by_hash = f"by-hash/SHA256/{pin.inrelease_sha256}"
    addresses = [pin.from_, *(top + name for top in tops(pin, source) for name in ("InRelease", by_hash))]
    for address in dict.fromkeys(addresses):
        try:
            data = fetch(address)
        except SurroundingsError as e:
            missed = missed or e
            continue
        except PipelineError as e:
            log.debug("%s", e)
            continue
        if hashlib.sha256(data).hexdigest() == pin.inrelease_sha256:
            store.add(data)
            return data
    if missed is not None:
        raise missed
    raise PipelineError(
        f"the archive has moved on: the lock wants the InRelease of {pin.date:%Y-%m-%d %H:%M:%S} UTC",
        where=pin.from_,
        hint="resolve it anew with --update, or build from a snapshot of that instant",
    )


def index(pin: ArchivePin, source: Source, file: IndexFile, store: Blobs, *, by_hash: bool) -> None:
    """Bring a file that the InRelease names into the store. Raises PipelineError, SurroundingsError."""
    if store.has(file.sha256, file.size_bytes):
        return
    problem: PipelineError | None = None
    folder, _, _ = file.path.rpartition("/")
    # By name, a mirror in the middle of its update gives the file of another InRelease.
    names = [f"{folder}/by-hash/SHA256/{file.sha256}".lstrip("/")] if by_hash else []
    for address in [top + name for top in tops(pin, source) for name in (*names, file.path)]:
        try:
            store.fetch(address, file.sha256, file.size_bytes)
            return
        except PipelineError as e:
            log.debug("%s", e)
            # What is said in the end is what says most: a wrong file or an unreachable host, before a missing one.
            problem = e if problem is None or isinstance(problem, NotThereError) else problem
    assert problem is not None
    raise problem
