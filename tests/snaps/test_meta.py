from __future__ import annotations

from pathlib import Path

import pytest
from snap_store import make_snap

from image_builder.errors import PipelineError
from snaps.meta import parse, read


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("name: a\n", "core"),
        ("name: a\nbase: core22\n", "core22"),
        ("name: a\nbase: core16\n", "core"),
        ("name: a\nbase: none\n", ""),
        ("name: core22\ntype: base\n", ""),
        ("name: core\ntype: os\n", ""),
        ("name: snapd\n", ""),
        ("name: snapd\ntype: snapd\n", ""),
        ("name: pc-kernel\ntype: kernel\n", ""),
        ("name: pc\ntype: gadget\nbase: core24\n", "core24"),
        ("name: a\ntype: application\n", "core"),
    ],
)
def test_bases(text: str, base: str) -> None:
    assert parse(text, where="x").base == base


def test_default_providers_of_content() -> None:
    text = """
name: a
base: core22
plugs:
  themes: {interface: content, default-provider: gtk-common-themes}
  old: {interface: content, default-provider: "gnome:slot"}
  content: {default-provider: by-name}
  twice: {interface: content, default-provider: gtk-common-themes}
  none: {interface: content, content: x}
  other: {interface: home, default-provider: nothing}
  short: network
  bare:
"""
    assert parse(text, where="x").needs == ("core22", "gtk-common-themes", "gnome", "by-name")


@pytest.mark.parametrize(
    "text", ["", "[]", "name: 7", "name: ../x", "name: a\nbase: [x]", "name: a\nbase: ../b", "{", "a: !!x y"]
)
def test_what_is_no_snap_yaml_is_refused(text: str) -> None:
    with pytest.raises(PipelineError, match=r"snap\.yaml"):
        parse(text, where="x")


def test_a_snap_file(tmp_path: Path) -> None:
    path = make_snap(tmp_path / "a.snap", {"name": "a", "base": "core24", "confinement": "classic"})
    found = read(path)
    assert (found.name, found.base, found.confinement, found.kind) == ("a", "core24", "classic", "app")


def test_a_file_that_is_no_snap(tmp_path: Path) -> None:
    (tmp_path / "a.snap").write_bytes(b"hsqs" + bytes(4096))
    with pytest.raises(PipelineError, match=r"holds no meta/snap\.yaml"):
        read(tmp_path / "a.snap")
