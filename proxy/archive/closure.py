"""Packages by name, and what they depend on: enough for any choice an apt could make among them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from proxy.archive.indices import field, opened, stanzas
from proxy.archive.urls import clean


@dataclass(frozen=True)
class _Package:
    archive: int
    path: str
    name: str
    version: str
    architecture: str
    needs: tuple[tuple[str, ...], ...]  # each one of the alternatives


class Known:
    """What Packages indices say of names and dependencies."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[_Package]] = {}
        self._providers: dict[str, list[_Package]] = {}

    def read(self, archive: int, index: Path, name: str) -> None:
        """Add an index. name: what the Release calls it. Raises PipelineError for one that cannot be unpacked."""
        for stanza in stanzas(opened(index, name)):
            said = {key: _text(stanza, key) for key in ("Package", "Version", "Architecture", "Filename")}
            try:
                path = clean(said["Filename"])
            except ValueError:
                continue
            if not all(said.values()):
                continue
            needs = [_names(clause) for key in ("Pre-Depends", "Depends") for clause in _text(stanza, key).split(",")]
            package = _Package(archive, path, said["Package"], said["Version"], said["Architecture"],
                               tuple(clause for clause in needs if clause))  # fmt: skip
            self._by_name.setdefault(package.name, []).append(package)
            for provided in _text(stanza, "Provides").split(","):
                for one in _names(provided):
                    self._providers.setdefault(one, []).append(package)

    def closure(self, names: Iterable[str], *, needs: bool) -> tuple[list[tuple[int, str]], list[str]]:
        """The files of these names in every frozen version, and the names nobody has: ((archive, path), unknown).

        needs: with all that Pre-Depends and Depends name, and so on: of alternatives the first one that there is, of
        a virtual package every provider. What apt then chooses is among them, unless preferences or what is
        installed make it take a later alternative.
        """
        unknown: list[str] = []
        found: dict[_Package, None] = {}
        waiting: list[_Package] = []
        for name in dict.fromkeys(names):
            chosen = self._asked(name)
            waiting += chosen
            if not chosen:
                unknown.append(name)
        while waiting:
            package = waiting.pop()
            if package in found:
                continue
            found[package] = None
            for alternatives in package.needs if needs else ():
                first = (self._by_name.get(one) or self._providers.get(one) for one in alternatives)
                # without one of them apt would not install it either: only its own word on that is worth anything
                waiting += next((several for several in first if several), [])
        return list(dict.fromkeys((package.archive, package.path) for package in found)), unknown

    def _asked(self, name: str) -> list[_Package]:
        word, _, version = name.partition("=")
        plain, _, architecture = word.partition(":")
        several = self._by_name.get(plain) or self._providers.get(plain, [])
        return [
            one for one in several if version in ("", one.version) and architecture in ("", "any", one.architecture)
        ]


def _text(stanza: bytes, name: str) -> str:
    return (field(stanza, b"\n" + name.encode() + b":") or b"").decode(errors="replace")


def _names(clause: str) -> tuple[str, ...]:
    """The names of "a (>= 1) | b:any [amd64]".

    >>> _names(" python3:any (>= 3.9~) | python3-minimal")
    ('python3', 'python3-minimal')
    """
    return tuple(re.findall(r"(?:^|\|)\s*([A-Za-z0-9][A-Za-z0-9+.-]*)", clause))
