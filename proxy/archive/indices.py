"""Which files an archive's index names: Packages, Sources and checksum lists, read in pieces as they are."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Protocol

from image_builder.errors import PipelineError
from proxy.archive.urls import clean

CHUNK_BYTES = 1 << 20
READABLE = (".xz", ".gz", ".bz2", "")  # compressions that Python alone can read, best first

Named = tuple[str, bytes, int | None]  # path below the archive's address, SHA-256, size; None where only a hash is said


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


_SHA256 = re.compile(rb"[0-9a-f]{64}")


@lru_cache(maxsize=4096)  # asked of the same few names for every file
def kind_of(name: str) -> str | None:
    """What sort of index a name in a Release means: "packages", "sources", "checksums"; None for no index.

    >>> kind_of("main/binary-amd64/Packages.xz"), kind_of("main/source/Release")
    ('packages', None)
    """
    stem = plain_name(name).rpartition("/")[2]
    if stem == "SHA256SUMS":
        return "checksums"
    return {"Packages": "packages", "Sources": "sources"}.get(stem)


def plain_name(name: str) -> str:
    """A name without what says its compression; one that cannot be read here stays as it is."""
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix in READABLE[:-1] else name


def named_files(path: Path, name: str, folder: str) -> Iterator[Named]:
    """The files an index names. Entries that are not whole, or lead out of the archive, name nothing.

    path: where it lies. name: what the Release calls it. folder: of this name below the archive's address,
    with a slash at the end; what a checksum list names is below it. Raises PipelineError for one that cannot be
    unpacked.
    """
    match kind_of(name):
        case "packages":
            return packages(opened(path, name))
        case "sources":
            return sources(opened(path, name))
        case "checksums":
            return checksums(opened(path, name), folder)
    return iter(())


def opened(path: Path, name: str) -> Iterator[bytes]:
    """The content of an index in pieces, unpacked as its name says. Raises PipelineError, also while it is read."""
    try:
        with path.open("rb") as raw:
            match Path(name).suffix:
                case ".xz":
                    file: _Readable = lzma.open(raw)  # noqa: SIM115 - they hold nothing but raw
                case ".gz":
                    file = gzip.open(raw)  # noqa: SIM115
                case ".bz2":
                    file = bz2.open(raw)  # noqa: SIM115
                case _:
                    file = raw
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except (lzma.LZMAError, EOFError, OSError, zlib.error) as e:
        raise PipelineError(f"cannot be unpacked: {e}", where=name) from e


def stanzas(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The stanzas of an index, each with a newline before its first field. As for apt, empty lines separate them."""
    rest = held = b""
    for chunk in chain(chunks, (b"",)):
        text = held + chunk
        held = b"\r" if chunk and text.endswith(b"\r") else b""  # its newline may be in the next piece
        text = text.removesuffix(held)
        parts = (rest + (text.replace(b"\r\n", b"\n") if b"\r" in text else text)).split(b"\n\n")
        rest = parts.pop()
        yield from (b"\n" + part.strip(b"\n") for part in parts if part.strip())
    if rest.strip():
        yield b"\n" + rest.strip(b"\n")


def field(stanza: bytes, name: bytes) -> bytes | None:
    """The value of a field in one line; None where there is none, more than one, or one that goes on below.

    name: with a newline before and a colon behind it, as in b"\\nFilename:".
    """
    start = stanza.find(name)
    if start < 0:  # nobody writes them so, and apt reads them
        stanza, name = _lower_names(stanza), name.lower()
        if (start := stanza.find(name)) < 0:
            return None
    if stanza.find(name, start + 1) >= 0:
        return None
    start += len(name)
    end = stanza.find(b"\n", start)
    if end < 0:
        return stanza[start:].strip()
    return None if stanza[end + 1 : end + 2] in (b" ", b"\t") else stanza[start:end].strip()


def _lower_names(stanza: bytes) -> bytes:
    return re.sub(rb"\n[^ \t\n:]+:", lambda match: match[0].lower(), stanza)


def packages(chunks: Iterable[bytes]) -> Iterator[Named]:
    """The files of a Packages index."""
    for stanza in stanzas(chunks):
        path, sha256, size = (field(stanza, name) for name in (b"\nFilename:", b"\nSHA256:", b"\nSize:"))
        if path and sha256 and size and (entry := _entry(path, sha256, size)):
            yield entry


def sources(chunks: Iterable[bytes]) -> Iterator[Named]:
    """The files of a Sources index."""
    for stanza in stanzas(chunks):
        folder = field(stanza, b"\nDirectory:")
        _, found, rest = _lower_names(stanza).partition(b"\nchecksums-sha256:")
        if folder is None or not found or b"\nchecksums-sha256:" in rest:
            continue
        for line in rest.split(b"\n")[1:]:
            if not line.startswith((b" ", b"\t")):
                break
            words = line.split()
            if len(words) == 3 and (entry := _entry(folder + b"/" + words[2], words[0], words[1])):
                yield entry


def checksums(chunks: Iterable[bytes], folder: str) -> Iterator[Named]:
    """The files of a list as sha256sum writes it, which says no sizes."""
    rest = b""
    for chunk in chain(chunks, (b"\n",)):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            digest, _, name = line.rstrip(b"\r").partition(b" ")
            name = name.removeprefix(b" ").removeprefix(b"*")
            if name and (entry := _entry(folder.encode() + name, digest, None)):
                yield entry


def _entry(path: bytes, sha256: bytes, size: bytes | None) -> Named | None:
    if not _SHA256.fullmatch(sha256) or (size is not None and not (size.isdigit() and len(size) < 19)):
        return None
    try:
        text = clean(path.decode())
    except ValueError:
        return None
    return (text, bytes.fromhex(sha256.decode()), None if size is None else int(size)) if text else None
