"""What a Release file says, once its signature is known to be good: by the keys its source trusts."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from image_builder.lock import ArchivePin
from proxy.archive.release import Release, parse_release, verify
from proxy.archive.sources import Source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Signed:
    """One InRelease that somebody trusted has signed. Of which suite and instant it is, is not judged yet."""

    source: Source
    data: bytes
    release: Release
    signer: str  # fingerprint of the primary key; "" where none is asked for
    address: str  # where it was fetched

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def pin(self, stamp: datetime | None, service: str) -> ArchivePin:
        """As the lock has it. service: base address of a snapshot service at this instant, "" for none."""
        return ArchivePin(
            uri=self.source.uri,
            suite=self.source.suite,
            codename=self.release.codename,
            components=self.source.components,
            architectures=self.source.architectures,
            inrelease_sha256=self.sha256,
            date=self.release.date,
            valid_until=self.release.valid_until,
            signer=self.signer,
            stamp=stamp,
            service=service,
            **{"from": self.address},
        )


def signed(source: Source, data: bytes, *, keyring: Path, cache: Path, where: str) -> Signed:
    """Verify and read an InRelease. Raises PipelineError for a bad signature or an unusable Release."""
    text, signer = checked(source, data, keyring=keyring, cache=cache, where=where)
    return Signed(source, data, parse_release(text, where=where), signer, where)


def checked(source: Source, data: bytes, *, keyring: Path, cache: Path, where: str) -> tuple[str, str]:
    """(the text that is signed, fingerprint of the primary key that signed it).

    keyring: for a source that names none. Raises PipelineError for a signature that is not good,
    SurroundingsError for a missing keyring or verifier.
    """
    if not source.trusted:
        return verify(data, source.signed_by or (keyring,), cache=cache, where=where)
    log.warning("%s: [trusted=yes], so its signature is not checked", where)
    text = data.decode("utf-8", errors="replace").replace("\r\n", "\n")
    if text.startswith("-----BEGIN PGP SIGNED MESSAGE-----"):
        text = text.partition("\n\n")[2].partition("-----BEGIN PGP SIGNATURE")[0]
        text = re.sub(r"^- ", "", text, flags=re.MULTILINE)
    return text, ""
