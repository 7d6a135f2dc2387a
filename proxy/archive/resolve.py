"""An instant becomes InRelease files: which one was the newest of each suite, who says so, and why others do not.

Asked in this order, until one knows: the lock, what was kept here (history), the mirror, its by-hash folder, snapshot
services. The present instant is known to the mirror alone. Every answer is verified in the same way.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from image_builder.errors import PipelineError, SurroundingsError
from image_builder.lock import ArchivePin
from proxy.archive import by_hash, services
from proxy.archive.age import older_than_expected
from proxy.archive.checked import Signed, signed
from proxy.archive.history import History, Known, newest, proved
from proxy.archive.obtain import inrelease
from proxy.archive.release import judge
from proxy.archive.sources import Source, merged
from proxy.archive.stamp import CLOCK_SKEW, Stamp
from proxy.blobs import Blobs, fetch
from proxy.http import NotThereError

log = logging.getLogger(__name__)

JOBS = 6
ROUNDS = 5
MIRROR = "mirror"


@dataclass(frozen=True)
class Step:
    """One who was asked, and the reason if the answer was no."""

    provider: str  # "lock", "store", "mirror", "by-hash", or the address of a snapshot service
    said: str
    ok: bool = False
    error: PipelineError | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Resolved:
    """What became of one suite."""

    source: Source
    pin: ArchivePin | None
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()
    mirror_sha256: str = ""  # the InRelease the mirror has now, if it was asked

    @property
    def provider(self) -> str:
        return next((step.provider for step in self.steps if step.ok), "")

    def refusal(self) -> PipelineError:
        """Why there is no answer, with all reasons; a SurroundingsError if somebody could not be asked."""
        errors = [step.error for step in self.steps if step.error]
        if len(self.steps) == 1 and errors:
            return errors[0]
        kind = SurroundingsError if any(isinstance(e, SurroundingsError) for e in errors) else PipelineError
        return kind(
            "no InRelease of that instant\n" + "\n".join(f"  {step.provider}: {step.said}" for step in self.steps),
            where=f"{self.source.uri} {self.source.suite}",
            hint="name a snapshot service, or follow the suite from now on: snapshot-proxy record",
        )


def resolve(
    sources: Iterable[Source],
    stamp: Stamp,
    *,
    keyring: Path,
    cache: Path,
    now: datetime | None = None,
    configured: Sequence[services.Service] = (),
    pins: Sequence[ArchivePin] = (),
    allow_expired: bool = False,
) -> list[Resolved]:
    """The InRelease of each suite at one instant, verified and kept in the cache; several are asked for at once.

    keyring: for sources that name none. now: the clock. pins: of a lock, believed for the instants they cover.
    Refusals are results too, see Resolved.refusal(). Raises SurroundingsError where no verifier or keyring is.
    """
    wanted = merged(sources)
    context = _Context(stamp, now or datetime.now(UTC), keyring, cache, tuple(configured), tuple(pins), allow_expired)
    with ThreadPoolExecutor(JOBS) as pool:
        found = list(pool.map(lambda source: _Question(source, context).answer(), wanted))
        if stamp.is_now:
            found = _one_state(found, context, pool)
    for one in found:
        for warning in one.warnings:
            log.warning("%s %s: %s", one.source.uri, one.source.suite, warning)
        log.debug("%s %s: %s", one.source.uri, one.source.suite, one.provider or "refused")
    return found


@dataclass(frozen=True)
class _Context:
    stamp: Stamp
    now: datetime
    keyring: Path
    cache: Path
    services: tuple[services.Service, ...]
    pins: tuple[ArchivePin, ...]
    allow_expired: bool


def _one_state(found: list[Resolved], context: _Context, pool: ThreadPoolExecutor) -> list[Resolved]:
    """Suites of one archive that a mirror had at one time.

    Between two answers a mirror may be updated. If all say the same when they are asked again, there was a moment,
    after the first round and before the second, at which all of it was true.
    """
    uris = [one.source.uri for one in found if one.pin is not None]
    for _ in range(ROUNDS):
        shared = [n for n, one in enumerate(found) if one.pin and uris.count(one.source.uri) > 1]
        again = list(pool.map(lambda n: _present(found[n].source), shared))
        moved = [n for n, sha256 in zip(shared, again, strict=True) if sha256 != found[n].mirror_sha256]
        if not moved:
            return found
        for n, one in zip(moved, pool.map(lambda n: _Question(found[n].source, context).answer(), moved), strict=True):
            found[n] = one
    return [replace(one, warnings=(*one.warnings, "the mirror kept changing while it was asked")) for one in found]


def _present(source: Source) -> str:
    return hashlib.sha256(fetch(source.top + "InRelease")).hexdigest()


class _Question:
    """One suite, one instant: who was asked so far, and what is known by now."""

    def __init__(self, source: Source, context: _Context) -> None:
        self._source, self._c = source, context
        self._store = Blobs(context.cache / "sha256")
        self._history = History(context.cache, source.uri, source.suite)
        self._steps: list[Step] = []
        self._warnings: list[str] = []
        self._mirror: Signed | None = None

    def answer(self) -> Resolved:
        found = self._locked() or self._kept() or self._current() or self._before() or self._served()
        pin = None
        if found is not None:
            at = self._c.stamp.at
            known = services.bases(self._source.uri, at, self._c.services, found.release)
            pin = found.pin(at, known[0] if known else "")
            self._warnings += self._old(found)
        sha256 = self._mirror.sha256 if self._mirror else ""
        return Resolved(self._source, pin, tuple(self._steps), tuple(self._warnings), sha256)

    # -- who is asked

    def _locked(self) -> Signed | None:
        pin = next((p for p in self._c.pins if (p.uri, p.suite) == (self._source.uri, self._source.suite)), None)
        if pin is None or self._c.stamp.is_now:
            return None
        if not (pin.stamp and pin.date <= self._c.stamp.at <= pin.stamp):
            self._no("lock", f"pins {pin.date:%Y-%m-%d %H:%M:%S} UTC for another instant")
            return None
        try:
            return self._accept("lock", inrelease(pin, self._source, self._store), pin.from_)
        except PipelineError as e:
            self._no("lock", e)
            return None

    def _kept(self) -> Signed | None:
        if self._c.stamp.is_now:
            return None
        known, said = proved(self._history.known(), self._c.stamp.at)
        if known is None:
            self._no("store", said)
            return None
        return self._from_store(known)

    def _current(self) -> Signed | None:
        address = self._source.top + "InRelease"
        try:
            here = self._look(fetch(address), address)
            judge(here.release, suite=self._source.suite, now=self._c.now, allow_expired=True, where=address)
        except NotThereError as e:
            what = f"{self._source.uri} has no suite {self._source.suite} with an InRelease file ({e.what})"
            hint = "is the suite's name right? Archives with Release and Release.gpg alone are not supported"
            self._no(MIRROR, PipelineError(what, where=address, hint=hint))
            return None
        except PipelineError as e:
            self._no(MIRROR, e)
            return None
        self._mirror = here
        before = newest(self._history.known(), self._c.now + CLOCK_SKEW)
        self._store.add(here.data)
        went_back = before is not None and before.date > here.release.date
        expired = here.release.valid_until is not None and here.release.valid_until <= self._c.now
        seen = None if went_back or expired else max(self._c.now, here.release.date)
        self._history.add(Known(here.sha256, here.release.date, seen, address))
        if here.release.date > self._c.stamp.latest_date:
            self._no(MIRROR, f"has the one of {here.release.date:%Y-%m-%d %H:%M:%S} UTC by now")
            return None
        newer = newest(self._history.known(), self._c.stamp.latest_date)
        if went_back and newer and newer.date > here.release.date and (found := self._from_store(newer)):
            self._warnings.append(
                f"the mirror went back to the InRelease of {here.release.date:%Y-%m-%d %H:%M:%S} UTC; the newer one"
                f" seen before is taken (to forget it, remove {self._history.path})"
            )
            return found
        return self._accept(MIRROR, here.data, address)

    def _before(self) -> Signed | None:
        if self._mirror is None or self._c.stamp.is_now:
            return None
        try:
            for address, data in by_hash.candidates(self._source.top, self._c.stamp.at):
                found = self._accept("by-hash", data, address)
                if found is not None:
                    return self._sure(found)
            self._no("by-hash", "no InRelease so old is there any more")
        except NotThereError:
            self._no("by-hash", "the mirror shows no listing of what it had before")
        except PipelineError as e:
            self._no("by-hash", e)
        return None

    def _served(self) -> Signed | None:
        if self._c.stamp.is_now:
            return None
        release = self._mirror.release if self._mirror else None
        bases = services.bases(self._source.uri, self._c.stamp.at, self._c.services, release)
        if not bases:
            self._no("snapshot service", "none is known for this archive")
        for base in bases:
            address = replace(self._source, uri=base.rstrip("/")).top + "InRelease"
            try:
                found = self._accept(base, fetch(address), address)
            except PipelineError as e:
                self._no(base, e)
                continue
            if found is not None:
                return self._sure(found)
        return None

    # -- what becomes of an answer

    def _look(self, data: bytes, address: str) -> Signed:
        return signed(self._source, data, keyring=self._c.keyring, cache=self._c.cache, where=address)

    def _accept(self, provider: str, data: bytes, address: str) -> Signed | None:
        at, latest = self._c.stamp.at, self._c.stamp.latest_date
        try:
            found = self._look(data, address)
            judge(
                found.release,
                suite=self._source.suite,
                now=at,
                skew=latest - at,
                allow_expired=self._c.allow_expired,
                where=address,
            )
        except PipelineError as e:
            self._no(provider, e)
            return None
        self._store.add(data)
        self._steps.append(Step(provider, found.sha256, ok=True))
        return found

    def _from_store(self, known: Known) -> Signed | None:
        try:
            return self._accept("store", self._store.read(known.sha256), known.address)
        except FileNotFoundError:
            self._no("store", f"the InRelease of {known.date:%Y-%m-%d %H:%M:%S} UTC was removed from it")
        except PipelineError as e:
            self._no("store", e)
        return None

    def _sure(self, found: Signed) -> Signed:
        self._history.add(Known(found.sha256, found.release.date, self._c.stamp.at, found.address))
        return found

    def _no(self, provider: str, said: str | PipelineError) -> None:
        if isinstance(said, PipelineError):
            self._steps.append(Step(provider, said.what, error=said))
            log.debug("%s", said)
        else:
            self._steps.append(Step(provider, said))

    def _old(self, found: Signed) -> list[str]:
        said = older_than_expected(
            found.release.date,
            self._c.stamp.at,
            found.release.valid_until,
            [known.date for known in self._history.known()],
        )
        return [said] if said else []
