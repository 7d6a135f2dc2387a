"""Which architectures a wildcard means."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_builder.archive.indices import architectures
from image_builder.archive.indices.architectures import matches
from image_builder.errors import SurroundingsError


@pytest.mark.parametrize(
    ("architecture", "wildcard", "expected"),
    [
        ("amd64", "amd64", True),
        ("amd64", "any", True),
        ("amd64", "linux-any", True),
        ("amd64", "any-amd64", True),
        ("amd64", "gnu-linux-any", True),
        ("amd64", "gnu-any-any", True),
        ("amd64", "base-gnu-linux-any", True),
        ("amd64", "linux-amd64", True),
        ("amd64", "i386", False),
        ("amd64", "any-i386", False),
        ("amd64", "hurd-any", False),
        ("amd64", "kfreebsd-any", False),
        ("amd64", "musl-linux-any", False),
        ("x32", "any-amd64", True),
        ("armhf", "any-arm", True),
        ("armel", "any-arm", True),
        ("arm64", "any-arm", False),
        ("armhf", "eabihf-any-any-any", True),
        ("armel", "eabihf-any-any-any", False),
        ("kfreebsd-amd64", "any-amd64", True),
        ("kfreebsd-amd64", "linux-any", False),
        ("hurd-i386", "hurd-any", True),
        ("all", "all", True),
        ("amd64", "all", False),
        ("all", "any", False),
        ("amd64", "nonsense", False),
        ("amd64", "a-b-c-d-any", False),
        ("nonsense", "linux-any", False),
    ],
)
def test_matches(architecture: str, wildcard: str, expected: bool) -> None:
    assert matches(architecture, wildcard) is expected


def test_without_dpkg_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architectures, "TABLES", tmp_path)
    with pytest.raises(SurroundingsError, match=r"cputable.*\n.*package dpkg"):
        architectures._tuples.__wrapped__()
