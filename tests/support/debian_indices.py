"""Debian 12's real indices, from its archive, verified; and the questions dose-builddebcheck makes of them."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from image_builder.archive.indices.architectures import matches
from image_builder.archive.indices.relations import parse, reduced, written
from image_builder.archive.installability.question import SOURCE, Question
from image_builder.archive.model import SourcePackage
from image_builder.archive.pinned import Pinned
from proxy.archive.freeze import freeze
from proxy.archive.sources import DEBIAN_KEYRING, Source

UPSTREAM = os.environ.get("IMAGE_BUILDER_TEST_DEBIAN", "http://deb.debian.org/debian")
SUITE, ARCHITECTURE = "bookworm", "amd64"
# Debian 12.15, 11 July 2026. With these the counts are known.
KNOWN = {
    "Sources": "92d75d23e1757f7a0a21ccb8612cd8a63c64d4020241a31b234b2a2be9653844",
    "Packages": "515e692f2c4121c6fcec444ef100cc18f79a991910615f3a88c8b7becfc94d2f",
}


@dataclass(frozen=True)
class Indices:
    """Sources and Packages of main, unpacked, as dose reads them."""

    sources: Path
    packages: Path
    pinned: Pinned
    known: bool  # whether they are those whose counts are known


def fetch(folder: Path) -> Indices:
    """Freeze the suite's present state below a folder."""
    source = Source(UPSTREAM, SUITE, ("main",), (ARCHITECTURE,), source_packages=True)
    cache = folder / "cache"
    pins = freeze([source], keyring=DEBIAN_KEYRING, cache=cache, now=datetime.now(UTC))
    pinned = Pinned([source], pins, keyring=DEBIAN_KEYRING, cache=cache)
    plain = {}
    for kind, architecture in (("Sources", ""), ("Packages", ARCHITECTURE)):
        ((_, _, path, _),) = pinned.indices(kind, architecture)
        plain[kind] = folder / kind
        with lzma.open(path) as packed, plain[kind].open("wb") as f:
            shutil.copyfileobj(packed, f, 1 << 20)
    known = all(_sha256(plain[kind]) == digest for kind, digest in KNOWN.items())
    return Indices(plain["Sources"], plain["Packages"], pinned, known)


def as_dose_reads(sources: Iterable[SourcePackage]) -> list[Question]:
    """What dose-builddebcheck asks when it is given the Sources index itself: every stanza, also those that are only
    kept for Built-Using, with the build dependencies of both parts together."""
    questions = []
    for number, one in enumerate(sources):
        if not any(word == "all" or matches(ARCHITECTURE, word) for word in one.architectures):
            continue
        needs = (one.build_depends, one.build_depends_arch, one.build_depends_indep)
        avoids = (one.build_conflicts, one.build_conflicts_arch, one.build_conflicts_indep)
        questions.append(Question(f"{SOURCE}{number}---{one.name}", one.version, _reduced(needs), _reduced(avoids)))
    return questions


def _reduced(fields: Iterable[str]) -> str:
    return written(reduced(parse(", ".join(filter(None, fields))), ARCHITECTURE))


def _sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
