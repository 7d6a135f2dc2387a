"""Which sources are rebuilt: all, by pattern, what an image needs, and what those need to be built."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Set
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote

from image_builder.archive.indices.relations import NO_PROFILES, build_dependencies, written
from image_builder.archive.indices.words import is_name
from image_builder.archive.installability.offer import installed
from image_builder.archive.installability.reach import BUILD_ESSENTIAL
from image_builder.archive.installability.universe import Universe
from image_builder.archive.model import BinaryPackage, SourcePackage
from image_builder.errors import ConfigError, PipelineError, SurroundingsError

HINT = "give a list (a package per line), or a manifest or bill of materials (.manifest, .spdx.json) from a build"
_PURL = re.compile(r"pkg:deb/[^/@]+/([^/@]+)@")


def by_pattern(names: Iterable[str], include: Collection[str] = ("*",), exclude: Collection[str] = ()) -> set[str]:
    """The names that a pattern of include fits, and none of exclude. Raises ConfigError for one that fits nothing."""
    names = list(names)
    chosen: set[str] = set()
    for pattern in include:
        fitting = {name for name in names if fnmatchcase(name, pattern)}
        if not fitting:
            raise ConfigError(f"no source fits {pattern!r}", where="packages", hint="patterns are those of a shell")
        chosen |= fitting
    return {name for name in chosen if not any(fnmatchcase(name, pattern) for pattern in exclude)}


def image_packages(path: Path) -> tuple[set[str], bool]:
    """The binary packages a file names, and whether that is all an image has (a manifest, a bill of materials).

    A list of packages to install names only where it begins. Raises ConfigError, SurroundingsError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as e:
        raise SurroundingsError(f"cannot be read: {getattr(e, 'strerror', None) or e}", where=path) from e
    if text.lstrip().startswith("{"):
        return _of_bill(text, path), True
    names, complete = set(), True
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        name = words[0].partition(":")[0]
        if not is_name(name):
            raise ConfigError(f"{words[0]!r} is no package", where=f"{path}, line {number}", hint=HINT)
        names.add(name)
        complete = complete and len(words) == 2
    if not names:
        raise ConfigError("names no package", where=path, hint=HINT)
    return names, complete


def sources_of(
    names: Iterable[str], binaries: Iterable[BinaryPackage], architecture: str, *, complete: bool
) -> set[str]:
    """The sources of some binary packages, and unless they are complete of all they depend on.

    Raises ConfigError for packages that are not there.
    """
    universe = Universe(binaries, architecture)
    groups = {name: tuple(universe.under(name)) for name in names}
    if absent := sorted(name for name, group in groups.items() if not group):
        raise ConfigError(
            f"no package is called {', '.join(absent[:10])}", where="packages", hint="is it in the sources?"
        )
    if complete:
        return {universe.packages[group[0]].source for group in groups.values()}
    found = installed(universe, [*groups.values(), *universe.always()])
    return {universe.packages[number].source for number in found}


def base_system(binaries: Iterable[BinaryPackage], architecture: str) -> set[str]:
    """The sources of what every system and every build has: essential, required, build-essential, all below them."""
    universe = Universe(binaries, architecture)
    roots = [
        (number,)
        for number, package in enumerate(universe.packages)
        if package.essential or package.build_essential or package.priority == "required"
    ]
    return {universe.packages[n].source for n in installed(universe, [*roots, *universe.choices(BUILD_ESSENTIAL)])}


def with_build_dependencies(
    chosen: Set[str],
    sources: Mapping[str, SourcePackage],
    binaries: Iterable[BinaryPackage],
    architecture: str,
    profiles: Set[str] = NO_PROFILES,
) -> set[str]:
    """The chosen sources with the sources of all that is installed to build them, again and again.

    Sources that are not there (their binaries come from elsewhere) are left out.
    """
    universe = Universe(binaries, architecture)
    found, todo = set(), set(chosen) | base_system(universe.packages, architecture)
    todo &= sources.keys()
    known: set[int] = set()
    while todo:
        found |= todo
        fields = [_needs(sources[name], architecture, profiles) for name in todo]
        groups = [group for field in fields for group in universe.first_choices(field)]
        known |= installed(universe, [group for group in groups if known.isdisjoint(group)])
        todo = ({universe.packages[number].source for number in known} & sources.keys()) - found
    return found


def _needs(source: SourcePackage, architecture: str, profiles: Set[str]) -> str:
    fields = set()
    for target in (architecture, "all"):
        try:
            fields.add(written(build_dependencies(source, target, architecture, profiles)[0]))
        except PipelineError:
            continue  # its installability says why it cannot be built
    return ", ".join(field for field in sorted(fields) if field)


def _of_bill(text: str, path: Path) -> set[str]:
    """Every Debian package of a bill of materials (SPDX, JSON), as a build writes one beside each manifest."""
    try:
        packages = json.loads(text).get("packages", ())
        places = (ref["referenceLocator"] for package in packages for ref in package.get("externalRefs", ()))
        names = {unquote(match[1]) for match in map(_PURL.match, places) if match}
    except (ValueError, TypeError, KeyError, AttributeError) as e:
        raise ConfigError(f"is no bill of materials: {e}", where=path, hint=HINT) from e
    if not names:
        raise ConfigError("names no Debian package", where=path, hint=HINT)
    return names
