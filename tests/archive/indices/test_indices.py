"""Sources and Packages become source and binary packages; what cannot be is refused with its place."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from image_builder.archive.indices.packages import binary_nmu, read_packages, source_of_binary
from image_builder.archive.indices.sources import latest, read_sources
from image_builder.archive.model import BinaryPackage, FileEntry, PackageListEntry, SourcePackage
from image_builder.errors import PipelineError

HASH = "ab" * 32
SOURCE = f"""Package: hello
Format: 3.0 (quilt)
Binary: hello,
 hello-doc
Architecture: any all
Version: 1:2.10-3
Priority: optional
Section: devel
Build-Depends: debhelper-compat (= 13),
 gettext <!nocheck>
Build-Depends-Indep: texinfo
Build-Conflicts: old-hello
Testsuite: autopkgtest
Package-List:
 hello deb devel optional arch=any essential=yes
 hello-doc deb doc extra arch=all profile=!nodoc
 hello-udeb udeb debian-installer optional arch=amd64,arm64
Checksums-Sha1:
 {"0" * 40} 12 hello_2.10.orig.tar.gz
Checksums-Sha256:
 {HASH} 12 hello_2.10.orig.tar.gz
 {HASH} 34 hello_2.10-3.dsc
Directory: pool/main/h/hello
"""
HELLO = SourcePackage(
    name="hello",
    version="1:2.10-3",
    component="contrib",
    section="devel",
    priority="optional",
    architectures=("any", "all"),
    binaries=("hello", "hello-doc"),
    package_list=(
        PackageListEntry("hello", "deb", "devel", "optional", ("any",), "", True),
        PackageListEntry("hello-doc", "deb", "doc", "extra", ("all",), "!nodoc"),
        PackageListEntry("hello-udeb", "udeb", "debian-installer", "optional", ("amd64", "arm64")),
    ),
    build_depends="debhelper-compat (= 13), gettext <!nocheck>",
    build_depends_indep="texinfo",
    build_conflicts="old-hello",
    directory="pool/main/h/hello",
    files=(FileEntry("hello_2.10.orig.tar.gz", 12, HASH), FileEntry("hello_2.10-3.dsc", 34, HASH)),
    testsuite="autopkgtest",
)
BINARY = f"""Package: hello-bin
Source: hello (1:2.10-3)
Version: 1:2.10-3+b2
Architecture: amd64
Essential: yes
Build-Essential: yes
Multi-Arch: foreign
Priority: required
Section: devel
Pre-Depends: libc6
Depends: a | b,
 c
