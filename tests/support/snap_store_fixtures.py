"""A running snap store for a test, with nothing in it; second tries come at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import snap_store
from assertion_signer import Authority

from snaps.store import transport
from snaps.store.client import StoreClient
from snaps.store.settings import Settings


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[snap_store.SnapStore]:
    monkeypatch.setattr(transport, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(transport, "LONGEST_PAUSE_S", 0.0)
    with snap_store.running(snap_store.SnapStore()) as made:
        yield made


@pytest.fixture(scope="session")
def snap_authority() -> Authority:
    """The keys of a private store: made once, since that takes its time."""
    return Authority()


@pytest.fixture
def signed_store(loopback: snap_store.SnapStore, snap_authority: Authority) -> snap_store.SnapStore:
    """A store with an app on core22, one in classic confinement, and one that takes content from a theme."""
    loopback.authority = snap_authority
    loopback.add_snap(1, {"name": "snapd", "type": "snapd"})
    loopback.add_snap(22, {"name": "core22", "type": "base"})
    loopback.add_snap(29, {"name": "hello", "base": "core22"}, payload=b"hello 29")
    loopback.add_snap(7, {"name": "go", "base": "core22", "confinement": "classic"}, channel="1.22/stable")
    plugs = {"themes": {"interface": "content", "default-provider": "theme"}}
    loopback.add_snap(3, {"name": "editor", "base": "core22", "plugs": plugs})
    loopback.add_snap(5, {"name": "theme", "base": "core22"})
    return loopback


@pytest.fixture
def store_client(loopback: snap_store.SnapStore) -> StoreClient:
    return StoreClient(Settings(api=loopback.address, assertions=loopback.address))
