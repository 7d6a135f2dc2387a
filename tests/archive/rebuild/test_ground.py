"""What a rebuild stands on, read from an archive over HTTP."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from local_archive import served
from published import DATE, Rebuilt

from image_builder.archive.configuration import ArchiveConfig
from image_builder.archive.publish.folder import FolderPlace
from image_builder.archive.publish.signing import Signer
from image_builder.archive.rebuild.ground import laid
from proxy import http
from proxy.store.upkeep import prune


def test_what_a_rebuild_reads_is_not_pruned_before_it_ends(tmp_path: Path) -> None:
    old = Rebuilt(tmp_path / "old", Signer.own(tmp_path / "keys", DATE))
    old.build("tool", {"tool": "amd64"})
    old.source("hello", build_depends="tool")
    old.publish(FolderPlace(tmp_path / "public"))
    keyring = tmp_path / "keyring.gpg"
    subprocess.run(["gpg", "--dearmor", "-o", keyring, tmp_path / "public/archive-key.asc"], check=True)
    with served(tmp_path / "public") as address:
        config = ArchiveConfig.model_validate(
            {"sources": [f"deb {address} stable main"], "suite": "stable", "architectures": ["amd64"],
             "keyring": str(keyring), "store": str(tmp_path / "store")},
            context={"folder": tmp_path},
        )  # fmt: skip
        ground = laid(config, update=False, now=datetime.fromtimestamp(DATE + 60, UTC))
        assert ground.archive.sources.keys() == {"hello"}
        blobs = ground.pinned.blobs
        there = {path.name for path in blobs.folder.iterdir()}
        assert len(there) >= 3
        # Whoever prunes the store meanwhile, however small it shall become, leaves it all alone.
        assert prune(blobs, 0).removed == ()
        ground.store.close()
        assert set(prune(blobs, 0).removed) == there
        http.close_idle()
