"""Takes an archive into the database of a rebuild: what there is to build, what is built, what is not for us.

Run again it tracks: new sources come in, newer versions are wanted, those that left go, and nobody builds twice.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from image_builder.archive.classify import ArchitectureRule, classify, read_rules
from image_builder.archive.database.records import Merged
from image_builder.archive.database.store import Database
from image_builder.archive.importing import Found, Status
from image_builder.archive.indices.local import NOTHING_LOCAL, LocalPackages
from image_builder.archive.indices.packages import read_packages
from image_builder.archive.indices.sources import latest, read_sources
from image_builder.archive.model import BinaryPackage, SourcePackage
from image_builder.archive.pinned import Pinned

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Archive:
    """What the APT sources of a rebuild have, of all their suites and components together."""

    sources: Mapping[str, SourcePackage]  # the highest version of each, or the local one
    binaries: Sequence[BinaryPackage]  # of all architectures
    local: LocalPackages = NOTHING_LOCAL


class Forbidden(Protocol):
    """An entry of the configuration's blacklist."""

    @property
    def package(self) -> str:
        """A pattern for names of sources."""

    @property
    def reason(self) -> str: ...

    @property
    def architectures(self) -> Collection[str]:
        """Where it holds; none: everywhere."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What else decides what is built: lists by architecture, the blacklist, sources of the suite below."""

    by_name: Mapping[str, ArchitectureRule] | None = None
    blacklist: Sequence[Forbidden] = ()
    related: Sequence[SourcePackage] = ()


def configured(architecture_rules: Path | None, blacklist: Sequence[Forbidden]) -> Rules:
    """The rules of a configuration. Raises ConfigError with the line, SurroundingsError for a list not there."""
    return Rules(read_rules(architecture_rules) if architecture_rules else None, blacklist)


def read_archive(pinned: Pinned, architectures: Iterable[str], local: LocalPackages = NOTHING_LOCAL) -> Archive:
    """Read all pinned indices; local packages supersede what they have, whatever the version.

    Raises PipelineError, with the stanza, for an index with what cannot be.
    """
    sources = [
        source for _, component, path, _ in pinned.indices("Sources") for source in read_sources(path, component)
    ]
    binaries: dict[tuple[str, str, str], BinaryPackage] = {}  # what is for all stands in the index of each architecture
    for architecture in architectures:
        for _, component, path, _ in pinned.indices("Packages", architecture):
            for binary in read_packages(path, component):
                binaries.setdefault((binary.name, binary.version, binary.architecture), binary)
    return Archive({**latest(sources), **local.sources}, tuple(binaries.values()), local)


def take_in(
    database: Database,
    run: int,
    suite: str,
    architectures: Iterable[str],
    archive: Archive,
    results: Iterable[BinaryPackage],
    now: float,
    *,
    chosen: Collection[str] | None = None,
    rules: Rules | None = None,
) -> dict[str, Merged]:
    """Compare the archive with what was built, and write down what that means for each source.

    architectures: real ones; "all", what is built once, comes by itself. results: what this rebuild has made so far.
    chosen: names of the sources to build; None: all of them. Return what changed, by architecture.
    """
    rules = rules or Rules()
    results = list(results)
    sources = {
        name: source
        for name, source in archive.sources.items()
        if not source.extra_source_only and (chosen is None or name in chosen)
    }
    merged = {}
    for architecture in (*architectures, "all"):
        found = classify(sources, results, architecture, rules.by_name, related=rules.related, others=archive.binaries)
        _tell_skipped(found.values(), archive.local.sources, architecture)
        merged[architecture] = database.merge(
            run, suite, architecture, _rows(found.values(), archive.local.sources, architecture), now
        )
        database.blacklist(run, suite, architecture, forbidden(sources, rules.blacklist, architecture), now)
    return merged


def forbidden(names: Iterable[str], blacklist: Sequence[Forbidden], architecture: str) -> dict[str, str]:
    """source -> why it is not built, for those that an entry of the blacklist fits; the first entry counts."""
    entries = [entry for entry in blacklist if not entry.architectures or architecture in entry.architectures]
    reasons = {}
    for name in names if entries else ():
        reason = next((entry.reason for entry in entries if fnmatchcase(name, entry.package)), None)
        if reason is not None:
            reasons[name] = reason
    return reasons


def _tell_skipped(found: Iterable[Found], local: Mapping[str, SourcePackage], architecture: str) -> None:
    names = [one.source for one in found if one.taken_over and one.source not in local]
    if names:
        log.warning(
            "%s: newer binaries than these sources would make are there, so new ones are not taken in: %s",
            architecture,
            ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else ""),
        )


def _rows(found: Iterable[Found], local: Mapping[str, SourcePackage], architecture: str) -> Iterator[Found]:
    """What the database shall know: nobody takes over what the user brought; "all" has those with something for all."""
    for one in found:
        if one.status is not Status.ARCH_NOT_IN_ARCH_LIST or architecture != "all":
            yield replace(one, taken_over=False) if one.source in local else one
