"""A signing key for the whole run, and a fresh archive for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import local_archive
import pytest

from proxy import http

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def key() -> Iterator[local_archive.Key]:
    made = local_archive.Key()
    yield made
    made.close()


@pytest.fixture(scope="session")
def stranger() -> Iterator[local_archive.Key]:
    """A key nobody trusts."""
    made = local_archive.Key("Stranger")
    yield made
    made.close()


@pytest.fixture
def archive(key: local_archive.Key, tmp_path: Path) -> local_archive.LocalArchive:
    """An archive with two packages, published as suite "stable"."""
    made = local_archive.LocalArchive(tmp_path / "archive", key)
    made.add("library", "1:2.0-1")
    made.add("program", "1.0", Depends="library")
    made.publish(date=NOW)
    return made


@pytest.fixture
def served(archive: local_archive.LocalArchive, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The archive's address. Second tries come at once: the tests wait for nobody."""
    monkeypatch.setattr(http, "PAUSE_S", 0.0)
    with local_archive.served(archive.folder) as address:
        yield address
    http.close_idle()


@pytest.fixture
def now() -> datetime:
    return NOW
