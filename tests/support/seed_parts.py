"""Snaps with the assertions that prove them, to make seeds of."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from assertion_signer import Authority, stream
from snap_store import make_snap, snap_id

from image_builder.lock import SnapPin
from snaps import meta as metas
from snaps import model as models
from snaps import seed
from snaps.assertions import trust
from snaps.assertions.parse import Assertion, parse
from snaps.model import Given
from snaps.seed import SeedSnap
from snaps.seed_check import Seed
from snaps.seed_snaps import sha3_384

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@cache
def packed(about: str) -> bytes:
    """A snap file with this snap.yaml (as JSON): packed once for all tests, since that takes its time."""
    with tempfile.TemporaryDirectory() as folder:
        return make_snap(Path(folder) / "snap", json.loads(about)).read_bytes()


class SeedParts:
    """add() snaps, then write() a seed of them. texts: the assertions, as bytes."""

    def __init__(self, folder: Path, by: Authority) -> None:
        self.folder, self.by = folder, by
        self.trust = trust.from_text(by.trust, where="the test's root", now=NOW)
        self.snaps: list[SeedSnap] = []
        self.texts = [by.store_account_key, by.account("publisher", "publisher")]
        folder.mkdir(parents=True, exist_ok=True)
        self.model_file = folder / "model.assert"
        self.model_file.write_bytes(by.model_file())

    def add(self, name: str, revision: int = 1, *, classic: bool | None = None, **meta: Any) -> SeedSnap:
        """A snap file with this snap.yaml, signed."""
        about = {"name": name, "version": "1", **meta}
        path = self.folder / f"{name}-{revision}.file"
        path.write_bytes(packed(json.dumps(about)))
        found = metas.read(path)
        digest = sha3_384(path)
        pin = SnapPin(
            name=name, snap_id=snap_id(name), revision=revision, sha3_384=digest, size_bytes=path.stat().st_size,
            channel="latest/stable", base=found.base, type=found.kind, needs=found.needs,
            classic=found.confinement == "classic" if classic is None else classic, publisher="publisher",
        )  # fmt: skip
        self.texts.append(self.by.snap_declaration(pin.snap_id, name, "publisher"))
        self.texts.append(self.by.snap_revision(digest, pin.size_bytes, pin.snap_id, revision, "publisher"))
        self.snaps.append(SeedSnap(pin, path))
        return self.snaps[-1]

    @property
    def assertions(self) -> list[Assertion]:
        return [parse(text) for text in self.texts]

    @property
    def model(self) -> Given:
        return models.choose(self.model_file, self.trust)

    def write(self, folder: Path, snaps: Sequence[SeedSnap] | None = None, *, link: bool = False) -> Seed:
        return seed.write(
            folder, self.snaps if snaps is None else snaps, self.assertions, model=self.model, now=NOW, link=link
        )

    def write_system(self, top: Path, model: bytes, label: str = "20260301") -> Path:
        """A seed as Ubuntu Core 20 and later have it; returns the system's folder."""
        system = top / "systems" / label
        (system / "assertions").mkdir(parents=True)
        (top / "snaps").mkdir(exist_ok=True)
        (system / "model").write_bytes(model)
        (system / "assertions/model-etc").write_bytes(stream(self.by.brand_account, self.by.models_account_key))
        (system / "assertions/snaps").write_bytes(stream(*self.texts))
        for snap in self.snaps:
            (top / "snaps" / snap.file_name).write_bytes(snap.file.read_bytes())
        return system


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a folder: mode and bytes; folders too."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }
