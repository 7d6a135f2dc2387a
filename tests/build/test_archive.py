"""Which suites a build takes packages from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from image_builder.build.archive import sources
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError

KEYRING = Path("/keys/debian.gpg")


def suites(folder: Path, **settings: Any) -> list[str]:
    found = sources(BuildConfig(architecture="amd64", mirror="http://m/debian/", **settings), folder, KEYRING)
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
    found = sources(BuildConfig(architecture="amd64", updates=False, security=False), tmp_path, KEYRING)
    assert [(s.uri, s.suite) for s in found[1:]] == [("http://flat", "./"), ("http://ours", "trixie")]
    assert [p.name for p in found[1].signed_by] == ["b.key", "b.key.chroot", "debian.gpg"]


def test_a_line_that_is_no_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "config/archives").mkdir(parents=True)
    (tmp_path / "config/archives/a.list").write_text("deb http://ours trixie main\nppa:ours/x\n")
    with pytest.raises(ConfigError, match=r"a\.list: line 2"):
        sources(BuildConfig(architecture="amd64"), tmp_path, KEYRING)
