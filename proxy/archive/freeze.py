"""Freezing suites: what each InRelease said at one instant, verified, as pins of the lock, with the files it needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from image_builder.errors import PipelineError
from image_builder.lock import ArchivePin
from proxy.archive import obtain, pair
from proxy.archive.checked import checked
from proxy.archive.release import IndexFile, Release, parse_release
from proxy.archive.resolve import Resolved, resolve
from proxy.archive.services import Service
from proxy.archive.sources import Source, merged
from proxy.archive.stamp import Stamp
from proxy.blobs import Blobs

JOBS = 6


@dataclass(frozen=True)
class FrozenSuite:
    """One pinned suite with its verified Release and the Packages files that belong to it, all in the cache."""

    source: Source
    pin: ArchivePin
    indices: Mapping[str, IndexFile]  # name as the Release has it, without compression -> file
    files: Mapping[str, IndexFile] = field(default_factory=dict, repr=False)  # all that the signed text names


def blobs(cache: Path) -> Blobs:
    """Where InRelease and index files are kept by SHA-256: what was frozen can be used again without the network."""
    return Blobs(cache / "sha256")


def freeze(
    sources: Iterable[Source],
    *,
    keyring: Path,
    cache: Path,
    now: datetime,
    allow_expired: bool = False,
    stamp: Stamp | None = None,
    services: Sequence[Service] = (),
    pins: Sequence[ArchivePin] = (),
) -> list[ArchivePin]:
    """Find and verify the InRelease of every suite at one instant, and keep it in the cache with its indices.

    keyring: for sources that name none. now: the clock, aware. stamp: the instant; None: now. services: configured
    ones. pins: of a lock, for suites it has at that instant. Raises SurroundingsError (network), PipelineError
    (bad signature, expired, wrong suite, no such state any more, index unlike its hash).
    """
    wanted = merged(sources)
    found = resolve(
        wanted,
        stamp or Stamp(now, is_now=True),
        keyring=keyring,
        cache=cache,
        now=now,
        configured=services,
        pins=pins,
        allow_expired=allow_expired,
    )
    return keep(found, keyring=keyring, cache=cache)


def keep(found: Sequence[Resolved], *, keyring: Path, cache: Path) -> list[ArchivePin]:
    """Fetch what resolved suites need, and complete their pins. Raises the first refusal, and like freeze()."""
    pins: list[ArchivePin] = []
    for one in found:
        if one.pin is None:
            raise one.refusal()
        pins.append(_with_pair(one.pin, one.source, keyring, cache))
    thaw(pins, [one.source for one in found], keyring=keyring, cache=cache)
    return pins


def thaw(pins: Sequence[ArchivePin], sources: Iterable[Source], *, keyring: Path, cache: Path) -> list[FrozenSuite]:
    """The frozen state of these sources: from the cache, else from the network if somebody still has it.

    The signature is checked again, for the lock may come from elsewhere. Raises PipelineError when a source is not
    in the lock or the archive has moved on and nobody kept what the lock names.
    """
    by_name = {(pin.uri, pin.suite): pin for pin in pins}
    store = blobs(cache)
    frozen: list[FrozenSuite] = []
    with ThreadPoolExecutor(JOBS) as pool:
        fetching = []
        for source in merged(sources):
            pin = by_name.get((source.uri, source.suite))
            if pin is None:
                raise PipelineError(
                    "not in the lock", where=f"{source.uri} {source.suite}", hint="resolve it anew: --update"
                )
            data = obtain.inrelease(pin, source, store)
            text, _ = checked(source, data, keyring=keyring, cache=cache, where=pin.from_)
            release = parse_release(text, where=pin.from_)
            indices = release.packages(source.components, source.architectures)
            if not indices:
                raise PipelineError(
                    f"no packages of {' '.join(source.components)} for {' '.join(source.architectures)}",
                    where=pin.from_,
                    hint=f"it has the architectures {' '.join(release.architectures)}",
                )
            _pair_again(pin, data, store)
            frozen.append(FrozenSuite(source, pin, indices, release.files))
            fetching += [
                pool.submit(obtain.index, pin, source, file, store, by_hash=release.by_hash)
                for file in wanted_indices(release, source).values()
            ]
        for one in fetching:
            one.result()
    return frozen


def wanted_indices(release: Release, source: Source) -> dict[str, IndexFile]:
    """The indices that are kept with a suite: what its packages are, and its sources where they are wanted."""
    found = release.packages(source.components, source.architectures)
    return {**found, **release.sources(source.components)} if source.source_packages else found


def _with_pair(pin: ArchivePin, source: Source, keyring: Path, cache: Path) -> ArchivePin:
    store = blobs(cache)
    keyrings = source.signed_by or (keyring,)
    if source.trusted or not (
        made := pair.verified(store.read(pin.inrelease_sha256), keyrings, cache=cache, where=pin.from_)
    ):
        return pin
    release, signature = (store.add(data) for data in made)
    return pin.model_copy(update={"release_sha256": release, "release_gpg_sha256": signature})


def _pair_again(pin: ArchivePin, inrelease: bytes, store: Blobs) -> None:
    """On a machine that has only the lock: the pair is a pure function of the InRelease."""
    if pin.release_sha256 and not store.has(pin.release_sha256) and (made := pair.derive(inrelease)):
        for data in made:
            store.add(data)
