"""Finished packages the user brought, as apt in a chroot is offered them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from debian.deb822 import Packages, Release
from rebuilt import deb

from image_builder.archive.indices.local import NOTHING_LOCAL, read_local
from image_builder.archive.rebuild.local import offered


def test_none_is_no_repository(tmp_path: Path) -> None:
    assert offered(NOTHING_LOCAL, tmp_path / "work", "stable") is None
    assert not (tmp_path / "work").exists()


def test_a_flat_repository_of_them(tmp_path: Path) -> None:
    one, two = deb(tmp_path, "one", "1:1-1", Depends="two (>= 1)"), deb(tmp_path, "two", architecture="all")
    installer = two.rename(tmp_path / "two.deb").with_suffix(".udeb")
    installer.write_bytes(deb(tmp_path, "three").read_bytes())
    made = offered(read_local([one, tmp_path / "two.deb", installer]), tmp_path / "work", "stable")
    assert made is not None
    with (made.folder / "Packages").open() as file:
        stanzas = {stanza["Package"]: stanza for stanza in Packages.iter_paragraphs(file, use_apt_pkg=False)}
    assert stanzas.keys() == {"one", "two"}
    assert stanzas["one"]["Depends"] == "two (>= 1)"
    for stanza in stanzas.values():
        data = (made.folder / stanza["Filename"]).read_bytes()
        assert (stanza["SHA256"], stanza["Size"]) == (hashlib.sha256(data).hexdigest(), str(len(data)))
    release = Release((made.folder / "Release").read_text())
    assert (release["Origin"], release["Suite"], release["Codename"]) == (made.origin, "stable", "stable")
    assert release["SHA256"][0]["sha256"] == hashlib.sha256((made.folder / "Packages").read_bytes()).hexdigest()


def test_the_same_packages_are_the_same_folder_and_others_another(tmp_path: Path) -> None:
    """A build that runs keeps what it was given."""
    first = offered(read_local([deb(tmp_path, "one")]), tmp_path / "work", "stable")
    assert first is not None
    before = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}
    assert offered(read_local([deb(tmp_path, "one")]), tmp_path / "work", "stable") == first
    second = offered(read_local([deb(tmp_path, "one", content="other")]), tmp_path / "work", "stable")
    assert second is not None
    assert second.folder != first.folder
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == before
