"""Finding packages by their names, those of their binary packages, and their states: the index, and its search."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from image_builder.archive.pages import addresses
from image_builder.archive.pages.plain import plain
from image_builder.archive.pages.reading import Place, Standing

FOUND = 200  # packages that are shown at most
LONGEST = 200  # characters of a question


@dataclass(frozen=True, slots=True)
class Known:
    """A source that can be found. states: "trixie amd64: Installed"; binaries: with other names than its own."""

    source: str
    states: tuple[str, ...]
    binaries: str

    @property
    def text(self) -> str:
        """What words are looked for in."""
        return f"{self.source} {self.binaries} {' '.join(self.states)}".lower()


def index(everywhere: Sequence[tuple[Place, Iterable[Standing]]]) -> list[Known]:
    """All sources, by name, each as it stands in the first run that has it. everywhere: the newest run first."""
    found: dict[str, list[tuple[Place, Standing]]] = defaultdict(list)
    for place, standing in everywhere:
        for one in standing:
            there = found[one.source]
            if not there or there[0][0].run == place.run:
                there.append((place, one))
    known = []
    for source, there in sorted(found.items()):
        states = tuple(f"{place.suite} {place.architecture}: {one.state}" for place, one in there)
        binaries = dict.fromkeys(name for _, one in there for name in one.binaries.split() if name != source)
        known.append(Known(source, states, " ".join(binaries)))
    return known


def find(known: Iterable[Known], question: str) -> list[Known]:
    """Those in which each word of the question is, the closest names first. search.js does the same."""
    words = question[:LONGEST].lower().split()
    if not words:
        return []
    found = [one for one in known if all(word in one.text for word in words)]
    return sorted(found, key=lambda one: (_distance(one.source.lower(), words[0]), one.source))


def script(known: Iterable[Known]) -> str:
    """The index as search.js reads it: a script, since pages in files may not read other files."""
    labels: dict[str, int] = {}
    lines = []
    for one in known:
        numbers = ",".join(str(labels.setdefault(plain(label), len(labels))) for label in one.states)
        page = addresses.package(one.source)
        odd = "" if re.fullmatch(r"package/[^/=]+/[^/=]+\.html", page) else f"\t{page}"
        lines.append("\t".join((_line(one.source), numbers, _line(one.binaries))) + odd)
    value: Mapping[str, object] = {"labels": list(labels), "packages": "\n".join(lines)}
    return f"globalThis.searchIndex = {json.dumps(value)};\n"


def _line(text: str) -> str:
    return plain(text).replace("\t", " ").replace("\n", " ")


def _distance(source: str, word: str) -> int:
    if source == word:
        return 0
    return 1 if source.startswith(word) else 2 if word in source else 3
