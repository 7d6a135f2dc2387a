"""Freezing suites: what each InRelease said at one moment, verified, as pins of the lock."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from image_builder.errors import PipelineError
from image_builder.lock import ArchivePin
from proxy.archive.release import IndexFile, Release, judge, parse_release, verify
from proxy.archive.sources import Source, merged
from proxy.blobs import Blobs, fetch
from proxy.http import NotThereError

log = logging.getLogger(__name__)

JOBS = 6


@dataclass(frozen=True)
class FrozenSuite:
    """One pinned suite with its verified Release and the Packages files that belong to it, all in the cache."""

    source: Source
    pin: ArchivePin
    indices: Mapping[str, IndexFile]  # name as the Release has it, without compression -> file


def blobs(cache: Path) -> Blobs:
    """Where InRelease and index files are kept by SHA-256: what was frozen can be used again without the network."""
    return Blobs(cache / "sha256")


def freeze(
    sources: Iterable[Source], *, keyring: Path, cache: Path, now: datetime, allow_expired: bool = False
) -> list[ArchivePin]:
    """Fetch and verify the InRelease of every suite, and keep it in the cache with its Packages files.

    keyring: for sources that name none. now: aware; Date and Valid-Until are judged by it. Raises
    SurroundingsError (network), PipelineError (bad signature, expired, wrong suite, index unlike its hash).
    """
    wanted = merged(sources)
    with ThreadPoolExecutor(JOBS) as pool:
        answers = list(pool.map(_inrelease, wanted))
        pins = []
        for source, (address, data) in zip(wanted, answers, strict=True):
            text, signer = _checked(source, data, keyring, cache, address)
            release = parse_release(text, where=address)
            judge(release, suite=source.suite, now=now, allow_expired=allow_expired, where=address)
            digest = blobs(cache).add(data)
            pins.append(_pin(source, release, digest, signer, address))
    thaw(pins, wanted, keyring=keyring, cache=cache)
    return pins


def thaw(pins: Sequence[ArchivePin], sources: Iterable[Source], *, keyring: Path, cache: Path) -> list[FrozenSuite]:
    """The frozen state of these sources: from the cache, else from the network if the archive still has it.

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
            if not store.has(pin.inrelease_sha256):
                _fetch_again(pin, store)
            text, _ = _checked(source, store.read(pin.inrelease_sha256), keyring, cache, pin.from_)
            release = parse_release(text, where=pin.from_)
            indices = release.packages(source.components, source.architectures)
            if not indices:
                raise PipelineError(
                    f"no packages of {' '.join(source.components)} for {' '.join(source.architectures)}",
                    where=pin.from_,
                    hint=f"it has the architectures {' '.join(release.architectures)}",
                )
            frozen.append(FrozenSuite(source, pin, indices))
            fetching += [pool.submit(_index, source, release, name, file, store) for name, file in indices.items()]
        for one in fetching:
            one.result()
    return frozen


def _inrelease(source: Source) -> tuple[str, bytes]:
    address = source.top + "InRelease"
    try:
        return address, fetch(address)
    except NotThereError as e:
        raise PipelineError(
            f"{source.uri} has no suite {source.suite} with an InRelease file",
            where=address,
            hint="is the suite's name right? Archives with Release and Release.gpg alone are not supported",
        ) from e


def _checked(source: Source, data: bytes, keyring: Path, cache: Path, address: str) -> tuple[str, str]:
    if source.trusted:
        log.warning("%s: [trusted=yes], so its signature is not checked", address)
        text = data.decode("utf-8", errors="replace")
        return text.partition("\n\n")[2].partition("-----BEGIN PGP SIGNATURE")[0] if text.startswith(
            "-----"
        ) else text, ""
    return verify(data, source.signed_by or (keyring,), cache=cache, where=address)


def _pin(source: Source, release: Release, digest: str, signer: str, address: str) -> ArchivePin:
    return ArchivePin(
        uri=source.uri,
        suite=source.suite,
        codename=release.codename,
        components=source.components,
        architectures=source.architectures,
        inrelease_sha256=digest,
        date=release.date,
        valid_until=release.valid_until,
        signer=signer,
        **{"from": address},
    )


def _fetch_again(pin: ArchivePin, store: Blobs) -> None:
    found = store.add(fetch(pin.from_))
    if found != pin.inrelease_sha256:
        raise PipelineError(
            f"the archive has moved on: the lock wants the InRelease of {pin.date:%Y-%m-%d %H:%M:%S} UTC",
            where=pin.from_,
            hint="resolve it anew with --update, or build from a snapshot of that instant",
        )


def _index(source: Source, release: Release, name: str, file: IndexFile, store: Blobs) -> None:
    plain = source.top + file.path
    if not release.by_hash:
        store.fetch(plain, file.sha256, file.size_bytes)
        return
    try:
        # By name, a mirror in the middle of its update gives the file of another InRelease.
        folder = plain.rpartition("/")[0]
        store.fetch(f"{folder}/by-hash/SHA256/{file.sha256}", file.sha256, file.size_bytes)
    except NotThereError:
        log.debug("%s: not there by hash, fetched by its name", name)
        store.fetch(plain, file.sha256, file.size_bytes)
