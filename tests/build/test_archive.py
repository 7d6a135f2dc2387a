"""Which suites a build takes packages from, and which lock it uses."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from local_archive import Key, LocalArchive

from image_builder.build.archive import Archive, sources
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError
from image_builder.layers import Store
from image_builder.live_build.tool_root import ToolRoot
from image_builder.lock import Lock
from proxy.store.upkeep import in_use, prune

KEYRING = Path("/keys/debian.gpg")


def suites(folder: Path, **settings: Any) -> list[str]:
    found = sources(
        BuildConfig(architecture="amd64", mirror="http://m/debian/", **settings), folder / "config", KEYRING
    )
    assert all(s.architectures == ("amd64",) and KEYRING in s.signed_by for s in found)
    return [f"{s.uri.removeprefix('http://')} {s.suite} {' '.join(s.components)}" for s in found]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, ["m/debian trixie main", "m/debian trixie-updates main", "s trixie-security main"]),
        ({"updates": False}, ["m/debian trixie main", "s trixie-security main"]),
        ({"security": False}, ["m/debian trixie main", "m/debian trixie-updates main"]),
        ({"suite": "sid"}, ["m/debian sid main"]),
        (
            {"updates": False, "security": False, "proposed": True, "archive_areas": "main contrib"},
            ["m/debian trixie main contrib", "m/debian trixie-proposed-updates main contrib"],
        ),
    ],
)
def test_debians_suites(tmp_path: Path, settings: dict[str, Any], wanted: list[str]) -> None:
    assert suites(tmp_path, security_mirror="http://s", **settings) == wanted


def test_archives_of_the_project(tmp_path: Path) -> None:
    archives = tmp_path / "config/archives"
    archives.mkdir(parents=True)
    (archives / "b.list.chroot").write_text("# ours\ndeb http://ours @DISTRIBUTION@ main\ndeb-src http://ours x main\n")
    (archives / "a.list").write_text("deb http://flat ./\n")
    (archives / "c.list.binary").write_text("deb http://not.in.the.chroot x main\n")
    for name in ("b.key", "b.key.chroot", "b.key.binary"):
        (archives / name).touch()
    found = sources(BuildConfig(architecture="amd64", updates=False, security=False), tmp_path / "config", KEYRING)
    assert [(s.uri, s.suite) for s in found[1:]] == [("http://flat", "./"), ("http://ours", "trixie")]
    assert [p.name for p in found[1].signed_by] == ["b.key", "b.key.chroot", "debian.gpg"]


def test_a_line_that_is_no_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "config/archives").mkdir(parents=True)
    (tmp_path / "config/archives/a.list").write_text("deb http://ours trixie main\nppa:ours/x\n")
    with pytest.raises(ConfigError, match=r"a\.list: line 2"):
        sources(BuildConfig(architecture="amd64"), tmp_path / "config", KEYRING)


Pin = Callable[..., tuple[Lock, bool]]


@pytest.fixture
def pin(served: str, key: Key, tmp_path: Path) -> Pin:
    """What a build with these settings pins in tmp_path/lock: (lock, is it new); a new one is written."""

    def pin(snapshot: str = "", *, update: bool = False, **more: Any) -> tuple[Lock, bool]:
        config = BuildConfig(
            suite="stable", architecture="amd64", mirror=served, updates=False, security=False, keyring=key.keyring,
            snapshot=snapshot, **more,
        )  # fmt: skip
        archive = Archive(Store(tmp_path / "store"), config, tmp_path / "config", ToolRoot(Path("/"), "", ""))
        lock, is_new = archive.pinned(tmp_path / "lock", update=update)
        if is_new:
            lock.write(tmp_path / "lock")
        return lock, is_new

    return pin


def stamp(at: datetime) -> str:
    return str(int(at.timestamp()))


def test_a_lock_is_used_until_another_instant_is_asked_for(pin: Pin, archive: LocalArchive, now: datetime) -> None:
    first, is_new = pin()
    assert is_new
    assert pin() == (first, False)
    archive.publish(date=now + timedelta(hours=2))
    assert pin() == (first, False)
    assert pin(stamp(now + timedelta(hours=1))) == (first, False), "the newest of that instant, too"
    second, is_new = pin(update=True)
    assert is_new
    assert second.archives[0].date == now + timedelta(hours=2)
    assert pin("now")[1]
    third, is_new = pin(stamp(now + timedelta(hours=1)))
    assert is_new
    assert third.archives[0].inrelease_sha256 == first.archives[0].inrelease_sha256
    assert pin(stamp(now + timedelta(hours=1))) == (third, False)


def test_two_words_have_to_mean_one_instant(pin: Pin, now: datetime) -> None:
    at = now + timedelta(hours=1)
    assert pin(f"{stamp(at)} {at:%Y%m%dT%H%M%SZ}")[1]
    with pytest.raises(ConfigError, match="are different instants"):
        pin(f"{stamp(at)} {now:%Y%m%dT%H%M%SZ}")


def test_snaps_stay_when_the_archive_is_pinned_anew(pin: Pin, tmp_path: Path) -> None:
    lock, _ = pin()
    kept = lock.model_copy(update={"snap_assertions": ("type: account\n",)})
    kept.write(tmp_path / "lock")
    assert pin(update=True)[0].snap_assertions == kept.snap_assertions


def test_a_damaged_lock_can_be_made_anew(pin: Pin, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        pin()
    assert pin(update=True)[1]


def test_what_the_mirror_has_dropped_is_looked_for_at_the_service(
    served: str, key: Key, tmp_path: Path, now: datetime
) -> None:
    config = BuildConfig(
        suite="stable", architecture="amd64", mirror=served, updates=False, security=False, keyring=key.keyring,
        snapshot=stamp(now + timedelta(hours=1)), snapshot_services=("http://127.0.0.1:9/{stamp}/",),
    )  # fmt: skip
    found = Archive(Store(tmp_path / "store"), config, tmp_path / "config", ToolRoot(Path("/"), "", ""))
    found.pinned(tmp_path / "lock", update=False)
    assert found.addresses(f"{served}/pool/program_1.0_all.deb") == [
        f"{served}/pool/program_1.0_all.deb",
        "http://127.0.0.1:9/20260301T130000Z/pool/program_1.0_all.deb",
    ]
    assert found.addresses("http://elsewhere/x") == ["http://elsewhere/x"]


def test_downloads_are_pruned_to_their_size(served: str, key: Key, tmp_path: Path) -> None:
    """What this build's lock names stays, whatever its size; so does everything as long as others have not said."""
    config = BuildConfig(
        suite="stable", architecture="amd64", mirror=served, updates=False, security=False, keyring=key.keyring,
        snapshot_store_size="8K",
    )  # fmt: skip
    store = Store(tmp_path / "store")
    found = Archive(store, config, tmp_path / "config", ToolRoot(Path("/"), "", ""))
    found.pinned(tmp_path / "lock", update=False)
    package = found.blobs.path(found.blobs.add(b"x" * 9000))
    named = {path.name for path in found.blobs.folder.iterdir()} - {package.name}
    os.utime(package, (1000, 1000))
    with in_use(found.blobs):
        assert found.trim() is None
    gone = found.trim()
    assert gone is not None
    assert gone.removed == (package.name,)
    assert gone.freed_bytes >= 9000
    assert {path.name for path in found.blobs.folder.iterdir()} == named
    store.close()
    assert set(prune(found.blobs, 0).removed) == named
