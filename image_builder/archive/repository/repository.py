"""The repository of a rebuild: kept in step with results and flags, mended after a crash, made anew on request."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from image_builder.archive.repository import useforbuild
from image_builder.archive.repository.cache import Cache, opened
from image_builder.archive.repository.full import Changes, bring_about, identity, scan
from image_builder.archive.repository.index import write_index
from image_builder.archive.repository.layered import Layered, providers, record
from image_builder.archive.repository.names import SUFFIXES
from image_builder.archive.repository.useforbuild import Flags
from image_builder.archive.repository.winners import Provider, expected, winners
from image_builder.archive.results import Results
from image_builder.errors import ConfigError, SurroundingsError
from image_builder.files import write_whole

FULL = ":full"
_FLAGS = "useforbuild.json"
_MANY = 2000  # names; for more it takes less time to look at all than at each


class Repository:
    """REPOSITORY/SUITE/ARCHITECTURE/:full/: NAME.deb, a link to the file that is offered, NAME.meta, to its record.

    The tree is a function of results and flags. Each method that changes something may be killed at any point: the
    next one finishes it. Results and repository have to be on one file system.
    """

    def __init__(
        self,
        results: Results | Sequence[Results],
        folder: Path,
        architectures: Mapping[str, Sequence[str]],
        *,
        flags: Path | None = None,
    ) -> None:
        """architectures: suite -> those that are built, each gets what was built for all.

        results: of several, those of stages, the last one that has a result of a source counts. flags: the folder of
        the repository whose useforbuild holds here too; None: it has its own.
        """
        self.results = Layered([results] if isinstance(results, Results) else results)
        self.folder, self._architectures, self._flags = folder, architectures, flags or folder

    def architectures(self, suite: str) -> Sequence[str]:
        """Raises ConfigError for a suite that is not rebuilt."""
        if suite not in self._architectures:
            known = ", ".join(sorted(self._architectures)) or "none"
            raise ConfigError(f"suite {suite!r} is not rebuilt here", where=self.folder, hint=f"there is {known}")
        return self._architectures[suite]

    def full(self, suite: str, architecture: str) -> Path:
        return self.folder / suite / architecture / FULL

    def update(self, suite: str) -> Changes:
        """Take in what changed in the results since the last time, found by looking; touch only names it concerns."""
        with self._locked(suite) as cache:
            return self._in_step(cache, suite)

    def rebuild(self, suite: str) -> Changes:
        """Forget what is known, look at all results, and bring the tree in order."""
        with self._locked(suite) as cache:
            cache.forget()
            return self._in_step(cache, suite)

    def flags(self, suite: str) -> Flags:
        """useforbuild as it is set."""
        path = self._flags / suite / _FLAGS
        try:
            return useforbuild.from_text(path.read_text(), where=path)
        except FileNotFoundError:
            return Flags()

    def set_flags(self, suite: str, flags: Flags) -> Changes:
        """Set useforbuild; what is offered follows before this returns, in both directions."""
        with self._locked(suite) as cache:
            write_whole(self._flags / suite / _FLAGS, useforbuild.to_text(flags))
            return self._in_step(cache, suite)

    def winners(self, suite: str, architecture: str) -> dict[str, Provider]:
        """Binary name -> what is offered to builds, in the order of the names."""
        flags = self.flags(suite)
        with self._locked(suite) as cache:
            self._in_step(cache, suite)
            offered = winners(cache.providers(architecture), lambda s: flags.offered(s, suite, architecture))
        return dict(sorted(offered.items()))

    def providers(self, suite: str, architecture: str, name: str | None = None) -> list[Provider]:
        """All that give a binary name, or any; first the one that is offered if useforbuild is on for all."""
        with self._locked(suite) as cache:
            self._in_step(cache, suite)
            found = list(cache.providers(architecture, None if name is None else [name]))
        return sorted(found, key=lambda one: (one.name, one.rank))

    def index(self, suite: str, architecture: str, *, now: float) -> Path:
        """A folder apt can be pointed at ("deb [trusted=yes] URL ./"), in step with the results.

        It has Packages, Release and files/. A file that is no longer offered stays for a day after now (POSIX
        seconds), for builds that read an older Packages.
        """
        flags = self.flags(suite)
        with self._locked(suite) as cache:
            self._in_step(cache, suite)
            offered = winners(cache.providers(architecture), lambda s: flags.offered(s, suite, architecture))
            folder = self.folder / suite / architecture
            return write_index(folder, partial(self.place, suite, architecture), offered.values(), cache, now)

    def place(self, suite: str, architecture: str, one: Provider) -> Path:
        """The folder of results that a provider's file lies in."""
        return self.results.place(suite, architecture, one)

    def verify(self, suite: str) -> list[str]:
        """Where the tree is not what results and flags say; looks at everything and changes nothing."""
        flags, found = self.flags(suite), []
        with self._repository_lock(suite), self.results.locked(suite):
            for architecture in self.architectures(suite):
                given = (
                    one
                    for source in self.results.sources(suite, architecture)
                    for one in providers(source, architecture, self.results.listings(suite, source))
                )
                offered = winners(given, lambda s, a=architecture: flags.offered(s, suite, a))  # type: ignore[misc]
                wanted, there = expected(offered.values()), scan(self.full(suite, architecture))
                for name in sorted(wanted.keys() | there.keys()):
                    if wanted.get(name) != there.get(name):
                        what = (
                            "missing" if name not in there else "not offered" if name not in wanted else "another file"
                        )
                        found.append(f"{suite}/{architecture}: {name}: {what}")
        return found

    @contextmanager
    def _locked(self, suite: str) -> Iterator[Cache]:
        path = self.folder / suite / ":bininfo"
        with self._repository_lock(suite), self.results.locked(suite):
            try:
                with opened(path) as cache:
                    yield cache
            except (sqlite3.Error, OSError) as e:
                hint = "free some room, if the disk is full; the file itself may be deleted"
                raise SurroundingsError(f"cannot be written: {e}", where=path, hint=hint) from e

    @contextmanager
    def _repository_lock(self, suite: str) -> Iterator[None]:
        self.architectures(suite)
        path = self.folder / suite / ".lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("a")
        except OSError as e:
            raise SurroundingsError(f"cannot be locked: {e.strerror or e}", where=path) from e
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _in_step(self, cache: Cache, suite: str) -> Changes:
        for attempt in range(3):
            try:
                return _Step(self, cache, suite).take(whole=attempt > 0)
            except FileNotFoundError:  # somebody removed results by hand, meanwhile: look at all of them again
                cache.undo()
        raise SurroundingsError("results vanish while they are read", where=f"results of {suite}")


