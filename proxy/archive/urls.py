"""What a request asks for, in one spelling: addresses as clients write them become a host and a path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
HASH_LENGTHS = {"SHA256": 64, "SHA512": 128, "SHA1": 40, "MD5Sum": 32}  # folders below by-hash/ -> hexadecimal digits
_HOST = re.compile(r"[a-z0-9]([a-z0-9_.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True)
class Refusal:
    """Why something is not given. reason: one line, for the client and the log."""

    status: int
    reason: str


@dataclass(frozen=True)
class Asked:
    """What a request is about. path begins with "/", has no empty or "." part, and is as long as the client sent it."""

    host: str  # lower case; with a port where it is not the scheme's own: "deb.debian.org", "127.0.0.1:8081"
    path: str  # percent signs decoded
    literal: str  # percent signs as they were sent: some clients do not quote a file's own ones


@dataclass(frozen=True)
class ByHash:
    """The parts of a by-hash name: FOLDER/by-hash/SHA256/DIGEST."""

    folder: str
    kind: str
    digest: str


def normalise(scheme: str, host: str, port: int | None, path: str, query: str = "") -> Asked | Refusal:
    """One spelling of what a client asks for, or why nobody can mean that.

    host: without user, with or without port. port: what the connection goes to; None where host says it or it is
    the scheme's own. path: as it was sent, with or without the query.

    >>> normalise("http", "Deb.Debian.org", 80, "/debian//dists/./trixie/InRelease")
    Asked(host='deb.debian.org', path='/debian/dists/trixie/InRelease', literal='/debian/dists/trixie/InRelease')
    """
    if (name := _host(scheme, host, port)) is None:
        return Refusal(403, f"{_shown(host)} is no host's name")
    path, mark, inside = path.partition("?")
    if query or (mark and inside):
        return Refusal(404, "the files of an archive are asked for without a query")
    if not path.startswith("/") or "#" in path:
        return Refusal(404, f"{_shown(path)} is no path")
    if "%2f" in path.lower():
        return Refusal(404, "a slash that is written %2F separates nothing")
    try:
        decoded = clean(unquote_to_bytes(path).decode())
        literal = clean(path)
    except UnicodeDecodeError:
        return Refusal(404, "the path is not UTF-8")
    except ValueError as e:
        return Refusal(404, str(e))
    return Asked(name, f"/{decoded}", f"/{literal}")


def clean(path: str) -> str:
    """A path without slash at the beginning, empty or "." parts. Raises ValueError for one that may lead elsewhere.

    A slash at the end stays: it asks for a folder, which is not the file of that name.
    """
    if _UNSAFE.search(path):
        raise ValueError(f"{_shown(path)} has signs that no file of an archive has")
    parts = path.split("/")
    if ".." in parts:
        raise ValueError(f"{_shown(path)} leads to a folder above")
    kept = [part for part in parts if part not in ("", ".")]
    return "/".join(kept) + ("/" if kept and parts[-1] in ("", ".") else "")


def by_hash(path: str) -> ByHash | Refusal | None:
    """The parts of a by-hash name; None for any other name; a refusal for one that can be of no file."""
    folder, mark, rest = path.rpartition("by-hash/")
    if not mark or (folder and not folder.endswith("/")):
        return None
    kind, _, digest = rest.partition("/")
    if kind not in HASH_LENGTHS:
        return Refusal(404, f"by-hash has no {_shown(kind)}")
    if len(digest) != HASH_LENGTHS[kind] or not re.fullmatch(r"[0-9a-f]+", digest):
        return Refusal(404, f"{_shown(digest)} is no {kind}")
    return ByHash(folder, kind, digest)


def split_uri(uri: str) -> tuple[str, str]:
    """The host (as Asked has it) and the path of an archive's address: ("deb.debian.org", "/debian/").

    Archives that are folders of this machine (file:, copy:) have the host "".
    Raises ValueError for an address no client could ask for.
    """
    parts = urlsplit(uri)
    if parts.scheme in ("file", "copy"):
        return "", "/" + clean(unquote_to_bytes(parts.path).decode()).rstrip("/") + "/"
    asked = normalise(parts.scheme, parts.netloc.rpartition("@")[2], None, parts.path or "/")
    if isinstance(asked, Refusal):
        raise ValueError(f"{uri}: {asked.reason}")
    return asked.host, asked.path.rstrip("/") + "/"


def quoted(path: str) -> str:
    """A path as it is written in an address."""
    return quote(path, safe="/~+:@!$&'()*,;=")


@lru_cache(maxsize=64)
def _host(scheme: str, host: str, port: int | None) -> str | None:
    name, colon, digits = host.lower().rpartition(":")
    if not colon or host.endswith("]"):
        name, digits = host.lower(), ""
    if colon and digits and not (digits.isascii() and digits.isdigit() and int(digits) < 65536):
        return None
    name = name.removesuffix(".")
    if not _HOST.fullmatch(name):
        return None
    number = int(digits) if digits else port
    return name if number is None or number == DEFAULT_PORTS.get(scheme) else f"{name}:{number}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
