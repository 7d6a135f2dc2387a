"""Logins for private archives and company proxies, in the format of apt_auth.conf(5)."""

from __future__ import annotations

import base64
import logging
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

VARIABLE = "SNAPSHOT_PROXY_AUTH"  # the same lines in the environment, as CI systems hand out secrets
FILES = (Path("/etc/apt/auth.conf"), Path("/etc/apt/auth.conf.d"))  # of a folder: its *.conf


@dataclass(frozen=True)
class Login:
    """One entry: who one is for addresses that begin so. Its secrets are in no repr, so in no traceback either."""

    protocol: str
    host: str
    port: int | None  # None: any
    path: str
    name: str = field(repr=False)
    password: str = field(repr=False)

    def fits(self, url: str) -> bool:
        """apt's rules: a port only if the address has it too, the path as a plain beginning ("/deb" fits /debian)."""
        parts = urlsplit(url)
        return (
            parts.scheme == self.protocol
            and (parts.hostname or "") == self.host
            and self.port in (None, parts.port)
            and parts.path.startswith(self.path)
        )

    def header(self) -> str:
        """Value of Authorization or Proxy-Authorization."""
        return basic(self.name, self.password)


def without_logins(text: str) -> str:
    """A text as it may be shown: what stands before an @ in the addresses in it is left out.

    >>> without_logins("deb https://me:secret@apt.corp/x stable main")
    'deb https://apt.corp/x stable main'
    """
    return re.sub(r"//[^/\s]*@", "//", text)


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def parse(text: str) -> list[Login]:
    """The entries of one file. As for apt, unknown words are skipped, and an entry without a login is none."""
    words = [word for line in text.splitlines() if not line.lstrip().startswith("#") for word in line.split()]
    found: list[Login] = []
    machine, values = "", dict[str, str]()
    position = 0
    while position <= len(words):
        word = words[position] if position < len(words) else "machine"
        following = words[position + 1] if position + 1 < len(words) else ""
        if word == "machine":
            if machine and len(values) == 2 and (login := _login(machine, **values)):
                found.append(login)
            machine, values = following, {}
            position += 1
        elif word in ("login", "password"):
            values["name" if word == "login" else word] = following
            position += 1
        position += 1
    return found


def _login(machine: str, name: str, password: str) -> Login | None:
    # Without a protocol an entry is for https only: nobody's password travels in the clear by oversight.
    parts = urlsplit(machine if "://" in machine else f"https://{machine}")
    try:
        return Login(parts.scheme, parts.hostname or "", parts.port, parts.path, name, password)
    except ValueError:
        return None


def find(url: str, logins: Iterable[Login]) -> Login | None:
    """The first entry that is for this address."""
    return next((login for login in logins if login.fits(url)), None)


def known(environ: Mapping[str, str], files: Sequence[Path] = FILES) -> list[Login]:
    """All entries in the order they are asked: the environment, then the files, read anew when they change."""
    found = parse(environ.get(VARIABLE, ""))
    for file in files:
        try:
            status = file.stat()
            paths = _listed(file, status.st_mtime_ns) if stat.S_ISDIR(status.st_mode) else (file,)
        except OSError:
            continue
        for path in paths:
            try:
                found += _read(path, path.stat().st_mtime_ns)
            except FileNotFoundError:
                continue
            except OSError as e:  # apt's is for root alone; who is not root has no private archives then
                log.debug("%s: not read: %s", path, e.strerror)
    return found


@lru_cache(maxsize=16)
def _listed(folder: Path, changed: int) -> tuple[Path, ...]:  # noqa: ARG001 - part of what it is remembered by
    return tuple(sorted(folder.glob("*.conf")))


@lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> tuple[Login, ...]:  # noqa: ARG001 - part of what it is remembered by
    return tuple(parse(path.read_text("utf-8", errors="replace")))
