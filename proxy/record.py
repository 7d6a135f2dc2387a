"""Following suites over time, so that archives without a snapshot service have a history here."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event

from image_builder.errors import PipelineError, SurroundingsError
from proxy.archive import by_hash, obtain
from proxy.archive.checked import Signed, signed
from proxy.archive.freeze import wanted_indices
from proxy.archive.history import History, Known, newest
from proxy.archive.release import judge
from proxy.archive.sources import Source, merged
from proxy.blobs import Blobs, fetch
from proxy.http import NotThereError

INTERVAL_S = 600.0  # archives sign anew every half hour at most
JOBS = 4
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Poll:
    """What asking for one suite gave."""

    source: Source
    release: Signed | None  # what the mirror has now; None: it could not be had
    new: bool = False
    error: PipelineError | None = None
    warning: str = ""


def followed_for(interval_s: float) -> timedelta:
    """How far apart two polls may be so that nothing was missed between them: one may fail, and never above an hour."""
    return min(timedelta(seconds=3 * interval_s), timedelta(hours=1))


def poll(source: Source, *, keyring: Path, cache: Path, now: datetime, interval_s: float = INTERVAL_S) -> Poll:
    """Ask the mirror for the suite's InRelease, and keep it with its indices if it is new.

    Only when all of it is here the history says so: a poll that was killed is done again by the next one. A mirror
    that cannot be asked, or whose answer is not good, is a result with an error.
    """
    try:
        return _poll(source, keyring, cache, now, interval_s)
    except PipelineError as e:
        return Poll(source, None, error=e)


def _poll(source: Source, keyring: Path, cache: Path, now: datetime, interval_s: float) -> Poll:
    address = source.top + "InRelease"
    here = signed(source, fetch(address), keyring=keyring, cache=cache, where=address)
    judge(here.release, suite=source.suite, now=now, allow_expired=False, where=address)
    history = History(cache, source.uri, source.suite)
    known = history.known()
    before = newest(known, now)
    seen = Known(here.sha256, here.release.date, max(now, here.release.date), address)
    if before is not None and before.date > here.release.date:
        return Poll(source, here, warning=f"the mirror went back to {here.release.date:%Y-%m-%d %H:%M:%S} UTC")
    store = Blobs(cache / "sha256")
    _keep(here, store)  # also what is known: resolve may have seen it, and does not fetch indices
    if before is not None and before.sha256 == here.sha256:
        history.add(seen)
        return Poll(source, here)
    found = [seen]
    if before is not None:
        if before.until is not None and now - before.until <= followed_for(interval_s):
            found.append(_until(before, here.release.date))
        else:
            found += _between(source, before, here, keyring, cache, store)
    history.add(*found)
    return Poll(source, here, new=True)


def _between(source: Source, before: Known, here: Signed, keyring: Path, cache: Path, store: Blobs) -> list[Known]:
    """What was signed since the last poll, if the mirror's by-hash folder still has all of it; else nothing."""
    found: list[Known] = []
    following = here.release.date
    try:
        for address, data in by_hash.candidates(source.top, here.release.date - SECOND):
            one = signed(source, data, keyring=keyring, cache=cache, where=address)
            judge(one.release, suite=source.suite, now=here.release.date, allow_expired=True, where=address)
            if one.sha256 == before.sha256:
                return [*found, _until(before, following)]
            if one.release.date <= before.date:
                return []
            _keep(one, store)
            found.append(Known(one.sha256, one.release.date, following - SECOND, address))
            following = one.release.date
    except PipelineError:
        return []
    return []


def _until(known: Known, following: datetime) -> Known:
    return Known(known.sha256, known.date, max(following - SECOND, known.until or known.date), known.address)


def _keep(one: Signed, store: Blobs) -> None:
    store.add(one.data)
    pin = one.pin(None, "")
    for file in wanted_indices(one.release, one.source).values():
        try:
            obtain.index(pin, one.source, file, store, by_hash=one.release.by_hash)
        except NotThereError as e:
            raise SurroundingsError(
                "the mirror has a new InRelease and not yet, or no longer, the indices it names", where=one.address
            ) from e


@contextmanager
def recording(sources: Sequence[Source], cache: Path) -> Iterator[None]:
    """Be the one who follows these suites. Raises SurroundingsError that names the process that does so already."""
    with ExitStack() as held:
        for source in sources:
            file = held.enter_context(History(cache, source.uri, source.suite).opened(".recorder"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as e:
                file.seek(0)
                raise SurroundingsError(
                    f"process {file.read().strip() or '?'} records it already",
                    where=f"{source.uri} {source.suite}",
                    hint="one of them is enough",
                ) from e
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        yield


def follow(
    sources: Sequence[Source],
    report: Callable[[Poll], None],
    *,
    keyring: Path,
    cache: Path,
    interval_s: float = INTERVAL_S,
    once: bool = False,
    stop: Event | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> bool:
    """Poll all suites again and again, until stop is set; once: one time. Returns whether the last round was good.

    Trouble is reported and does not end it. Raises SurroundingsError if somebody else records one of them.
    """
    wanted = merged(sources)
    stop = stop or Event()
    with recording(wanted, cache), ThreadPoolExecutor(JOBS) as pool:
        while True:
            now = clock().replace(microsecond=0)
            ask = partial(poll, keyring=keyring, cache=cache, now=now, interval_s=interval_s)
            polls = list(pool.map(ask, wanted))
            for one in polls:
                report(one)
            if once or stop.wait(interval_s):
                return all(one.error is None for one in polls)
