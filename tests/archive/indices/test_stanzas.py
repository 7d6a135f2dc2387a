"""Stanzas are read alike however the file is packed and wherever a chunk ends."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from image_builder.archive.indices import stanzas as module
from image_builder.archive.indices.stanzas import stanzas
from image_builder.errors import PipelineError, SurroundingsError

TEXT = """Package: a
Version: 1
Description: the first, with Version: 7 in it
 Package: no field, but a continuation
Depends: x,
 y (>= 1),
\tz

package:b
VERSION:   2
Description: ünï

Package: c
Version: 3
Size:
"""
EXPECTED = [
    {"Package": "a", "Version": "1", "Depends": "x,\n y (>= 1),\n\tz"},
    {"Package": "b", "Version": "2"},
    {"Package": "c", "Version": "3", "Size": ""},
]
FIELDS = ("Package", "Version", "Depends", "Size")


@pytest.mark.parametrize("pack", [bytes, lzma.compress, gzip.compress, bz2.compress], ids=["plain", "xz", "gz", "bz2"])
@pytest.mark.parametrize("chunk", [1, 2, 7, 40, 1 << 20])
def test_packed_and_in_pieces(
    pack: Callable[[bytes], bytes], chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk)
    path = tmp_path / "index"
    path.write_bytes(pack(TEXT.encode()))
    assert list(stanzas(path, FIELDS)) == EXPECTED


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n"])
def test_nothing_in_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "index").write_text(text)
    assert list(stanzas(tmp_path / "index", FIELDS)) == []


def test_bytes_that_are_no_text_get_through(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"Package: a\xff\n")
    assert [s["Package"].encode("utf-8", "surrogateescape") for s in stanzas(tmp_path / "index", FIELDS)] == [b"a\xff"]


@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress, bz2.compress], ids=["xz", "gz", "bz2"])
def test_a_file_that_ends_early_is_an_error(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(pack(TEXT.encode() * 50)[:-20])
    with pytest.raises(SurroundingsError, match="cannot be read"):
        list(stanzas(path, FIELDS))


def test_what_it_cannot_unpack_it_says(tmp_path: Path) -> None:
    (tmp_path / "index").write_bytes(b"\x28\xb5\x2f\xfd\x00\x00")
    with pytest.raises(PipelineError, match="compressed by zstd"):
        list(stanzas(tmp_path / "index", FIELDS))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsError, match="No such file"):
        list(stanzas(tmp_path / "nothing", FIELDS))
