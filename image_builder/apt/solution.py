"""What apt chose: packages by version and hash, and the state of a root after they are installed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from image_builder.errors import PipelineError


@dataclass(frozen=True, order=True)
class Package:
    """One binary package of one archive."""

    name: str
    architecture: str  # "amd64", "all"
    version: str
    sha256: str
    size_bytes: int
    uri: str

    @property
    def deb(self) -> str:
        """The name of its file in /var/cache/apt/archives.

        Source: apt-pkg/acquire-item.cc, pkgAcqArchive: the parts quoted, so that an epoch's colon is %3a.
        """
        parts = (_quoted(self.name, "_:"), _quoted(self.version, "_:"), _quoted(self.architecture, "_:."))
        return "_".join(parts) + ".deb"


@dataclass(frozen=True)
class Solution:
    """What one step installs on top of another, as apt chose it."""

    packages: tuple[Package, ...]  # sorted
    removed: tuple[tuple[str, str], ...] = ()  # (name, architecture) of packages that have to go
    below: Solution | None = field(default=None, repr=False)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the choice. Where a file lies is no part of it: another mirror is no reason to build."""
        choice = {
            "packages": [(p.name, p.architecture, p.version, p.sha256) for p in self.packages],
            "removed": self.removed,
            "below": self.below.digest if self.below else None,
        }
        return hashlib.sha256(json.dumps(choice).encode()).hexdigest()

    @cached_property
    def installed(self) -> Mapping[tuple[str, str], Package]:
        """(name, architecture) -> package, of all that is installed after this step."""
        state = dict(self.below.installed) if self.below else {}
        for gone in self.removed:
            state.pop(gone, None)
        for package in self.packages:
            # A package that changes between "all" and a machine's architecture replaces itself.
            for other in ("all",) if package.architecture != "all" else tuple(a for n, a in state if n == package.name):
                state.pop((package.name, other), None)
            state[package.name, package.architecture] = package
        return state

    @property
    def size_bytes(self) -> int:
        """What there is to download for this step."""
        return sum(package.size_bytes for package in self.packages)

    def to_json(self) -> dict[str, Any]:
        """Plain values; from_json gives the same solution back, digest included."""
        return {
            "packages": [list(asdict(package).values()) for package in self.packages],
            "removed": [list(one) for one in self.removed],
            "below": self.below.to_json() if self.below else None,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Solution:
        below = value["below"]
        return cls(
            tuple(Package(*fields) for fields in value["packages"]),
            tuple((name, architecture) for name, architecture in value["removed"]),
            None if below is None else cls.from_json(below),
        )


_URI = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})")
_REMOVED = "The following packages will be REMOVED:"


def parse_uris(output: str, *, architecture: str, where: str) -> tuple[list[Package], list[tuple[str, str]]]:
    """Read what `apt-get --print-uris install` prints: (packages it would fetch, packages it would remove).

    architecture: of packages whose line in the list of removed ones names none. Raises PipelineError for a
    package without a SHA-256, which nobody could check.
    """
    packages: list[Package] = []
    removed: list[tuple[str, str]] = []
    removing = False
    for line in output.splitlines():
        if line.startswith("'"):
            match = _URI.fullmatch(line.rstrip())
            if match is None:
                raise PipelineError(f"no SHA-256 in the archive's index for {line}", where=where)
            name, version, arch = map(unquote, match["file"].removesuffix(".deb").split("_"))
            packages.append(Package(name, arch, version, match["sha256"], int(match["size"]), match["uri"]))
        elif line == _REMOVED:
            removing = True
        elif removing and line.startswith("  "):
            for word in line.replace("*", " ").split():
                name, _, arch = word.partition(":")
                removed.append((name, arch or architecture))
        else:
            removing = False
    return sorted(packages), sorted(removed)


def step_between(below: Solution, above: Solution) -> Solution:
    """The one step from one state of a root to another, however many it took to find out."""
    return Solution(
        tuple(sorted(package for key, package in above.installed.items() if below.installed.get(key) != package)),
        tuple(sorted(key for key in below.installed if key not in above.installed)),
        below,
    )


def status_text(stanzas: str, installed: Mapping[tuple[str, str], Package], *, where: str) -> str:
    """A dpkg status file in which exactly these packages are installed, made of what `apt-cache show` prints.

    Raises PipelineError naming a package whose stanza is not there.
    """
    wanted = {(p.name, p.architecture, p.version, p.sha256) for p in installed.values()}
    paragraphs: dict[tuple[str, str, str, str], str] = {}
    for stanza in re.split(r"\n{2,}", stanzas.strip()):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and line[0] not in " \t")
        key = tuple(fields.get(name, "") for name in ("Package", "Architecture", "Version", "SHA256"))
        if len(key) == 4 and key in wanted:
            kept = re.sub(r"(?m)^(Filename|Size|MD5sum|SHA256|Description[^:]*):.*\n?(^[ \t].*\n?)*", "", stanza + "\n")
            paragraphs[key] = kept.replace("\n", "\nStatus: install ok installed\n", 1)
    if missing := wanted - paragraphs.keys():
        name, arch, version, _ = min(missing)
        raise PipelineError(f"{name} {version} ({arch}) is not in the frozen index", where=where)
    return "\n".join(paragraphs[key] for key in sorted(paragraphs))


def _quoted(text: str, bad: str) -> str:
    return "".join(f"%{ord(sign):02x}" if sign in bad or sign == "%" else sign for sign in text)


def names_of(packages: Sequence[Package]) -> list[str]:
    """Each package exactly, as apt-cache takes it on its command line."""
    return [
        f"{p.name}:{p.architecture}={p.version}" if p.architecture != "all" else f"{p.name}={p.version}"
        for p in packages
    ]
