"""The binaries a build may install, and how they satisfy and exclude each other.

Where dose is laxer than a careful reader of the policy, this is the careful reader: what it holds possible, dose does
too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import lru_cache

from image_builder.archive.indices.relations import Alternative, Group, first_only, parse
from image_builder.archive.indices.versions import key, satisfies
from image_builder.archive.model import BinaryPackage
from image_builder.errors import PipelineError

NEEDS = ("Pre-Depends", "Depends")
AVOIDS = ("Conflicts", "Breaks")


UNSURE = -1  # stands for packages that dose may find where a careful reader does not


class Universe:
    """Packages by number, in the order given; those of other architectures are left out."""

    def __init__(self, binaries: Iterable[BinaryPackage], architecture: str) -> None:
        self.architecture = architecture
        self.packages: Sequence[BinaryPackage] = [b for b in binaries if b.architecture in ("all", architecture)]
        self.named: dict[str, list[int]] = defaultdict(list)  # name -> numbers, highest version first
        self.provided: dict[str, list[tuple[int, str]]] = defaultdict(list)  # name -> (number, version or "")
        self._unreadable: dict[int, str] = {}  # number -> a field that is none
        self._candidates: dict[str, tuple[int, ...]] = {}
        for number, package in enumerate(self.packages):
            self.named[package.name].append(number)
            self._look_at(number, package.relations)
        for numbers in self.named.values():
            if len(numbers) > 1:
                numbers.sort(key=lambda n: key(self.packages[n].version), reverse=True)
        self.essential = sorted({package.name for package in self.packages if package.essential})

    def always(self) -> list[tuple[int, ...]]:
        """What is installed wherever anything is: of each essential package one that says so of itself."""
        return [tuple(n for n in self.named[name] if self.packages[n].essential) for name in self.essential]

    def _look_at(self, number: int, relations: Mapping[str, str]) -> None:
        for field in (*AVOIDS, "Provides"):
            text = relations.get(field)
            if text is None:
                continue
            try:
                alternatives = _alternatives(text)
            except PipelineError:
                self._unreadable[number] = text
                continue
            if field == "Provides":
                for alternative in alternatives:
                    # One with a qualifier serves those that ask with the same qualifier; nobody does.
                    if alternative.operator in ("", "=") and not alternative.qualifier:
                        self.provided[alternative.name].append((number, alternative.version))

    def needs(self, number: int) -> list[tuple[int, ...]]:
        """For each group of a package's dependencies the packages that would do, the preferred first."""
        if number in self._unreadable:
            return [()]
        relations = self.packages[number].relations
        return [c for field in NEEDS if field in relations for c in self.choices(relations[field])]

    def wants(self, number: int) -> list[str]:
        """The same groups as they are written."""
        if number in self._unreadable:
            return [self._unreadable[number]]
        relations = self.packages[number].relations
        texts = (text.strip() for field in NEEDS for text in relations.get(field, "").split(","))
        return [text for text in texts if text]

    def names(self, field: str) -> Set[str]:
        """The names a field mentions, whatever it wants of them; none of a field that cannot be read."""
        return _names(field)

    def under(self, name: str) -> list[int]:
        """All packages of a name, and all that provide it, in any version."""
        return [*self.named.get(name, ()), *(number for number, _ in self.provided.get(name, ()))]

    def choices(self, field: str) -> list[tuple[int, ...]]:
        """For each group of a relation field the packages that would do, the preferred first."""
        known = self._candidates
        found = []
        for text in field.split(","):
            if not text.strip():
                continue
            candidates = known.get(text)
            if candidates is None:
                candidates = known[text] = self._resolve(text)
            found.append(candidates)
        return found

    def first_choices(self, field: str) -> list[tuple[int, ...]]:
        """The same for build dependencies: of each group only the first package counts."""
        found = []
        for text in field.split(","):
            if "|" in text:
                found.append(self._candidates_of(first_only(parse(text)[0])))
            else:
                found.extend(self.choices(text))
        return found

    def avoids(self, number: int) -> set[int]:
        """The packages that cannot be installed beside one: its conflicts, and its other versions."""
        package = self.packages[number]
        found = set(self.named[package.name])
        for field in AVOIDS:
            if text := package.relations.get(field):
                found |= self.excluded(text, package)
        found.discard(number)
        return found

    def excluded(self, field: str, package: BinaryPackage | None = None) -> set[int]:
        """The packages a field of conflicts means. package: whose field it is, if a package's."""
        found: set[int] = set()
        for alternative in _alternatives(field):
            if alternative.qualifier or self._own(alternative, package):
                found.update(self.under(alternative.name))
            else:
                found.update(self._real(alternative), self._virtual(alternative))
        return found

    def versions(self, name: str) -> list[str]:
        """What there is of a name: versions, and who provides it."""
        real = [self.packages[n].version for n in self.named.get(name, ())]
        return real + [f"provided by {self.packages[n].name}" for n, _ in self.provided.get(name, ())]

    def _own(self, alternative: Alternative, package: BinaryPackage | None) -> bool:
        """Whether a Multi-Arch: same package speaks of itself. dose then excludes all others of that name."""
        if package is None or package.multi_arch != "same":
            return False
        if alternative.name == package.name:
            return True
        provides = {a.name for a in _alternatives(package.relations.get("Provides", ""))}
        return not alternative.operator and alternative.name in provides

    def _resolve(self, text: str) -> tuple[int, ...]:
        try:
            groups = parse(text)
        except PipelineError:
            return ()  # who asks for what cannot be read gets nothing
        return self._candidates_of(groups[0])

    def _candidates_of(self, group: Group) -> tuple[int, ...]:
        found: dict[int, None] = {}
        for alternative in group:
            if alternative.qualifier in ("", "native", self.architecture):
                found.update(dict.fromkeys(self._real(alternative)))
                found.update(dict.fromkeys(self._virtual(alternative)))
                continue
            if alternative.qualifier == "any":
                allowed = (n for n in self._real(alternative) if self.packages[n].multi_arch == "allowed")
                found.update(dict.fromkeys(allowed))
            if self.under(alternative.name):
                found[UNSURE] = None
        return tuple(found)

    def _real(self, alternative: Alternative) -> list[int]:
        numbers = self.named.get(alternative.name, [])
        if not alternative.operator:
            return numbers
        return [n for n in numbers if satisfies(self.packages[n].version, alternative.operator, alternative.version)]

    def _virtual(self, alternative: Alternative) -> list[int]:
        provided = self.provided.get(alternative.name, [])
        if not alternative.operator:
            return [n for n, _ in provided]
        return [
            n for n, version in provided if version and satisfies(version, alternative.operator, alternative.version)
        ]


@lru_cache(maxsize=100_000)  # a universe is made anew after each change, of much the same fields
def _alternatives(field: str) -> tuple[Alternative, ...]:
    """Every package a field names. Raises PipelineError for a field that cannot be read."""
    return tuple(alternative for group in parse(field) for alternative in group)


@lru_cache(maxsize=200_000)
def _names(field: str) -> Set[str]:
    try:
        return frozenset(alternative.name for group in parse(field) for alternative in group)
    except PipelineError:
        return frozenset()
