"""The snaps of a build: chosen once, kept in the lock, their files fetched ahead of the steps that seed them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from image_builder.build.progress import Progress, human
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError
from image_builder.live_build.seeding import Seeding
from image_builder.lock import Lock, SnapPin

if TYPE_CHECKING:  # loaded when there are snaps: requests and cryptography take their time
    from snaps.assertions.database import Database
    from snaps.assertions.parse import Assertion
    from snaps.assertions.trust import TrustRoot
    from snaps.download import Wanted
    from snaps.files import SnapFiles
    from snaps.model import Given
    from snaps.store.client import StoreClient
    from snaps.wishes import Wish

FOLDER = "sha3-384"  # of snap files, beside the packages


class Snaps:
    """One per build; safe in threads. Nothing is asked or fetched before it is needed."""

    def __init__(self, config: BuildConfig, project_dir: Path, downloads: Path, progress: Progress) -> None:
        self._config, self._project_dir, self._downloads = config, project_dir, downloads
        self._told = _Told(progress)
        self._now = datetime.now(UTC)
        self._proofs: tuple[str, ...] = ()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="snaps")  # which fetches several at once
        self._coming: dict[frozenset[str], Future[int]] = {}
        self._lock = threading.Lock()

    # -- what is asked for

    @cached_property
    def wishes(self) -> tuple[Wish, ...]:
        """Every snap asked for by name, each once. Raises ConfigError for what cannot be meant, or not together."""
        if not (self._config.snaps or self._config.extra_snaps):
            return ()
        from snaps.wishes import Wish, from_values, joined

        asked = [
            *from_values(list(self._config.snaps), where="snaps"),
            *from_values(list(self._config.extra_snaps), where="EXTRA_SNAPS"),
        ]
        named = {wish.name for wish in asked}
        asked += [Wish(name, where="the model") for name in self._required() if name not in named]
        return joined(asked)

    def _required(self) -> tuple[str, ...]:
        from snaps import model

        return model.read(self._model.assertion).required

    def _subsets(self) -> Mapping[str, tuple[str, ...]]:
        """target -> the snaps it takes, for those that do not take all."""
        known = {wish.name for wish in self.wishes}
        extra = [wish.name for wish in self.wishes if wish.where in ("EXTRA_SNAPS", "the model")]
        for target, names in self._config.target_snaps.items():
            if unknown := [name for name in names if name not in known]:
                raise ConfigError(
                    f"{target} takes {', '.join(unknown)}, which `snaps` does not have", where="target_snaps",
                    hint="a target takes some of the snaps of all, never others",
                )  # fmt: skip
        return {target: tuple(dict.fromkeys([*names, *extra])) for target, names in self._config.target_snaps.items()}

    # -- the lock

    def pinned(self, path: Path, made: Lock, *, update: bool) -> tuple[Lock, bool]:
        """The lock with its snaps: those of the lock that is there, else new ones: (lock, were they made now).

        made: the lock as the archive has it. Raises ConfigError for a lock that has other snaps than are asked for.
        """
        try:
            before = Lock.read(path)
        except ConfigError:
            if not update:
                raise
            before = None  # what cannot be read is made anew
        kept = {"snaps": before.snaps, "snap_assertions": before.snap_assertions} if before else {}
        if not self.wishes:
            return made.model_copy(update={} if update else kept), False
        if before is not None and before.snaps and not update:
            from snaps.lock import unmet

            if problems := unmet(self.wishes, before.snaps):
                raise ConfigError("\n".join(problems), where=path, hint="make a new lock with --update")
            return made.model_copy(update=kept), False
        return self._resolved(before, made), True

    def _resolved(self, before: Lock | None, made: Lock) -> Lock:
        """Ask the store; say what changes. The same snaps keep their part of the lock, and with it every layer."""
        from snaps.difference import difference
        from snaps.lock import resolve

        known = before.snap_assertions if before else ()
        found = resolve(
            self.wishes, self._client, self._files, trust=self._trust, now=self._now, progress=self._told,
            cohort_key=self._config.cohort_key, known=known,
        )  # fmt: skip
        for note in found.notes:
            self._told.say(note)
        lines = difference(before.snaps if before else (), found.pins)
        for line in lines:
            self._told.say(line)
        if before is not None and not lines:
            return made.model_copy(update={"snaps": before.snaps, "snap_assertions": known})
        return made.model_copy(update={"snaps": found.pins, "snap_assertions": found.assertions})

    def warnings(self, lock: Lock) -> list[str]:
        """What the user should know of the lock's snaps."""
        key = self._config.cohort_key
        other = [pin.name for pin in lock.snaps if key and pin.cohort not in (None, key)]
        return [f"COHORT_KEY is another cohort than the lock's ({', '.join(other)}): the lock counts"] if other else []

    # -- what steps need of it

    def seeding(self, lock: Lock, targets: Iterable[str]) -> Seeding:
        """Which snaps each target takes, and what is in the keys of the steps that seed them."""
        if not self.wishes:
            return Seeding()
        if unknown := sorted(set(self._config.target_snaps) - set(targets)):
            raise ConfigError(f"there is no target {unknown[0]}", where="target_snaps")
        self._proofs = lock.snap_assertions
        files = [self._path(path) for path in (self._config.snap_model, self._config.snap_trust)]
        return Seeding(
            lock.snaps,
            tuple(wish.name for wish in self.wishes),
            self._subsets(),
            lambda pins: [one.text for one in self._needed(pins)],
            tuple(hashlib.sha256(path.read_bytes()).hexdigest() if path else "" for path in files),
            apparmor_of(Path("/")),
        )

    def want(self, pins: Sequence[SnapPin]) -> Future[int]:
        """Begin to fetch the files that are not there."""
        with self._lock:
            which = frozenset(pin.sha3_384 for pin in pins)
            if which not in self._coming:
                self._coming[which] = self._pool.submit(self._have, tuple(pins))
            return self._coming[which]

    def _have(self, pins: Sequence[SnapPin]) -> int:
        from snaps.locked import have

        return have(pins, self._client, self._files, self._told)

    def write(self, pins: Sequence[SnapPin], folder: Path) -> None:
        """Write the seed of these snaps into a new folder, verified to the root; waits for their files."""
        self.want(pins).result()
        from snaps import seed

        folder.parent.mkdir(parents=True, exist_ok=True)
        snaps = [seed.SeedSnap(pin, self._files.path(pin.sha3_384)) for pin in pins]
        seed.write(folder, snaps, self._needed(pins), model=self._model, now=self._now, link=True)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    # -- made when needed

    @cached_property
    def _client(self) -> StoreClient:
        from snaps.store import settings
        from snaps.store.client import StoreClient

        config = self._config
        return StoreClient(settings.from_environment(architecture=config.architecture, store=config.snap_store))

    @cached_property
    def _files(self) -> SnapFiles:
        from snaps.files import SnapFiles

        return SnapFiles(self._downloads / FOLDER)

    @cached_property
    def _trust(self) -> TrustRoot:
        from snaps import proofs

        return proofs.trusted(self._path(self._config.snap_trust), self._now)

    @cached_property
    def _model(self) -> Given:
        from snaps import model

        return model.choose(self._path(self._config.snap_model), self._trust)

    @cached_property
    def _database(self) -> Database:
        from snaps import proofs

        return proofs.database(proofs.read(self._proofs), self._trust, self._now)

    def _needed(self, pins: Sequence[SnapPin]) -> list[Assertion]:
        from snaps import proofs

        with self._lock:  # the database is not for several threads
            return proofs.needed(self._database, pins)

    def _path(self, path: Path | None) -> Path | None:
        return None if path is None else self._project_dir / path


def apparmor_of(host: Path) -> str:
    """SHA-256 (hex) of the AppArmor features snap-preseed compiles for; "" on a host where it cannot run."""
    try:
        if (host / "sys/module/apparmor/parameters/enabled").read_text().strip() != "Y":
            return ""
    except OSError:
        return ""
    features = host / "sys/kernel/security/apparmor/features"
    found = {
        str(path.relative_to(features)): path.read_text() for path in sorted(features.rglob("*")) if path.is_file()
    }
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


class _Told:
    """Downloads, as the build's progress tells them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def begin(self, wanted: Wanted, there: int) -> None:
        on = f", going on at {human(there)}" if there else ""
        self.say(f"{wanted.name} {wanted.revision}: fetching {human(wanted.size_bytes)}{on}")

    def got(self, wanted: Wanted, there: int) -> None:
        pass

    def done(self, wanted: Wanted) -> None:
        self.say(f"{wanted.name} {wanted.revision}: fetched")

    def say(self, text: str) -> None:
        self._progress.say(f"snaps: {text}")
