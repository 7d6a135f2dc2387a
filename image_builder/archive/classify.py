"""What an archive's binaries say about each of its sources: built, outdated, not yet built, or not for this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from image_builder.archive.importing import Found, Status
from image_builder.archive.indices.architectures import matches
from image_builder.archive.indices.packages import binary_nmu
from image_builder.archive.indices.versions import compare
from image_builder.archive.model import BinaryPackage, SourcePackage
from image_builder.errors import ConfigError, SurroundingsError


@dataclass(frozen=True, slots=True)
class ArchitectureRule:
    """A line of an architecture-specific list: only on these, or on all but these."""

    architectures: frozenset[str]
    excluded: bool

    def keeps_out(self, architecture: str) -> bool:
        """Whether the line says: not on this architecture."""
        return (architecture in self.architectures) is self.excluded


def read_rules(path: Path) -> dict[str, ArchitectureRule]:
    """A list in the manner of Packages-arch-specific: "%source: amd64 arm64", "binary: !s390x"; "#" begins a comment.

    Raises ConfigError with the line for one that is neither, SurroundingsError when the file cannot be read.
    """
    rules = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as e:
        raise SurroundingsError(f"cannot be read: {e.strerror or e}", where=path) from e
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        name, colon, rest = text.partition(":")
        words = rest.split()
        if not colon or not words or len({word.startswith("!") for word in words}) > 1:
            raise ConfigError(
                f"{text!r} is no rule",
                where=f"{path}, line {number}",
                hint='write "%source: amd64" or "binary: !amd64"',
            )
        named = frozenset(word.removeprefix("!") for word in words)
        rules[name.strip()] = ArchitectureRule(named, words[0].startswith("!"))
    return rules


def classify(
    sources: Mapping[str, SourcePackage],
    binaries: Iterable[BinaryPackage],
    architecture: str,
    rules: Mapping[str, ArchitectureRule] | None = None,
    *,
    related: Iterable[SourcePackage] = (),
    others: Iterable[BinaryPackage] = (),
) -> dict[str, Found]:
    """What each source is on an architecture, or on "all": what is built once. Each has exactly one status.

    sources: the highest version of each. binaries: those that count as results of the sources. related: sources of the
    suite this one lies over. others: more binaries that exist (the archive's own, when it is rebuilt from nothing):
    they are no results, but say what is made for all architectures, and what another source has taken over.
    """
    archive = _Archive(sources, architecture, rules or {}, {(source.name, source.version) for source in related})
    archive.look_at(binaries, results=True)
    archive.look_at(others, results=False)
    return {
        name: Found(
            source=name,
            version=source.version,
            status=archive.status(source),
            binary_nmu=archive.installed.get(name) or None,
            section=source.section,
            priority=source.priority,
            component=source.component,
            binaries=source.binaries,
            taken_over=archive.taken_over(source),
        )
        for name, source in sources.items()
    }


class _Archive:
    """The binaries of an archive, as far as they say something about its sources."""

    def __init__(
        self,
        sources: Mapping[str, SourcePackage],
        architecture: str,
        rules: Mapping[str, ArchitectureRule],
        below: set[tuple[str, str]],
    ) -> None:
        self.sources, self.architecture, self.rules, self.below = sources, architecture, rules, below
        self.newest: dict[str, BinaryPackage] = {}  # by name
        self.compiled: set[str] = set()  # sources of which some binary is there
        self.installed: dict[str, int] = {}  # source -> highest N of "+bN" among the binaries of its own version
        self.alive: set[str] = set()  # sources whose present version somebody has built, here or in the archive

    def look_at(self, binaries: Iterable[BinaryPackage], *, results: bool) -> None:
        """Take binaries in. results: whether they count as results of their sources."""
        for binary in self._real(binaries):
            other = self.newest.get(binary.name)
            if other is None or compare(binary.version, other.version) >= 0:
                self.newest[binary.name] = binary
            source = self.sources.get(binary.source)
            if source is None:
                continue
            current = source.version == binary.source_version
            if current:
                self.alive.add(source.name)
            if results and (binary.architecture == "all") is (self.architecture == "all"):
                self.compiled.add(source.name)
                if current:
                    self.installed[source.name] = max(self.installed.get(source.name, 0), binary_nmu(binary.version))

    def _real(self, binaries: Iterable[BinaryPackage]) -> Iterator[BinaryPackage]:
        """Those of this architecture or "all"; on a real one, an arch:all binary that is outdated does not exist."""
        for binary in binaries:
            if self.architecture in ("all", binary.architecture):
                yield binary
            elif binary.architecture == "all":
                source = self.sources.get(binary.source)
                if source is None or compare(source.version, binary.source_version) <= 0:
                    yield binary

    def status(self, source: SourcePackage) -> Status:
        real = self.architecture != "all"
        if real and source.architectures == ("all",):
            return Status.ARCH_ALL_ONLY
        if self._barred("%" + source.name):
            return Status.PACKAGES_ARCH_SPECIFIC
        barred = {name for name in source.binaries if self._barred(name)}
        made_once = {name for name in source.binaries if real and self._made_once(name)}
        if source.binaries and barred | made_once >= set(source.binaries):
            return Status.PACKAGES_ARCH_SPECIFIC if barred else Status.OVERWRITTEN_BY_ARCH_ALL
        if source.name in self.installed:
            return Status.INSTALLED
        if not any(matches(self.architecture, word) for word in source.architectures):
            return Status.ARCH_NOT_IN_ARCH_LIST
        if (source.name, source.version) in self.below:
            return Status.RELATED
        return Status.OUT_OF_DATE if source.name in self.compiled else Status.UNCOMPILED

    def taken_over(self, source: SourcePackage) -> bool:
        """Whether one of its binaries is there in a newer version, and nothing of its own version is.

        Then another source makes them by now, or the index of sources is older than that of binaries.
        """
        if source.name in self.alive:
            return False
        made = (self.newest.get(name) for name in source.binaries)
        return any(binary and compare(binary.source_version, source.version) > 0 for binary in made)

    def _barred(self, name: str) -> bool:
        rule = self.rules.get(name)
        return rule is not None and rule.keeps_out(self.architecture)

    def _made_once(self, name: str) -> bool:
        binary = self.newest.get(name)
        return binary is not None and binary.architecture == "all"
