"""The order of things: files that nobody knows yet, then the InRelease that names them, then old ones go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from image_builder.archive.publish import generations
from image_builder.archive.publish.generations import manifest_name
from image_builder.archive.publish.indices import Indices
from image_builder.archive.publish.place import Place

Key = tuple[str, int]  # suite, number


@dataclass(frozen=True)
class Generation:
    """One publication of a suite. whole: all its files came, and none has been removed."""

    names: frozenset[str]
    whole: bool


class Deployment:
    """A suite on its way to a place. Killed at any point, the next one goes on; until the end readers have the old."""

    def __init__(
        self, place: Place, suite: str, pool: Mapping[str, Path], made: Indices, *, check: bool = False
    ) -> None:
        """pool: name in the archive -> file. check: see publish()."""
        self._place, self._suite, self._pool, self._made = place, suite, pool, made
        self._top = f"dists/{suite}/"
        self._by_hash = {self._top + name: path for name, path in made.by_hash.items()}
        self._names = frozenset([*self._pool, *self._by_hash])
        self._known, self._check = read_generations(place), check
        self.missing = sorted(self._names - self._there(check))

    def _there(self, check: bool) -> set[str]:
        # Where something did not end, what came of it is seen by looking; the names of whole ones are believed.
        if check or not all(one.whole for one in self._known.values()):
            return {*self._place.listing("pool/"), *self._place.listing(self._top)}
        return {name for one in self._known.values() for name in one.names}

    def carry_out(self, inrelease: str, keep: int) -> tuple[int, int, int]:
        """How many files were written, their bytes, and how many were removed."""
        place, suite, missing = self._place, self._suite, self.missing
        newest = max((number for name, number in self._known if name == suite), default=0)
        last = self._known.get((suite, newest))
        again = last is not None and last.names == self._names  # the same once more, or the one that did not end
        number = newest if again else newest + 1
        whole, part = manifest_name(suite, number), manifest_name(suite, number, unfinished=True)
        if missing or not (again and last is not None and last.whole):
            # Said before the first file comes: whatever happens, the files of this publication are in some list.
            place.put(part, generations.to_text(self._names))
        size = 0
        # In this order: nothing names a file that is not there yet.
        for group in (self._pool, self._by_hash):
            files = {name: path for name in missing if (path := group.get(name)) is not None}
            size += sum(path.stat().st_size for path in files.values())
            place.put_all(files, lasting=True)
        release = self._top + "InRelease"
        if place.read(release) != inrelease.encode():
            place.put_all(self._named(last), lasting=False)
            place.put(release, inrelease.encode())
        if missing or not (again and last is not None and last.whole):
            place.put(whole, generations.to_text(self._names))
            place.remove([part])
        known = {**self._known, (suite, number): Generation(self._names, True)}
        return len(missing), size, self._prune(known, keep)

    def _named(self, last: Generation | None) -> dict[str, Path]:
        """Indices under the names that readers without by-hash ask for; those that the last one did not have."""
        old = last.names if last is not None and last.whole and not self._check else frozenset()
        unchanged = {path for name, path in self._by_hash.items() if name in old}
        return {self._top + name: path for name, path in self._made.files.items() if path not in unchanged}

    def _prune(self, known: Mapping[Key, Generation], keep: int) -> int:
        # One that did not end counts too: its InRelease may have been the last thing that came.
        gone, files = generations.dropped({key: one.names for key, one in known.items()}, keep=keep)
        for key in gone:
            if known[key].whole:  # from now on its names are not believed to be there
                self._place.put(manifest_name(*key, unfinished=True), generations.to_text(known[key].names))
        if files:
            self._place.remove(sorted(files))
        if gone:
            self._place.remove([manifest_name(*key) for key in gone])
            self._place.remove([manifest_name(*key, unfinished=True) for key in gone])
        return len(files)


def read_generations(place: Place) -> dict[Key, Generation]:
    """All suites' generations that the place knows of."""
    found: dict[Key, Generation] = {}
    for name in sorted(place.listing(generations.TOP)):  # the whole one of a number before its unfinished one
        one = generations.parse_name(name)
        data = place.read(name) if one else None
        if one is not None and data is not None:
            suite, number, part = one
            found[suite, number] = Generation(generations.from_text(data), not part)
    return found
