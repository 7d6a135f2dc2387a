"""Two runs compared, package by package. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from image_builder.archive.comparing.facts import Binary, End, Ended
from image_builder.archive.comparing.likely import Likely, likely, line_of
from image_builder.archive.model import Key

DEBUG = "-dbgsym"  # what ends so is as large as the compiler pleases, and nobody installs it


@dataclass(frozen=True)
class Bounds:
    """From where on a difference is told. Times and sizes vary a little whatever one does."""

    slower: float = 1.25  # times the time before
    slower_seconds: float = 30.0  # and so much more
    larger: float = 1.05
    larger_bytes: int = 16 << 10


@dataclass(frozen=True, slots=True)
class Failure:
    """A package that is not built in the second run. new: it was in the first."""

    key: Key
    version: str
    likely: Likely
    line: str
    new: bool


@dataclass(frozen=True, slots=True)
class Grown:
    """A number that went up: seconds of a build, or bytes of all its packages."""

    key: Key
    what: str  # "seconds", "packed", "installed"
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Changed:
    """Other dependencies. binary: "" where packages came or went, which are then named in gone and new."""

    key: Key
    binary: str
    field: str
    gone: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What differs; each list by its keys, growth with the largest first."""

    failures: list[Failure]
    fixed: list[Key]
    slower: list[Grown]
    larger: list[Grown]
    dependencies: list[Changed]
    other_versions: list[tuple[Key, str, str]]  # (package, version in the first run, in the second)
    only_first: list[Key]
    only_second: list[Key]
    open: list[Key]  # not done yet in the second run
    same: int  # built in both
    unknown: int  # of these, packages whose results are not there to be compared

    def groups(self, *, new: bool) -> list[tuple[Likely, list[Failure]]]:
        """The failures, new ones or those of before too, by likely cause; the largest group first."""
        found: dict[Likely, list[Failure]] = {}
        for one in self.failures:
            if one.new == new:
                found.setdefault(one.likely, []).append(one)
        return sorted(found.items(), key=lambda group: (-len(group[1]), group[0]))


def compare(first: Mapping[Key, Ended], second: Mapping[Key, Ended], bounds: Bounds = Bounds()) -> Comparison:
    """Hold a second run against a first one. A package nobody wanted in one of them counts as not being there."""
    one = {key: ended for key, ended in first.items() if ended.end is not End.NONE}
    two = {key: ended for key, ended in second.items() if ended.end is not End.NONE}
    both = [(key, one[key], two[key]) for key in sorted(one.keys() & two.keys())]
    built = [pair for pair in both if pair[1].end is pair[2].end is End.GOOD]
    known = [(k, a.binaries, b.binaries) for k, a, b in built if a.binaries is not None and b.binaries is not None]
    return Comparison(
        failures=[_failure(key, one.get(key), ended) for key, ended in sorted(two.items()) if ended.end is End.BAD],
        fixed=[key for key, before, after in both if before.end is End.BAD and after.end is End.GOOD],
        slower=_ranked(_slower(built, bounds)),
        larger=_ranked(grown for pair in known for grown in _larger(*pair, bounds)),
        dependencies=[changed for pair in known for changed in _dependencies(*pair)],
        other_versions=[(k, a.version, b.version) for k, a, b in both if a.version != b.version],
        only_first=sorted(one.keys() - two.keys()),
        only_second=sorted(two.keys() - one.keys()),
        open=sorted(key for key, ended in two.items() if ended.end is End.OPEN),
        same=len(built),
        unknown=len(built) - len(known),
    )


def _failure(key: Key, before: Ended | None, after: Ended) -> Failure:
    return Failure(key, after.version, likely(after), line_of(after), before is not None and before.end is End.GOOD)


def _slower(built: Iterable[tuple[Key, Ended, Ended]], bounds: Bounds) -> Iterator[Grown]:
    for key, before, after in built:
        was, now = before.seconds, after.seconds
        if was is not None and now is not None and now >= was * bounds.slower and now - was >= bounds.slower_seconds:
            yield Grown(key, "seconds", was, now)


def _larger(key: Key, before: Mapping[str, Binary], after: Mapping[str, Binary], bounds: Bounds) -> Iterator[Grown]:
    for what, size in (("packed", "size_bytes"), ("installed", "installed_bytes")):
        was, now = (
            sum(getattr(one, size) for name, one in some.items() if not name.endswith(DEBUG))
            for some in (before, after)
        )
        if now >= was * bounds.larger and now - was >= bounds.larger_bytes:
            yield Grown(key, what, was, now)


def _dependencies(key: Key, before: Mapping[str, Binary], after: Mapping[str, Binary]) -> Iterator[Changed]:
    came = _difference(frozenset(before), frozenset(after))
    if any(came):
        yield Changed(key, "", "packages", *came)
    for name in sorted(before.keys() & after.keys()):
        was, now = before[name].relations, after[name].relations
        for field in sorted(was.keys() | now.keys()):
            differ = _difference(was.get(field, frozenset()), now.get(field, frozenset()))
            if any(differ):
                yield Changed(key, name, field, *differ)


def _difference(before: frozenset[str], after: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is gone, and what is new."""
    return tuple(sorted(before - after)), tuple(sorted(after - before))


def _ranked(grown: Iterable[Grown]) -> list[Grown]:
    return sorted(grown, key=lambda one: (one.before - one.after, one.key, one.what))
