"""apt's folder of lists, made of what was frozen, and compared with it after a build."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from image_builder.errors import PipelineError, SurroundingsError
from image_builder.lock import Lock
from image_builder.scratch import scratch
from proxy.archive.freeze import FrozenSuite, blobs

UNREAD = (".lz4", ".zst", ".bz2", ".lzma")  # compressions of apt's that Python alone cannot read, or nobody uses now
_ESCAPED = frozenset('\\|{}[]<>"^~_=!@#$%^&*')


def list_name(uri: str) -> str:
    """The name apt gives the file of an address in /var/lib/apt/lists.

    Source: apt-pkg/contrib/strutl.cc, URItoFileName: no scheme, no user, some signs as %xx, slashes as underscores.
    >>> list_name("http://deb.debian.org/debian/dists/trixie/InRelease")
    'deb.debian.org_debian_dists_trixie_InRelease'
    """
    rest = re.sub(r"^[a-z+]+:(//)?", "", uri)
    host, slash, path = rest.partition("/")
    rest = host.rpartition("@")[2] + slash + path
    quoted = "".join(
        "".join(f"%{byte:02x}" for byte in sign.encode()) if sign in _ESCAPED or not " " < sign < "\x7f" else sign
        for sign in rest
    )
    return quoted.replace("/", "_")


def lists_folder(frozen: Sequence[FrozenSuite], *, cache: Path) -> Path:
    """A folder that is /var/lib/apt/lists right after `apt-get update` saw exactly this; read-only by agreement.

    Made once per frozen state, whole or not at all; several builds may ask for it at once.
    """
    wanted: dict[str, str] = {}  # name -> SHA-256 of the file in the cache
    for suite in frozen:
        wanted[list_name(suite.source.top + "InRelease")] = suite.pin.inrelease_sha256
        wanted |= {list_name(suite.source.top + name): file.sha256 for name, file in suite.indices.items()}
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    folder = cache / "lists" / digest[:32]
    if folder.is_dir():
        return folder
    compression = {file.sha256: Path(file.path).suffix for suite in frozen for file in suite.indices.values()}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch(cache) as temporary:
        for name in ("partial", "auxfiles"):
            (temporary / name).mkdir()
        (temporary / "lock").touch(mode=0o640)
        for name, sha256 in wanted.items():
            data = blobs(cache).read(sha256)
            with (temporary / name).open("wb") as file:
                file.write(_plain(data, compression.get(sha256, ""), name))
                file.flush()
                os.fsync(file.fileno())
        place(temporary, folder)
    return folder


def place(temporary: Path, folder: Path) -> None:
    """Give a finished folder its name, if no other build was faster. Raises SurroundingsError."""
    try:
        temporary.rename(folder)
    except OSError as e:
        if not folder.is_dir():
            raise SurroundingsError(e.strerror or str(e), where=folder) from e


def copy_lists(folder: Path, target: Path) -> None:
    """A copy of the lists that an apt may write to: files are links, which apt replaces and never writes into."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in os.scandir(folder):
        if entry.is_dir():
            (target / entry.name).mkdir(exist_ok=True)
        elif entry.name == "lock":
            (target / entry.name).touch(mode=0o640)
        else:
            try:
                os.link(entry.path, target / entry.name)
            except OSError:  # another file system
                shutil.copy2(entry.path, target / entry.name)


def check_lists(lists: Path, lock: Lock) -> list[str]:
    """How the Release files apt has in a root differ from the lock, in words; empty: they are the frozen ones.

    lists: ROOT/var/lib/apt/lists. Archives in the root itself (file:/packages) are inputs, not in the lock.
    """
    pinned = {list_name(pin.address): pin for pin in lock.archives}
    found: list[str] = []
    seen = set()
    for path in sorted(lists.iterdir()) if lists.is_dir() else []:
        if not path.name.endswith(("_InRelease", "_Release")) or path.name.startswith("_"):
            continue
        seen.add(path.name)
        pin = pinned.get(path.name)
        if pin is None:
            found.append(f"apt read {path.name}, which the lock does not pin")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != pin.inrelease_sha256:
            dated = re.search(rb"^Date: (.*)$", path.read_bytes(), re.MULTILINE)
            found.append(
                f"{pin.uri} {pin.suite}: apt read another InRelease"
                f" (of {dated[1].decode('utf-8', 'replace') if dated else 'no date'}) than the lock has"
                f" (of {pin.date:%a, %d %b %Y %H:%M:%S} UTC)"
            )
    return found + [
        f"{pin.uri} {pin.suite}: apt has not read it" for name, pin in sorted(pinned.items()) if name not in seen
    ]


def check_written(lists: Path, frozen: Sequence[FrozenSuite]) -> list[str]:
    """How the files a step's apt has written differ from what the lock names, in words; empty: in nothing.

    lists: var/lib/apt/lists of the step's own layer. Every file that a pinned Release names counts: Packages, also of
    other components, Sources, Translation. One that apt keeps compressed anew (lz4) has no hash to compare with.
    """
    written = [path for path in sorted(lists.iterdir()) if path.is_file()] if lists.is_dir() else []
    written = [path for path in written if path.name != "lock" and not path.name.startswith("_")]  # file:/packages
    if not written:
        return []
    expected = _all_named(frozen)
    found = []
    for path in written:
        compressed = path.suffix in (".gz", ".xz")
        plain = path.name.removesuffix(path.suffix) if compressed or path.suffix in UNREAD else path.name
        if plain not in expected and path.name not in expected:
            found.append(f"apt read {path.name}, which the lock does not pin")
        elif path.suffix not in UNREAD and not _is_named(path, expected, plain):
            found.append(f"{path.name} is not the one the lock names")
    return found


def _is_named(path: Path, expected: Mapping[str, str], plain: str) -> bool:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() == expected.get(path.name):
        return True
    return plain != path.name and hashlib.sha256(_plain(data, path.suffix, path.name)).hexdigest() == expected.get(
        plain
    )


def _all_named(frozen: Sequence[FrozenSuite]) -> dict[str, str]:
    """Name in apt's lists -> SHA-256, of every InRelease and of all that it names, uncompressed."""
    expected: dict[str, str] = {}
    for suite in frozen:
        top = suite.source.top
        expected |= {list_name(top + name): file.sha256 for name, file in suite.files.items()}
        expected[list_name(top + "InRelease")] = suite.pin.inrelease_sha256
    return expected


def _plain(data: bytes, suffix: str, name: str) -> bytes:
    try:
        match suffix:
            case ".xz":
                return lzma.decompress(data)
            case ".gz":
                return gzip.decompress(data)
    except (lzma.LZMAError, OSError, EOFError) as e:
        raise PipelineError(f"cannot be unpacked: {e}", where=name) from e
    return data
