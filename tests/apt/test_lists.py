from __future__ import annotations

import gzip
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from image_builder.apt.handover import hand_over
from image_builder.apt.lists import check_lists, check_written, list_name, lists_folder
from image_builder.apt.solution import Package
from image_builder.lock import Lock
from proxy.archive.freeze import blobs, freeze, thaw
from proxy.archive.sources import Source


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("http://deb.debian.org/debian/dists/trixie/InRelease", "deb.debian.org_debian_dists_trixie_InRelease"),
        ("http://user:pw@127.0.0.1:8080/a_b/dists/x~y/InRelease", "127.0.0.1:8080_a%5fb_dists_x%7ey_InRelease"),
        ("file:/packages/./Packages", "_packages_._Packages"),
        ("copy:///srv/a b/./Packages", "_srv_a%20b_._Packages"),
        ("https://x/é/InRelease", "x_%c3%a9_InRelease"),
    ],
)
def test_names_are_those_of_apt(uri: str, name: str) -> None:
    assert list_name(uri) == name


@pytest.fixture
def setup(served: str, key: Any, tmp_path: Path, now: datetime) -> tuple[Path, Lock, Path]:
    """(lists, lock, cache) of the archive served."""
    cache = tmp_path / "cache"
    sources = [Source(served, "stable", ("main",), ("amd64",))]
    pins = freeze(sources, keyring=key.keyring, cache=cache, now=now)
    frozen = thaw(pins, sources, keyring=key.keyring, cache=cache)
    return lists_folder(frozen, cache=cache), Lock(created=now, archives=tuple(pins)), cache


def test_lists_hold_the_frozen_files(setup: tuple[Path, Lock, Path], archive: Any, served: str) -> None:
    lists, lock, _ = setup
    host = served.removeprefix("http://")
    assert sorted(path.name for path in lists.iterdir()) == sorted(
        [
            f"{host}_dists_stable_InRelease",
            f"{host}_dists_stable_main_binary-amd64_Packages",
            "auxfiles",
            "lock",
            "partial",
        ]
    )
    assert (lists / f"{host}_dists_stable_InRelease").read_bytes() == (
        archive.folder / "dists/stable/InRelease"
    ).read_bytes()
    assert "Package: program\n" in (lists / f"{host}_dists_stable_main_binary-amd64_Packages").read_text()
    assert check_lists(lists, lock) == []


def test_what_apt_saw_is_compared_with_the_lock(
    setup: tuple[Path, Lock, Path], archive: Any, served: str, tmp_path: Path, now: datetime
) -> None:
    lists, lock, cache = setup
    seen = hand_over(lists, [], blobs(cache), tmp_path / "step").lists
    assert check_lists(seen, lock) == []
    host = served.removeprefix("http://")
    archive.publish(date=now + timedelta(days=1))
    new = (archive.folder / "dists/stable/InRelease").read_bytes()
    inrelease = seen / f"{host}_dists_stable_InRelease"
    inrelease.unlink()  # as apt does: a new file under the old name
    inrelease.write_bytes(new)
    (seen / "evil_dists_stable_InRelease").write_bytes(new)
    (seen / "_packages_._Release").write_text("the build's own packages")
    assert check_lists(seen, lock) == [
        f"{served} stable: apt read another InRelease (of Mon, 02 Mar 2026 12:00:00 UTC) than the lock has"
        " (of Sun, 01 Mar 2026 12:00:00 UTC)",
        "apt read evil_dists_stable_InRelease, which the lock does not pin",
    ]
    assert check_lists(lists, lock) == []  # the step's folder is its own
    inrelease.unlink()
    (seen / "evil_dists_stable_InRelease").unlink()
    assert check_lists(seen, lock) == [f"{served} stable: apt has not read it"]
    assert check_lists(tmp_path / "none", lock) == [f"{served} stable: apt has not read it"]


def test_every_index_apt_has_written_is_compared_with_the_lock(
    setup: tuple[Path, Lock, Path], served: str, key: Any, tmp_path: Path
) -> None:
    lists, lock, cache = setup
    frozen = thaw(lock.archives, [Source(served, "stable", ("main",), ("amd64",))], keyring=key.keyring, cache=cache)
    host = served.removeprefix("http://")
    own = f"{host}_dists_stable_main_binary-amd64_Packages"
    written = tmp_path / "written"
    assert check_written(written, frozen) == []
    (written / "partial").mkdir(parents=True)
    for name in ("lock", "_packages_._Packages"):
        (written / name).touch()
    good = (lists / own).read_bytes()
    (written / own).write_bytes(good)
    (written / f"{own}.gz").write_bytes(gzip.compress(good))  # as apt keeps it where it is told to
    assert check_written(written, frozen) == []
    (written / own).write_bytes(good + b"\nPackage: evil\n")
    (written / f"{host}_dists_testing_main_binary-amd64_Packages").write_bytes(good)
    assert check_written(written, frozen) == [
        f"{own} is not the one the lock names",
        f"apt read {host}_dists_testing_main_binary-amd64_Packages, which the lock does not pin",
    ]


def test_lists_are_made_once(setup: tuple[Path, Lock, Path], served: str, key: Any) -> None:
    lists, lock, cache = setup
    before = {path.name: path.stat().st_mtime_ns for path in lists.iterdir()}
    frozen = thaw(lock.archives, [Source(served, "stable", ("main",), ("amd64",))], keyring=key.keyring, cache=cache)
    assert lists_folder(frozen, cache=cache) == lists
    assert {path.name: path.stat().st_mtime_ns for path in lists.iterdir()} == before
    assert [path.name for path in lists.parent.iterdir()] == [lists.name]


def test_a_step_gets_lists_packages_and_what_mmdebstrap_looks_for(
    setup: tuple[Path, Lock, Path], tmp_path: Path
) -> None:
    lists, _, cache = setup
    store = blobs(cache)
    package = Package("program", "all", "1:1.0", store.add(b"deb"), 3, "http://x/program.deb")
    absent = Package("absent", "all", "1", "0" * 64, 1, "http://x/absent.deb")
    step = hand_over(lists, [package, absent], store, tmp_path / "step")
    assert sorted(path.name for path in step.cache.iterdir()) == ["archives", "pkgcache.bin", "srcpkgcache.bin"]
    assert sorted(path.name for path in (step.cache / "archives").iterdir()) == ["partial", "program_1%3a1.0_all.deb"]
    assert (step.cache / "archives/program_1%3a1.0_all.deb").read_bytes() == b"deb"
    assert {"lock", "partial", "auxfiles"} <= {path.name for path in step.lists.iterdir()}
    (step.cache / "archives/program_1%3a1.0_all.deb").unlink()  # apt-get clean
    assert store.read(package.sha256) == b"deb"
