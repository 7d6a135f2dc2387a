"""Fetching beforehand what a build will need, into the store and into a folder any apt can be pointed at."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from image_builder.errors import PipelineError, SurroundingsError
from image_builder.lock import ArchivePin
from proxy.archive import obtain, pair
from proxy.archive.assemble import assemble
from proxy.archive.frozen import FrozenSet
from proxy.archive.sources import Source, merged
from proxy.blobs import Blobs
from proxy.http import NotThereError
from proxy.store.upkeep import in_use
from proxy.wanted import LANGUAGES, Item, Wanted, by_address, everything, metadata, packages


@dataclass(frozen=True)
class Problem:
    """Something that did not come, and why."""

    what: str
    why: str


@dataclass
class Report:
    """How a mirror ended. Sizes in bytes; complete only without missing and failed."""

    files: int = 0  # asked for
    fetched: int = 0
    fetched_bytes: int = 0
    from_drop: int = 0
    missing: list[Problem] = field(default_factory=list)  # nobody has it, or nothing frozen is called so
    failed: list[Problem] = field(default_factory=list)  # the network, the disk, other bytes than they should be
    strangers: list[str] = field(default_factory=list)  # files in the drop folder that nothing asks for

    @property
    def complete(self) -> bool:
        return not self.missing and not self.failed

    def add(self, other: Report) -> None:
        """Count another call with the same drop folder in."""
        self.files += other.files
        self.fetched += other.fetched
        self.fetched_bytes += other.fetched_bytes
        self.from_drop += other.from_drop
        self.missing += other.missing
        self.failed += other.failed
        self.strangers = [name for name in self.strangers if name in other.strangers]


@dataclass(frozen=True)
class State:
    """How far it is."""

    files: int
    files_done: int
    bytes: int
    bytes_done: int


@dataclass(frozen=True)
class Want:
    """What to fetch besides what `apt-get update` reads."""

    names: Sequence[str] = ()  # packages, as wanted.packages() takes them
    needs: bool = True  # and what they depend on
    files: Sequence[tuple[str, str]] = ()  # of a plan: address, SHA-256
    everything: bool = False  # every package of the pinned components and architectures
    source_indices: bool = False
    languages: Sequence[str] = LANGUAGES
    extra: Sequence[str] = ()  # regular expressions for further files of the Release


def mirror(
    pins: Sequence[ArchivePin],
    sources: Sequence[Source],
    want: Want,
    *,
    keyring: Path,
    cache: Path,
    folder: Path | None = None,
    drop: Path | None = None,
    jobs: int = 4,
    progress: Callable[[State], object] | None = None,
) -> Report:
    """Fetch what a lock's archives need to serve these wants without the network; goes on where an earlier run stopped.

    A file that does not come ends nothing: the rest is fetched, and the report lists what is missing and what failed.
    keyring: for sources that name none. cache: what holds the content store. folder: becomes HOST/BASE/{dists,pool},
    archives with their own signatures for any apt. drop: files fetched by hand, of any name; those that are wanted
    are taken after the same checks. progress: called from several threads. Raises PipelineError for a bad signature,
    SurroundingsError when the store or the folder cannot be written.
    """
    store, report = Blobs(cache / "sha256"), Report()
    dropped = _Dropped(drop, store, report)
    with in_use(store) as use:
        if not _releases(pins, sources, store, dropped, report):
            return report  # without them nobody knows what there is
        path = assemble(pins, sources, keyring=keyring, cache=cache)
        use.of(path)
        frozen = FrozenSet(path, cache)
        try:
            wanted = metadata(frozen, languages=want.languages, sources=want.source_indices, extra=want.extra)
            _bring(wanted, store, dropped, report, jobs, progress)
            more = Wanted()
            try:
                more.add(by_address(frozen, want.files))
                if want.names:
                    more.add(packages(frozen, want.names, needs=want.needs))
                if want.everything:
                    more.add(everything(frozen))
            except PipelineError as e:
                report.failed.append(Problem(str(e.where), e.what))
            _bring(more, store, dropped, report, jobs, progress)
            if folder is not None:
                lay_out([*wanted.items, *more.items], store, folder)
        finally:
            frozen.close()
    report.strangers = dropped.strangers()
    return report


def _releases(
    pins: Sequence[ArchivePin], sources: Sequence[Source], store: Blobs, dropped: _Dropped, report: Report
) -> bool:
    """Have the InRelease of every source in the store; whether all are there."""
    by_name = {(pin.uri, pin.suite): pin for pin in pins}
    for source in merged(sources):
        pin = by_name.get((source.uri, source.suite))
        if pin is None:
            raise PipelineError(
                "not in the lock", where=f"{source.uri} {source.suite}", hint="resolve it anew: --update"
            )
        dropped.take(pin.inrelease_sha256, None)
        try:
            data = obtain.inrelease(pin, source, store)
        except PipelineError as e:
            into = report.failed if isinstance(e, SurroundingsError) else report.missing
            into.append(Problem(pin.from_, e.what))
            continue
        for made in pair.derive(data) or () if pin.release_sha256 else ():
            store.add(made)
    return report.complete


class _Dropped:
    """Files that were fetched by hand, known by what is in them."""

    def __init__(self, folder: Path | None, store: Blobs, report: Report) -> None:
        self._store, self._report, self._taken = store, report, set[str]()
        self._files: dict[str, Path] = {}
        if folder is None:
            return
        if not folder.is_dir():
            raise PipelineError("no such folder", where=folder, hint="put what was fetched by hand into it")
        self._top = folder
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            with path.open("rb") as file:
                self._files[hashlib.file_digest(file, "sha256").hexdigest()] = path

    def take(self, sha256: str, size_bytes: int | None) -> None:
        """Into the store with it, if it was dropped."""
        if (path := self._files.get(sha256)) is None:
            return
        self._taken.add(sha256)
        if not self._store.has(sha256, size_bytes):
            self._store.take(path, sha256, size_bytes)
            self._report.from_drop += 1

    def strangers(self) -> list[str]:
        return [str(path.relative_to(self._top)) for sha256, path in self._files.items() if sha256 not in self._taken]


def _bring(
    wanted: Wanted,
    store: Blobs,
    dropped: _Dropped,
    report: Report,
    jobs: int,
    progress: Callable[[State], object] | None,
) -> None:
    report.missing += [Problem(what, why) for what, why in wanted.unknown]
    entries = list({item.entry.sha256: item.entry for item in wanted.items}.values())
    report.files += len(entries) + len(wanted.unknown)
    for entry in entries:
        dropped.take(entry.sha256, entry.size_bytes)
    missing = [entry for entry in entries if not store.has(entry.sha256, entry.size_bytes)]
    for entry in entries:
        store.use(entry.sha256)
    missing.sort(
        key=lambda entry: (-(entry.size_bytes or 0), entry.path)
    )  # at the end no thread is alone with a big one
    total = sum(entry.size_bytes or 0 for entry in entries)
    done, done_bytes = len(entries) - len(missing), total - sum(entry.size_bytes or 0 for entry in missing)
    lock = threading.Lock()

    def one(number: int) -> None:
        nonlocal done, done_bytes
        entry = missing[number]
        problem = None
        try:
            store.fetch(entry.urls, entry.sha256, entry.size_bytes)
        except PipelineError as e:
            problem = e
        with lock:
            if problem is None:
                report.fetched += 1
                report.fetched_bytes += entry.size_bytes or 0
            else:
                into = report.missing if isinstance(problem, NotThereError) else report.failed
                into.append(Problem(entry.urls[0] if entry.urls else entry.path, problem.what))
            done, done_bytes = done + 1, done_bytes + (entry.size_bytes or 0)
            if progress:
                progress(State(len(entries), done, total, done_bytes))

    if progress:
        progress(State(len(entries), done, total, done_bytes))
    pool = ThreadPoolExecutor(jobs)
    try:
        for _ in pool.map(one, range(len(missing))):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    report.missing.sort(key=lambda problem: problem.what)
    report.failed.sort(key=lambda problem: problem.what)


def lay_out(items: Sequence[Item], store: Blobs, folder: Path) -> None:
    """Give files of the store their names in a folder: by links where the file system allows it, else by copies.

    The Release files come last: an apt that reads the folder meanwhile finds what they name.
    """
    for item in sorted(items, key=lambda item: item.entry.kind == "release"):
        source = store.path(item.entry.sha256)
        if not source.exists():
            continue
        for place in item.places:
            _link(source, folder / place)


def _link(source: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        if target.samefile(source):
            return
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, part)
        except OSError:  # another file system
            shutil.copy2(source, part)
        part.replace(target)
    except OSError as e:
        raise SurroundingsError(e.strerror or str(e), where=target) from e
    finally:
        part.unlink(missing_ok=True)
