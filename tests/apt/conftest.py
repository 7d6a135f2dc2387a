"""A signing key for the whole run, and a fresh archive for each test that asks for one."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from image_builder.apt import http

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def load_local_archive() -> ModuleType:
    """The helper beside this file, which is no package (the tests are imported one by one)."""
    if (known := sys.modules.get("local_archive")) is not None:
        return known
    spec = importlib.util.spec_from_file_location("local_archive", Path(__file__).with_name("local_archive.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["local_archive"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def archives() -> ModuleType:
    return load_local_archive()


@pytest.fixture(scope="session")
def key(archives: ModuleType) -> Iterator[Any]:
    made = archives.Key()
    yield made
    made.close()


@pytest.fixture(scope="session")
def stranger(archives: ModuleType) -> Iterator[Any]:
    """A key nobody trusts."""
    made = archives.Key("Stranger")
    yield made
    made.close()


@pytest.fixture
def archive(archives: ModuleType, key: Any, tmp_path: Path) -> Any:
    """An archive with two packages, published as suite "stable"."""
    made = archives.LocalArchive(tmp_path / "archive", key)
    made.add("library", "1:2.0-1")
    made.add("program", "1.0", Depends="library")
    made.publish(date=NOW)
    return made


@pytest.fixture
def served(archives: ModuleType, archive: Any) -> Iterator[str]:
    with archives.served(archive.folder) as address:
        yield address
    http.close_idle()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Second tries at once: the tests wait for nobody."""
    monkeypatch.setattr(http, "PAUSE_S", 0.0)


@pytest.fixture
def now() -> datetime:
    return NOW
