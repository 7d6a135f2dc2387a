"""An assignment for a builder, as the scheduler would write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from image_builder.archive.builder.assignment import AptSource, Assignment, BuildRepository, SourceFile, Tools
from image_builder.archive.model import Base

DEBIAN = AptSource(
    uri="http://deb.debian.org/debian", suite="trixie", components=("main",), signed_by=(Path("/k.gpg"),)
)
TOOLS = Tools(source=DEBIAN.model_copy(update={"suite": "trixie"}))
BUILT = BuildRepository(folder=Path("/results/index"), origin="image-builder")


def assignment(**changes: Any) -> Assignment:
    given: dict[str, Any] = {
        "reference": "7-token",
        "source": "lzop",
        "version": "1.04-2",
        "suite": "trixie",
        "architecture": "amd64",
        "build_architecture": "amd64",
        "build_all": False,
        "files": (
            SourceFile(path="pool/main/l/lzop/lzop_1.04.orig.tar.gz", sha256="0" * 64, size_bytes=1),
            SourceFile(path="pool/main/l/lzop/lzop_1.04-2.dsc", sha256="1" * 64, size_bytes=1),
        ),
        "base": Base.BOTH,
        "sources": (DEBIAN,),
        "repository": BUILT,
        "epoch": 1_700_000_000,
        "time_limit_s": 3600.0,
        "parallel": 3,
        "keyring": Path("/k.gpg"),
        "tools": TOOLS,
        "store": Path("/store"),
    }
    return Assignment(**{**given, **changes})
