"""Snapshot services: where an archive can be had as it was at an instant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from image_builder.errors import ConfigError
from proxy.archive import stamp
from proxy.archive.release import Release
from proxy.credentials import without_logins

_PLACEHOLDERS = frozenset({"stamp", "seconds", "host", "path", "archive"})


@dataclass(frozen=True)
class Service:
    """An address pattern, for archives whose address begins with prefix; "" is for all.

    {stamp} is 20260301T120000Z, {seconds} the same as POSIX seconds, {host} and {path} those of the archive's
    address, {archive} the last part of its path.
    """

    pattern: str
    prefix: str = ""

    def base(self, uri: str, at: datetime) -> str | None:
        """Address of an archive at an instant, with a slash at the end; None: not one of this service's."""
        if not (uri + "/").startswith(self.prefix.rstrip("/") + "/" if self.prefix else ""):
            return None
        parts = urlsplit(uri)
        path = parts.path.strip("/")
        values = {
            "stamp": stamp.text(at),
            "seconds": str(int(at.timestamp())),
            "host": parts.netloc,
            "path": path,
            "archive": path.rpartition("/")[2],
        }
        address = re.sub(r"\{(\w+)\}", lambda match: values[match[1]], self.pattern).rstrip("/") + "/"
        return re.sub(r"(?<!:)//+", "/", address)  # an archive at the top of its host has no path


def parse(text: str) -> Service:
    """Read "[PREFIX=]PATTERN", as in "http://apt.corp/=https://snapshots.corp/{path}/{stamp}". Raises ConfigError."""
    match = re.fullmatch(r"(?:(?P<prefix>[a-z]+://[^=\s]+)=)?(?P<pattern>(?:https?|file)://\S+)", text.strip())
    names = set(re.findall(r"\{([^}]*)\}", text))
    if match is None or not names & {"stamp", "seconds"} or names - _PLACEHOLDERS or without_logins(text) != text:
        raise ConfigError(
            f"{without_logins(text)!r} is not the address of a snapshot service",
            where="snapshot service",
            hint="[ADDRESS OF THE ARCHIVE=]https://HOST/{archive}/{stamp}/; also {seconds}, {host}, {path};"
            " a login goes into auth.conf",
        )
    return Service(match["pattern"], match["prefix"] or "")


UBUNTU = "https://snapshot.ubuntu.com/ubuntu/{stamp}/"
DEBIAN = "https://snapshot.debian.org/archive/{archive}/{stamp}/"
PPA = "https://snapshot.ppa.launchpadcontent.net/{path}/{stamp}/"
# (address of the archive, its service). Only these hosts: nobody else is told what a private archive is called.
PUBLIC = (
    (r"https?://((([a-z]{2}\.)?archive|security)\.ubuntu\.com/ubuntu|ports\.ubuntu\.com/ubuntu-ports)", UBUNTU),
    (r"https?://((ftp|cdn-fastly|deb)(\.[a-z]{2})?(\.deb)?|security)\.debian\.org/debian(-security|-debug)?", DEBIAN),
    (r"https?://ppa\.launchpad(content)?\.net/[^/]+/[^/]+/[^/]+", PPA),
)
# Mirrors go by many names; whose archive they carry is what the signed Release says: (Origin, Label) -> service.
BY_ORIGIN = {
    ("Ubuntu", "Ubuntu"): UBUNTU,
    ("Debian", "Debian"): DEBIAN.replace("{archive}", "debian"),
    ("Debian", "Debian-Security"): DEBIAN.replace("{archive}", "debian-security"),
    ("Debian", "Debian debug"): DEBIAN.replace("{archive}", "debian-debug"),
    ("Debian Backports", "Debian Backports"): DEBIAN.replace("{archive}", "debian"),
}


def bases(uri: str, at: datetime, configured: Sequence[Service], release: Release | None = None) -> list[str]:
    """Where to look for an archive at an instant, best first: as configured, as it says itself, as is known.

    release: a verified one of the archive, if there is one already.
    """
    found = [base for service in configured if (base := service.base(uri, at))]
    if release is not None and re.fullmatch(r"https?://[^\s@]+/@SNAPSHOTID@/?[^\s@]*", release.snapshots):
        found.append(release.snapshots.replace("@SNAPSHOTID@", stamp.text(at)).rstrip("/") + "/")
    found += [Service(pattern).base(uri, at) or "" for known, pattern in PUBLIC if re.fullmatch(known, uri)]
    if release is not None and (pattern := BY_ORIGIN.get((release.origin, release.label))):
        found.append(Service(pattern).base(uri, at) or "")
    return list(dict.fromkeys(found))
