"""Stanzas of an index file, read fast: only the fields asked for."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from io import BufferedIOBase
from pathlib import Path

from image_builder.errors import PipelineError, SurroundingsError

CHUNK_BYTES = 1 << 22  # what is held as text at a time: a whole index with one emoji in it takes four times its size

_OPENERS: dict[bytes, Callable[[Path], BufferedIOBase]] = {
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
}
_UNREADABLE = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}


def stanzas(path: Path, fields: Iterable[str]) -> Iterator[dict[str, str]]:
    """Each stanza of an index, plain or compressed by xz, gzip or bzip2, as field -> value.

    fields: those wanted, as Debian writes them; an index may write them in other letters. A value has its
    continuation lines as they stand, leading blanks included. Raises SurroundingsError when the file cannot be read.
    """
    pattern, names = _pattern(tuple(fields))
    find = pattern.findall
    for text in _chunks(path):
        for stanza in text.split("\n\n"):
            found = find(stanza)
            if found:
                yield {names.get(name) or names[name.lower()]: value.rstrip() for name, value in found}


@lru_cache(maxsize=16)
def _pattern(fields: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    either = "|".join(re.escape(name) for name in sorted(fields, key=len, reverse=True))
    pattern = re.compile(rf"^({either}):[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE | re.IGNORECASE)
    return pattern, {name: name for name in fields} | {name.lower(): name for name in fields}


def _chunks(path: Path) -> Iterator[str]:
    """The file as text, some megabytes at a time, cut between stanzas."""
    rest = b""
    try:
        with _open(path) as f:
            while block := f.read(CHUNK_BYTES):
                whole, cut, rest = (rest + block).rpartition(b"\n\n")
                if cut:
                    yield whole.decode("utf-8", "surrogateescape")
    except (OSError, EOFError, lzma.LZMAError) as e:
        raise SurroundingsError(f"cannot be read: {getattr(e, 'strerror', None) or e}", where=path) from e
    if rest.strip():
        yield rest.decode("utf-8", "surrogateescape")


def _open(path: Path) -> BufferedIOBase:
    with path.open("rb") as f:
        magic = f.read(6)
    for begin, name in _UNREADABLE.items():
        if magic.startswith(begin):
            raise PipelineError(f"is compressed by {name}", where=path, hint="unpack it, or take the .xz beside it")
    for begin, opener in _OPENERS.items():
        if magic.startswith(begin):
            return opener(path)
    return path.open("rb")