Provides: hi (= 2)
Suggests: nothing
Filename: pool/main/h/hello/hello-bin_2.10-3+b2_amd64.deb
Size: 56
SHA256: {HASH}
"""
HELLO_BIN = BinaryPackage(
    name="hello-bin",
    version="1:2.10-3+b2",
    architecture="amd64",
    source="hello",
    source_version="1:2.10-3",
    component="main",
    section="devel",
    priority="required",
    essential=True,
    build_essential=True,
    relations={"Depends": "a | b, c", "Pre-Depends": "libc6", "Provides": "hi (= 2)"},
    multi_arch="foreign",
    file=FileEntry("pool/main/h/hello/hello-bin_2.10-3+b2_amd64.deb", 56, HASH),
)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index"


def test_source(index: Path) -> None:
    index.write_text(SOURCE)
    assert read_sources(index, "contrib") == [HELLO]


def test_binary(index: Path) -> None:
    index.write_text(BINARY)
    assert read_packages(index) == [HELLO_BIN]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Package: hello", "Package: ../hello", "hello has '../hello' where a package name should stand"),
        ("Package: hello", "Package: Hello", "where a package name"),
        ("Package: hello\n", "", "a stanza without Package has '' where a package name"),
        ("Version: 1:2.10-3", "Version: 1/2", "has '1/2' where a version"),
        ("Version: 1:2.10-3", "Version: ", "where a version"),
        ("Architecture: any all", "Architecture: any ../all", "'../all' where an architecture"),
        ("Architecture: any all\n", "", "where an architecture"),
        ("Directory: pool/main/h/hello", "Directory: pool/../../etc", "leads out of the archive"),
        ("Directory: pool/main/h/hello", "Directory: /etc", "leads out of the archive"),
        (f"{HASH} 34 hello_2.10-3.dsc", f"{HASH} 34 ../hello.dsc", "names no file"),
        (f"{HASH} 34 hello_2.10-3.dsc", f"{HASH} 34 ..", "names no file"),
        (f"{HASH} 34 hello_2.10-3.dsc", f"{HASH} -4 hello.dsc", "names no file"),
        (f"{HASH} 34 hello_2.10-3.dsc", "abc 34 hello.dsc", "names no file"),
    ],
)
def test_a_source_that_cannot_be(old: str, new: str, message: str, index: Path) -> None:
    index.write_text(SOURCE.replace(old, new))
    with pytest.raises(PipelineError) as refused:
        read_sources(index)
    assert message in str(refused.value).replace(f"{index}, ", "").replace(": has", " has")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Filename: pool", "Filename: ../pool", "leads out"),
        ("Size: 56", "Size: -1", "without its size"),
        (f"SHA256: {HASH}", "SHA256: abc", "without its size or SHA-256"),
        ("Version: 1:2.10-3+b2", "Version: x:1", "where a version"),
    ],
)
def test_a_binary_that_cannot_be(old: str, new: str, message: str, index: Path) -> None:
    index.write_text(BINARY.replace(old, new))
    with pytest.raises(PipelineError, match=message):
        read_packages(index)


def test_the_highest_version_wins_wherever_it_stands() -> None:
    versions = ["1-2", "1-10", "1-9", "1:0~"]
    sources = [replace(HELLO, version=version) for version in versions]
    assert latest(sources) == latest(reversed(sources)) == {"hello": sources[-1]}


def test_what_is_kept_for_built_using_is_never_the_latest() -> None:
    kept = replace(HELLO, version="9:9", extra_source_only=True)
    assert latest([HELLO, kept]) == {"hello": HELLO}
    assert latest([kept]) == {}


@pytest.mark.parametrize(
    ("version", "field", "expected"),
    [
        ("1-1", "", ("x", "1-1")),
        ("1-1+b3", "", ("x", "1-1")),
        ("1-1+b3", "y", ("y", "1-1")),
        ("1-1+b3", "y (2-1)", ("y", "2-1")),
        ("1+b1-1", "", ("x", "1+b1-1")),
        ("1-1+bpo1", "", ("x", "1-1+bpo1")),
    ],
)
def test_source_of_binary(version: str, field: str, expected: tuple[str, str]) -> None:
    assert source_of_binary("x", version, field) == expected


def test_binary_nmu() -> None:
    assert [binary_nmu(version) for version in ("1-1", "1-1+b4", "1-1+b12", "1+b2-1")] == [0, 4, 12, 0]


FIELDS = st.sampled_from(
    [*SOURCE.splitlines(), *BINARY.splitlines(), "", "Package: x", " ..", "Directory: ../x", ":", "\x00"]
)
LINES = (
    FIELDS
    | st.text(max_size=20)
    | st.builds("{}: {}".format, st.sampled_from(["Version", "Size"]), st.text(max_size=9))
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=25).map("\n".join))
def test_any_text_is_read_or_refused(index: Path, text: str) -> None:
    index.write_bytes(text.encode("utf-8", "surrogatepass"))
    for read in (read_sources, read_packages):
        try:
            found = read(index)
        except PipelineError:
            continue
        for one in found:
            assert re.fullmatch(r"[a-z0-9][a-z0-9+.-]*", one.name)
            assert ".." not in getattr(one, "directory", "").split("/")
