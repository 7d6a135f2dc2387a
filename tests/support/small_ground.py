"""What a rebuild stands on, in a folder: two sources and their binaries by hand, no archive behind them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packages_by_hand import binary, source

from image_builder.archive.configuration import ArchiveConfig
from image_builder.archive.importer import Archive
from image_builder.archive.pinned import Pinned
from image_builder.archive.rebuild.ground import Ground
from image_builder.archive.stages import stages_of
from image_builder.layers import Store
from image_builder.lock import ArchivePin
from proxy.archive.sources import Source

URI = "http://archive.invalid/debian"


def ground(folder: Path, *, whole: bool = False, **config: Any) -> Ground:
    """tool needs libwater-dev to build, which water makes. config: keys of archive.yaml.

    whole: what is in every chroot is made from a source, too: core.
    """
    wanted = {
        "name": "small",
        "sources": [f"deb {URI} stable main"],
        "suite": "stable",
        "architectures": ["amd64"],
        "results": "results",
        "repository": "repository",
        "work": "work",
        "store": str(folder / "store"),
        **config,
    }
    made = ArchiveConfig.model_validate(wanted, context={"folder": folder})
    sources = [
        source("water", "1-1", Binary="libwater-dev", Directory="pool/w"),
        source("tool", "2-1", Build_Depends="libwater-dev (>= 1)", Directory="pool/t"),
    ]
    binaries = [binary("libwater-dev", "1-1", Source="water"), binary("tool", "2-1")]
    core = {"Source": "core"} if whole else {}
    binaries += [binary("base", "1", Essential="yes", **core), binary("build-essential", "1", **core)]
    sources += [source("core", "1", Binary="base, build-essential", Directory="pool/c")] if whole else []
    pin = ArchivePin(
        uri=URI, suite="stable", codename="stable", components=("main",), architectures=("amd64",),
        inrelease_sha256="0" * 64, date=datetime(2026, 1, 1, tzinfo=UTC), signer="", **{"from": URI},
    )  # fmt: skip
    pinned = Pinned([Source(URI, "stable", ("main",), ("amd64",), (), True, True)], [pin],
                    keyring=folder / "none.gpg", cache=folder / "store/archive")  # fmt: skip
    archive = Archive({one.name: one for one in sources}, binaries)
    return Ground(made, Store(made.store), pinned, archive, stages_of(made))