class _Step:
    """One look at the results, and what follows from it."""

    def __init__(self, repository: Repository, cache: Cache, suite: str) -> None:
        self._repository, self._cache, self._suite = repository, cache, suite
        self._results = repository.results
        self._receivers = repository.architectures(suite)
        self._flags = repository.flags(suite)

    def take(self, *, whole: bool) -> Changes:
        """whole: believe nothing that was noted before."""
        cache = self._cache
        known = {name: cache.folders(name) for name in self._architectures()}
        whole = whole or cache.changing()
        now = {name: self._results.identities(self._suite, name) for name in known}
        touched = {
            source
            for name in known
            for source in known[name].keys() | now[name].keys()
            if whole or source not in known[name] or known[name][source] != now[name].get(source)
        }
        flipped = {name: self._flipped(name, known[name], whole) for name in self._receivers}
        stale = {name: whole or cache.tree(name)[0] != self._identity(name) for name in self._receivers}
        if not touched and not any(flipped.values()) and not any(stale.values()):
            return Changes()
        cache.begin()
        names = {name: cache.names(name, touched | flipped[name]) for name in self._receivers}
        done = Changes()
        for source in sorted(touched):
            done += self._look(source, known, names)
        for name in self._receivers:
            done += self._link(name, None if stale[name] or len(names[name]) > _MANY else names[name])
        cache.end()
        return done

    def _architectures(self) -> list[str]:
        return sorted({*self._results.architectures(self._suite), *self._cache.architectures(), *self._receivers})

    def _flipped(self, architecture: str, known: Mapping[str, str], whole: bool) -> set[str]:
        """Sources whose flag is another one than when the tree was made."""
        text = self._cache.tree(architecture)[1]
        if whole or text in ("", useforbuild.to_text(self._flags)):
            return set()
        old, suite = useforbuild.from_text(text, where=self._repository.folder), self._suite
        new = self._flags
        return {s for s in known if old.offered(s, suite, architecture) != new.offered(s, suite, architecture)}

    def _look(self, source: str, known: Mapping[str, Mapping[str, str]], names: Mapping[str, set[str]]) -> Changes:
        """Read a source's folders, hand round what is for all architectures, note what each offers."""
        done, folders = self._results.bring_imports(self._suite, source, self._receivers, list(known))
        for name, listings in folders.items():
            if source in known[name]:
                self._cache.forget_folder(name, source)
            if not any(listings):
                continue
            offers = list(providers(source, name, folders)) if name in names else []
            self._cache.add_folder(name, source, self._results.identity(self._suite, name, source), offers)
            if name in names:
                names[name].update(one.name for one in offers)
        return done

    def _link(self, architecture: str, names: set[str] | None) -> Changes:
        """Bring names of the tree in order; None: all of it."""
        suite, full = self._suite, self._repository.full(self._suite, architecture)
        given = self._cache.providers(architecture, names)
        offered = winners(given, lambda source: self._flags.offered(source, suite, architecture))
        there = scan(full) if names is None else _some(full, names)
        paths: dict[str, str] = {}
        tops = [f"{one.folder}/{suite}/{architecture}" for one in self._results.layers]
        for one in offered.values():
            place = tops[one.layer]
            paths[one.name + one.suffix] = f"{place}/{one.source}/{one.file}"
            paths[f"{one.name}.meta"] = f"{place}/{one.source}/{record(one.origin)}"
        done = bring_about(full, there, expected(offered.values()), paths.__getitem__)
        self._cache.set_tree(architecture, self._identity(architecture), useforbuild.to_text(self._flags))
        return done

    def _identity(self, architecture: str) -> str:
        return identity(self._repository.full(self._suite, architecture))


def _some(folder: Path, names: set[str]) -> dict[str, int]:
    """Those of the tree's names that belong to these binary names -> inode."""
    found = {}
    for name in names:
        for suffix in (*SUFFIXES, ".meta"):
            try:
                found[name + suffix] = os.lstat(folder / (name + suffix)).st_ino
            except FileNotFoundError:
                continue
    return found
