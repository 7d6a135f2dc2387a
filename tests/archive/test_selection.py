"""Which sources are chosen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from packages_by_hand import binary, source

from image_builder.archive.selection import (
    base_system,
    by_pattern,
    image_packages,
    sources_of,
    with_build_dependencies,
)
from image_builder.errors import ConfigError, SurroundingsError

BINARIES = [
    binary("build-essential", Build_Essential="yes", Depends="gcc"),
    binary("gcc", Source="gcc-12", Depends="libc6"),
    binary("libc6", Source="glibc"),
    binary("dash", Essential="yes"),
    binary("tar", Priority="required"),
    binary("hello", Depends="libhello | libhello-old"),
    binary("libhello", Source="hello-lib", Depends="libc6"),
    binary("libhello-dev", Source="hello-lib", Depends="libhello"),
    binary("gettext", Depends="libunistring"),
    binary("libunistring"),
    binary("foreign", Architecture="arm64"),
    binary("mta", Source="exim", Provides="mail-transport-agent"),
]
SOURCES = {
    one.name: one
    for one in (
        source("hello", Build_Depends="libhello-dev, gettext <!nocheck>, nowhere [arm64]"),
        source("hello-lib", Build_Depends="tar | hello"),
        source("gettext", Build_Depends_Indep="hello"),
        source("glibc"),
        source("gcc-12", Build_Depends="$"),
        source("dash"),
        source("tar"),
        source("libunistring"),
    )
}


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*"], [], {"hello", "hello-lib", "linux"}),
        (["hello*"], [], {"hello", "hello-lib"}),
        (["hello*", "linux"], ["*-lib"], {"hello", "linux"}),
        (["h[a-e]llo"], [], {"hello"}),
        ([], [], set()),
    ],
)
def test_by_pattern(include: list[str], exclude: list[str], expected: set[str]) -> None:
    assert by_pattern(["hello", "hello-lib", "linux"], include, exclude) == expected


def test_a_pattern_that_fits_nothing_is_a_typing_error() -> None:
    with pytest.raises(ConfigError, match=r"no source fits 'helo\*'"):
        by_pattern(["hello"], ["hello", "helo*"])


def test_a_list_of_packages(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# for the image\nhello\n\n  gcc:amd64  # the compiler\n")
    assert image_packages(tmp_path / "list") == ({"hello", "gcc"}, False)


def test_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "image.manifest").write_text("hello\t2.10-3\nlibc6:amd64\t2.36-9\n")
    assert image_packages(tmp_path / "image.manifest") == ({"hello", "libc6"}, True)


def test_a_bill_of_materials(tmp_path: Path) -> None:
    packages = [
        {"name": "image"},
        *({"name": n, "externalRefs": [{"referenceLocator": f"pkg:deb/debian/{p}@1?arch=amd64"}]}
          for n, p in (("g++", "g%2B%2B"), ("dash", "dash"))),
    ]  # fmt: skip
    (tmp_path / "image.spdx.json").write_text(json.dumps({"packages": packages}))
    assert image_packages(tmp_path / "image.spdx.json") == ({"g++", "dash"}, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Hello\n", r"list, line 1: 'Hello' is no package"),
        ("hello\n! Packages Priority standard\n", r"list, line 2: '!' is no package"),
        ("# nothing\n", "names no package"),
        ("{", "is no bill of materials"),
        ('{"packages": [1]}', "is no bill of materials"),
        ('{"archives": []}', "names no Debian package"),
    ],
)
def test_what_names_no_packages(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(ConfigError, match=message):
        image_packages(tmp_path / "list")


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsError, match="cannot be read"):
        image_packages(tmp_path / "list")


def test_a_complete_list_needs_only_its_own_sources() -> None:
    assert sources_of(["hello", "libhello"], BINARIES, "amd64", complete=True) == {"hello", "hello-lib"}


def test_a_list_to_install_needs_what_comes_along() -> None:
    assert sources_of(["hello"], BINARIES, "amd64", complete=False) == {"hello", "hello-lib", "glibc", "dash"}


def test_what_is_provided_is_there() -> None:
    assert sources_of(["mail-transport-agent"], BINARIES, "amd64", complete=True) == {"exim"}


@pytest.mark.parametrize("name", ["nothing", "foreign"])
def test_a_package_that_is_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=f"no package is called {name}"):
        sources_of([name, "hello"], BINARIES, "amd64", complete=True)


def test_base_system() -> None:
    assert base_system(BINARIES, "amd64") == {"build-essential", "gcc-12", "glibc", "dash", "tar"}


BASE = {"gcc-12", "glibc", "dash", "tar"}  # what is build-essential itself has no source here


@pytest.mark.parametrize(
    ("chosen", "profiles", "expected"),
    [
        (set(), set(), BASE),
        ({"libunistring"}, set(), {"libunistring"} | BASE),
        ({"hello"}, {"nocheck"}, {"hello", "hello-lib"} | BASE),
        ({"hello"}, set(), {"hello", "hello-lib", "gettext", "libunistring"} | BASE),
        ({"gettext"}, set(), {"hello", "hello-lib", "gettext", "libunistring"} | BASE),
    ],
)
def test_with_build_dependencies(chosen: set[str], profiles: set[str], expected: set[str]) -> None:
    assert with_build_dependencies(chosen, SOURCES, BINARIES, "amd64", profiles) == expected
