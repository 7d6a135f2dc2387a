"""What a rebuild reads of its source archive, copied: signed as it was, whole, and no more than was chosen."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from local_archive import served
from published import DATE, Rebuilt, apt_root

from image_builder.archive.bring import addresses, bring, hand_over
from image_builder.archive.pinned import Pinned
from image_builder.archive.publish.folder import FolderPlace
from image_builder.archive.publish.signing import Signer
from proxy import http
from proxy.archive.freeze import freeze
from proxy.archive.sources import Source


@pytest.fixture
def archive(tmp_path: Path) -> Rebuilt:
    """An archive: hello needs tool to be built, tool depends on library; other is of no use to it."""
    made = Rebuilt(tmp_path / "old", Signer.own(tmp_path / "keys", DATE))
    for name, depends in (("tool", "library"), ("library", ""), ("other", ""), ("base", "")):
        fields = {"Depends": depends} if depends else {}
        made.build(name, {name: "amd64"}, **fields, **({"Essential": "yes"} if name == "base" else {}))
    made.source("hello", build_depends="tool | other")
    made.source("more")
    made.publish(FolderPlace(tmp_path / "public"))
    return made


def test_the_chosen_sources_and_what_builds_install(archive: Rebuilt, tmp_path: Path) -> None:
    assert archive.signer.file is not None
    keyring = tmp_path / "keyring.gpg"
    subprocess.run(["gpg", "--dearmor", "-o", keyring, tmp_path / "public/archive-key.asc"], check=True)
    with served(tmp_path / "public") as address:
        source = Source(address, "stable", ("main",), ("amd64",), (keyring,), source_packages=True)
        cache, now = tmp_path / "cache", datetime.fromtimestamp(DATE + 60, UTC)
        pins = freeze([source], keyring=keyring, cache=cache, now=now)
        pinned = Pinned([source], pins, keyring=keyring, cache=cache)
        files = addresses(pinned, {"hello"}, ["amd64"])
        assert sorted(uri.rpartition("/")[2] for uri, _ in files) == [
            "base_1-1_amd64.deb", "hello_1.dsc", "hello_1.tar.gz", "library_1-1_amd64.deb", "tool_1-1_amd64.deb",
        ]  # fmt: skip
        without = addresses(pinned, {"hello"}, [])
        assert [uri.rpartition("/")[2] for uri, _ in without] == ["hello_1.dsc", "hello_1.tar.gz"]
        report = bring(pinned, files, tmp_path / "copy", jobs=2, progress=None)
        http.close_idle()
    assert report.complete, (report.missing, report.failed)

    place = FolderPlace(tmp_path / "place")
    assert hand_over(tmp_path / "copy", place) > 5
    host = next((tmp_path / "place").glob("127.0.0.1*")).name
    with served(tmp_path / "place") as address:
        words = apt_root(tmp_path / "apt", f"{address}/{host}")
        (tmp_path / "apt/key.asc").write_bytes((tmp_path / "public/archive-key.asc").read_bytes())
        for command in (["update"], ["download", "tool"], ["source", "--download-only", "hello"]):
            done = subprocess.run(
                ["apt-get", *words[:], *command], check=False, capture_output=True, text=True, cwd=tmp_path / "apt"
            )
            assert done.returncode == 0, done.stdout + done.stderr
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "place").rglob("*.deb")}
    hand_over(tmp_path / "copy", place)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "place").rglob("*.deb")} == before
