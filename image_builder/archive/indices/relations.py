"""Relation fields: what a package depends on or conflicts with, on one architecture, with some build profiles."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass
from functools import lru_cache

from image_builder.archive.indices.architectures import matches
from image_builder.archive.indices.words import is_version
from image_builder.archive.model import SourcePackage
from image_builder.errors import PipelineError

NO_PROFILES: Set[str] = frozenset()

_ALTERNATIVE = re.compile(
    r"([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9-]+))?"  # name, qualifier
    r"\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s()]+)\s*\))?"  # operator, version
    r"\s*(?:\[([^\[\]]*)\])?"  # architectures
    r"\s*((?:<[^<>]*>\s*)*)"  # profiles
)


@dataclass(frozen=True, slots=True)
class Alternative:
    """One package of a relation: "zlib1g-dev:native (>= 1.2) [linux-any] <!nocheck>"."""

    name: str
    qualifier: str = ""  # "any", "native", an architecture; "" where none is written
    operator: str = ""  # "<<", "<=", "=", ">=", ">>"; "" for any version
    version: str = ""
    architectures: tuple[str, ...] = ()  # "amd64", "!hurd-any"; none: all
    profiles: tuple[tuple[str, ...], ...] = ()  # or of ands: (("!nocheck", "!cross"), ("stage1",)); none: always

    def __str__(self) -> str:
        """The package with its version, as a relation names it; without restrictions."""
        name = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        return f"{name} ({self.operator} {self.version})" if self.operator else name


Group = tuple[Alternative, ...]  # any of these
Groups = tuple[Group, ...]  # all of these


def parse(field: str, where: str = "") -> Groups:
    """A relation field. Raises PipelineError for what is no relation; where: of whom it is."""
    return tuple(_group(part, where) for part in field.split(",") if part.strip())


def applies(alternative: Alternative, architecture: str, profiles: Set[str] = NO_PROFILES) -> bool:
    """Whether an alternative's restrictions leave it in, on a real architecture, with these build profiles."""
    words = alternative.architectures
    if words:
        negative = words[0].startswith("!")
        if any(matches(architecture, word.removeprefix("!")) for word in words) is negative:
            return False
    return not alternative.profiles or any(
        all((word.removeprefix("!") in profiles) is not word.startswith("!") for word in formula)
        for formula in alternative.profiles
    )


def reduced(groups: Groups, architecture: str, profiles: Set[str] = NO_PROFILES) -> Groups:
    """The groups with the alternatives that apply; a group of which none applies is no condition."""
    kept = (tuple(a for a in group if applies(a, architecture, profiles)) for group in groups)
    return tuple(group for group in kept if group)


def first_only(group: Group) -> Group:
    """What sbuild takes of a group: the first package; with it those that only ask for another version of it."""
    first = group[0]
    return tuple(a for a in group if (a.name, a.qualifier) == (first.name, first.qualifier))


def build_dependencies(
    source: SourcePackage, architecture: str, native: str, profiles: Set[str] = NO_PROFILES
) -> tuple[Groups, Groups]:
    """What building a source for an architecture (or "all") needs, and what it must not meet.

    native: the architecture of the machine that builds "all". Raises PipelineError, with the source, for a field that
    is no relation.
    """
    real = native if architecture == "all" else architecture
    indep = architecture == "all"
    needs = (source.build_depends, source.build_depends_indep if indep else source.build_depends_arch)
    avoids = (source.build_conflicts, source.build_conflicts_indep if indep else source.build_conflicts_arch)
    where = f"{source.name} {source.version}"
    return (
        tuple(group for field in needs for group in reduced(parse(field, where), real, profiles)),
        tuple(group for field in avoids for group in reduced(parse(field, where), real, profiles)),
    )


def written(groups: Groups) -> str:
    """Groups as a field, without restrictions."""
    return ", ".join(" | ".join(map(str, group)) for group in groups)


def _group(text: str, where: str) -> Group:
    try:
        return _parsed(text)
    except ValueError as e:
        raise PipelineError(f"has {text.strip()!r} where a relation should stand: {e}", where=where) from e


@lru_cache(maxsize=200_000)  # an archive writes the same few relations again and again
def _parsed(text: str) -> Group:
    return tuple(_alternative(part.strip()) for part in text.split("|"))


def _alternative(text: str) -> Alternative:
    match = _ALTERNATIVE.fullmatch(text)
    if match is None:
        raise ValueError("it should read like: name (>= version) [architecture] <profile>")
    name, qualifier, operator, version, architectures, profiles = match.groups()
    if version and not is_version(version):
        raise ValueError(f"{version!r} is no version")
    words = tuple((architectures or "").split())
    if len({word.startswith("!") for word in words}) > 1:
        raise ValueError("architectures are either all named or all excluded")
    formulas = tuple(tuple(part.split()) for part in re.findall(r"<([^<>]*)>", profiles or ""))
    return Alternative(name, qualifier or "", operator or "", version or "", words, formulas)
