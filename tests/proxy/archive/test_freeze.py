from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import local_archive
import pytest

from image_builder.errors import PipelineError, SurroundingsError
from image_builder.lock import ArchivePin
from proxy.archive.freeze import blobs, freeze, thaw
from proxy.archive.sources import Source


def source(uri: str, suite: str = "stable", **fields: Any) -> Source:
    return Source(uri, suite, fields.pop("components", ("main",)), ("amd64",), **fields)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def frozen(one: Source, key: Any, cache: Path, now: datetime, **options: Any) -> ArchivePin:
    (pin,) = freeze([one], keyring=key.keyring, cache=cache, now=now, **options)
    return pin


def test_a_pin_says_what_was_signed(served: str, archive: Any, key: Any, cache: Path, now: datetime) -> None:
    pin = frozen(source(served), key, cache, now)
    inrelease = (archive.folder / "dists/stable/InRelease").read_bytes()
    assert pin.inrelease_sha256 == hashlib.sha256(inrelease).hexdigest()
    assert (pin.codename, pin.date, pin.valid_until, pin.signer) == ("stable", now, None, key.fingerprint)
    assert pin.from_ == f"{served}/dists/stable/InRelease"
    assert blobs(cache).read(pin.inrelease_sha256) == inrelease


def test_what_was_frozen_is_there_without_the_network(archive: Any, key: Any, cache: Path, now: datetime) -> None:
    with local_archive.served(archive.folder) as address:
        pin = frozen(source(address), key, cache, now)
    (suite,) = thaw([pin], [source(address)], keyring=key.keyring, cache=cache)
    assert list(suite.indices) == ["main/binary-amd64/Packages"]


def test_an_archive_that_moved_on_is_no_longer_the_frozen_one(
    served: str, archive: Any, key: Any, cache: Path, tmp_path: Path, now: datetime
) -> None:
    pin = frozen(source(served), key, cache, now)
    archive.add("news")
    archive.publish(date=now + timedelta(hours=1))
    assert thaw([pin], [source(served)], keyring=key.keyring, cache=cache)
    with pytest.raises(PipelineError, match="moved on: the lock wants the InRelease of 2026-03-01 12:00:00"):
        thaw([pin], [source(served)], keyring=key.keyring, cache=tmp_path / "another machine")


def test_another_machine_fetches_what_the_lock_names(
    served: str, key: Any, cache: Path, tmp_path: Path, now: datetime
) -> None:
    pin = frozen(source(served), key, cache, now)
    (there,) = thaw([pin], [source(served)], keyring=key.keyring, cache=tmp_path / "another machine")
    assert there.pin == pin


def test_old_indices_are_taken_by_hash(served: str, archive: Any, key: Any, cache: Path, now: datetime) -> None:
    """A mirror in the middle of its update has new files under the old names."""
    for name in ("Packages.xz", "Packages.gz"):
        (archive.folder / "dists/stable/main/binary-amd64" / name).write_bytes(b"of tomorrow")
    assert frozen(source(served), key, cache, now)


def test_archives_without_by_hash(served: str, archive: Any, key: Any, cache: Path, now: datetime) -> None:
    archive.publish("plain", date=now, by_hash=False)
    assert frozen(source(served, "plain"), key, cache, now)
    (archive.folder / "dists/plain/main/binary-amd64/Packages.xz").write_bytes(b"x")
    with pytest.raises(PipelineError, match="the signed index says"):
        frozen(source(served, "plain"), key, cache / "other", now)


def test_a_damaged_cache_is_noticed(served: str, key: Any, cache: Path, now: datetime) -> None:
    pin = frozen(source(served), key, cache, now)
    blobs(cache).path(pin.inrelease_sha256).write_bytes(b"x")
    with pytest.raises(PipelineError, match="damaged"):
        thaw([pin], [source(served)], keyring=key.keyring, cache=cache)
    assert thaw([pin], [source(served)], keyring=key.keyring, cache=cache)


def test_a_source_the_lock_lacks(served: str, key: Any, cache: Path, now: datetime) -> None:
    pin = frozen(source(served), key, cache, now)
    with pytest.raises(PipelineError, match="not in the lock"):
        thaw([pin], [source(served, "testing")], keyring=key.keyring, cache=cache)


def test_expiry_is_judged_now(served: str, archive: Any, key: Any, cache: Path, now: datetime) -> None:
    archive.publish(date=now, valid_for=timedelta(days=7))
    later = now + timedelta(days=8)
    assert frozen(source(served), key, cache, now).valid_until == now + timedelta(days=7)
    with pytest.raises(PipelineError, match="not valid since"):
        frozen(source(served), key, cache, later)
    assert frozen(source(served), key, cache, later, allow_expired=True)


def test_another_suite_under_the_name(served: str, archive: Any, key: Any, cache: Path, now: datetime) -> None:
    archive.publish("stable", date=now, codename="old")
    (archive.folder / "dists/testing").symlink_to("stable")
    with pytest.raises(PipelineError, match="this is old or stable, not testing"):
        frozen(source(served, "testing"), key, cache, now)


def test_a_strangers_archive(served: str, stranger: Any, cache: Path, now: datetime) -> None:
    with pytest.raises(PipelineError, match="no good signature"):
        frozen(source(served), stranger, cache, now)
    assert not blobs(cache).folder.exists()


def test_signed_by_is_asked_instead_of_the_builds_keyring(
    served: str, key: Any, stranger: Any, cache: Path, now: datetime
) -> None:
    assert frozen(source(served, signed_by=(key.keyring,)), stranger, cache, now)
    with pytest.raises(PipelineError, match="no good signature"):
        frozen(source(served, signed_by=(stranger.keyring,)), key, cache, now)


def test_trusted_archives_are_taken_and_said(
    served: str, stranger: Any, cache: Path, now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    assert frozen(source(served, trusted=True), stranger, cache, now).signer == ""
    assert "its signature is not checked" in caplog.text


def test_a_suite_that_does_not_exist(served: str, key: Any, cache: Path, now: datetime) -> None:
    with pytest.raises(PipelineError, match="has no suite nosuch"):
        frozen(source(served, "nosuch"), key, cache, now)


def test_nothing_for_this_component(served: str, key: Any, cache: Path, now: datetime) -> None:
    with pytest.raises(PipelineError, match="no packages of contrib for amd64"):
        frozen(source(served, components=("contrib",)), key, cache, now)


def test_no_network_is_no_verdict(
    archive: Any, key: Any, cache: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.http.PAUSE_S", 0.0)
    with local_archive.served(archive.folder) as address:
        pass
    with pytest.raises(SurroundingsError, match=r"127\.0\.0\.1"):
        frozen(source(address), key, cache, now)
