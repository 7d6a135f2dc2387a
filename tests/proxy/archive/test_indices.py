from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from debian.deb822 import Packages, Sources
from hypothesis import given
from hypothesis import strategies as st

from image_builder.errors import PipelineError
from proxy.archive import indices

A, B = b"a" * 64, b"b" * 64
PACKAGE = (
    b"Package: a\nVersion: 1\nFilename: pool/a.deb\nSize: 7\nSHA256: " + A + b"\nDescription: x\n long\n .\n text\n"
)


def listed(text: bytes) -> list[indices.Named]:
    return list(indices.packages([text]))


def test_packages() -> None:
    other = b"Package: b\nFilename: ./pool//b.deb\nSize: 0\nSHA256: " + B + b"\n"
    assert listed(PACKAGE + b"\n" + other) == [
        ("pool/a.deb", bytes.fromhex(A.decode()), 7),
        ("pool/b.deb", bytes.fromhex(B.decode()), 0),
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"\n\n\n" + PACKAGE + b"\n\n\n", id="empty lines"),
        pytest.param(PACKAGE.rstrip(b"\n"), id="no newline at the end"),
        pytest.param(PACKAGE.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(PACKAGE.replace(b"Filename: ", b"Filename:\t "), id="blanks"),
        pytest.param(PACKAGE.replace(b"Filename", b"filename").replace(b"SHA256", b"sha256"), id="case"),
        pytest.param(PACKAGE.replace(b" long", b" Filename: other\n Size: 3"), id="fields within a description"),
    ],
)
def test_one_package(text: bytes) -> None:
    assert listed(text) == [("pool/a.deb", bytes.fromhex(A.decode()), 7)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"pool/a.deb", b"../a.deb", id="a folder above"),
        pytest.param(b"pool/a.deb", b"pool/\xff.deb", id="not UTF-8"),
        pytest.param(b"pool/a.deb", b".", id="no name"),
        pytest.param(b"Size: 7", b"Size: 7k", id="no number"),
        pytest.param(b"Size: 7", b"Size: -7", id="negative"),
        pytest.param(b"Size: 7\n", b"", id="no size"),
        pytest.param(A, A[1:], id="short hash"),
        pytest.param(A, A.upper(), id="upper case"),
        pytest.param(b"Size: 7", b"Size: 7\nSHA256: " + B, id="two hashes"),
        pytest.param(b"Size: 7", b"Size: 7\n 8", id="goes on below"),
    ],
)
def test_what_is_not_whole_names_nothing(old: bytes, new: bytes) -> None:
    assert old in PACKAGE
    assert listed(PACKAGE.replace(old, new)) == []


def test_sources() -> None:
    text = (
        b"Package: a\nDirectory: pool/main/a\nFiles:\n 00 1 a.dsc\nChecksums-Sha256:\n " + A + b" 5 a.dsc\n "
        + B + b" 6 a.tar.xz\nHomepage: x\n"
    )  # fmt: skip
    wanted = [
        ("pool/main/a/a.dsc", bytes.fromhex(A.decode()), 5),
        ("pool/main/a/a.tar.xz", bytes.fromhex(B.decode()), 6),
    ]
    assert list(indices.sources([text])) == wanted
    assert list(indices.sources([text.replace(b"Checksums-Sha256", b"checksums-sha256")])) == wanted
    assert list(indices.sources([text.replace(b"Directory: pool/main/a\n", b"")])) == []
    assert list(indices.sources([text + b"Checksums-Sha256:\n " + B + b" 5 a.dsc\n"])) == []


def test_a_checksum_list() -> None:
    text = A + b"  ./netboot/mini.iso\n" + B + b" *other\n" + b"junk\n" + B + b"  ../../above\n"
    assert list(indices.checksums([text[:70], text[70:]], "dists/s/images/")) == [
        ("dists/s/images/netboot/mini.iso", bytes.fromhex(A.decode()), None),
        ("dists/s/images/other", bytes.fromhex(B.decode()), None),
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("main/binary-amd64/Packages", "packages"),
        ("main/binary-amd64/Packages.xz", "packages"),
        ("Packages.gz", "packages"),
        ("main/source/Sources.bz2", "sources"),
        ("main/installer-amd64/current/images/SHA256SUMS", "checksums"),
        ("main/binary-amd64/Release", None),
        ("main/Contents-amd64.gz", None),
        ("main/binary-amd64/Packages.diff/Index", None),
        ("main/binary-amd64/Packages.zst", None),
    ],
)
def test_kinds(name: str, kind: str | None) -> None:
    assert indices.kind_of(name) == kind


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".xz", lzma.compress), (".gz", gzip.compress), (".bz2", bz2.compress), ("", lambda data: data)],
)
def test_compressions(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "by its hash"
    path.write_bytes(pack(PACKAGE))
    assert len(list(indices.named_files(path, f"main/Packages{suffix}", ""))) == 1
    if suffix:
        path.write_bytes(pack(PACKAGE * 1000)[:-9])
        with pytest.raises(PipelineError, match="cannot be unpacked"):
            list(indices.named_files(path, f"main/Packages{suffix}", ""))
        path.write_bytes(b"something else")
        with pytest.raises(PipelineError, match="cannot be unpacked"):
            list(indices.named_files(path, f"main/Packages{suffix}", ""))


texts = st.lists(
    st.sampled_from([b"\n", b"\n\n", b" ", b"Filename: a", b"Size: 1", b"SHA256: " + A, b"\r\n", b"x", b":"])
)


@given(texts, st.lists(st.integers(0, 200)))
def test_pieces_make_no_difference(parts: list[bytes], cuts: list[int]) -> None:
    text = b"".join(parts)
    assert list(indices.stanzas(_cut(text, cuts))) == list(indices.stanzas([text]))


def _cut(text: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    yield from (text[a:b] for a, b in pairwise(edges))


word = st.text(
    st.characters(codec="ascii", min_codepoint=33, exclude_characters="\\/\x7f"), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))
digest = st.binary(min_size=32, max_size=32)
size = st.integers(0, 1 << 40)


@given(st.lists(st.tuples(word, digest, size, word)))
def test_packages_as_python_debian_reads_them(entries: list[tuple[str, bytes, int, str]]) -> None:
    text = "\n".join(
        f"Package: {more}\nDescription: {more}\n {more}\nFilename: pool/{name}\nSize: {number}\nSHA256: {sha.hex()}\n"
        for name, sha, number, more in entries
    ).encode()
    theirs = [
        (p["Filename"], bytes.fromhex(p["SHA256"]), int(p["Size"]))
        for p in Packages.iter_paragraphs(text, use_apt_pkg=False)
    ]
    assert listed(text) == theirs


@given(st.lists(st.tuples(word, st.lists(st.tuples(word, digest, size), min_size=1))))
def test_sources_as_python_debian_reads_them(entries: list[tuple[str, list[tuple[str, bytes, int]]]]) -> None:
    text = "\n".join(
        f"Package: x\nDirectory: pool/{folder}\nChecksums-Sha256:\n"
        + "".join(f" {sha.hex()} {number} {name}\n" for name, sha, number in files)
        for folder, files in entries
    ).encode()
    theirs = [
        (f"{s['Directory']}/{one['name']}", bytes.fromhex(one["sha256"]), int(one["size"]))
        for s in Sources.iter_paragraphs(text, use_apt_pkg=False)
        for one in s["Checksums-Sha256"]
    ]
    assert list(indices.sources([text])) == theirs
