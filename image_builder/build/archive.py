"""The archive as this build sees it: its sources, the lock that pins them, the packages fetched beforehand."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from image_builder import distributions
from image_builder.apt.fetch import prefetch
from image_builder.apt.lists import check_written, list_name, lists_folder
from image_builder.apt.local import with_local_packages
from image_builder.apt.solution import Package, Solution
from image_builder.apt.solve import Context, in_root
from image_builder.build.ppas import Ppa
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError
from image_builder.layers import Store
from image_builder.live_build.recipe import Work
from image_builder.live_build.tool_root import ToolRoot
from image_builder.lock import ArchivePin, Lock
from proxy.archive import services, stamp
from proxy.archive.assemble import assemble
from proxy.archive.freeze import FrozenSuite, freeze, thaw
from proxy.archive.freeze import blobs as cached_indices
from proxy.archive.sources import Source, parse
from proxy.blobs import Blobs
from proxy.store.upkeep import Pruned, in_use, prune

log = logging.getLogger(__name__)
LOCK_NAME = "image-builder.lock"


def sources(config: BuildConfig, config_dir: Path, keyring: Path) -> list[Source]:
    """Every suite the build takes packages from: the distribution's, and those of config/archives."""
    theirs = distributions.BY_NAME[config.distribution]
    pockets = theirs.pockets(config.suite, updates=config.updates, security=config.security, proposed=config.proposed)
    found = [
        Source(
            (config.security_mirror if is_security else config.mirror).rstrip("/"), suite, config.archive_areas,
            (config.architecture,), (keyring,),
        )
        for suite, is_security in pockets
    ]  # fmt: skip
    folder = config_dir / "archives"
    keys = sorted(p for p in folder.glob("*") if p.name.endswith((".key", ".key.chroot")))
    for path in sorted(folder.glob("*")):
        if path.name.endswith((".list", ".list.chroot")):
            text = path.read_text().replace("@DISTRIBUTION@", config.suite)
            known = {(source.uri, source.suite, source.components) for source in found}
            more = parse(text, where=path, architecture=config.architecture, keyrings=(*keys, keyring))
            found += [source for source in more if (source.uri, source.suite, source.components) not in known]
    return found


def _readable(path: Path) -> Lock | None:
    """The lock that is about to be replaced, unless it is damaged: then nothing of it is kept."""
    try:
        return Lock.read(path)
    except ConfigError:
        return None


def lock_that_stays(config: BuildConfig, path: Path, *, update: bool) -> tuple[Lock | None, stamp.Stamp | None]:
    """The lock, unless another one was asked for by --update or by an instant it was not made for; and that instant.

    Raises ConfigError for a lock that cannot be read, and for an instant that is none.
    """
    wanted = stamp.agreed(config.snapshot.split(), now=datetime.now(UTC), where="snapshot")
    lock = None if update else Lock.read(path)
    stays = lock is not None and (wanted is None or (not wanted.is_now and lock.covers(wanted.at)))
    return (lock if stays else None), wanted


class Archive:
    """What the pipeline knows of the archive. Nothing is fetched before it is needed."""

    def __init__(
        self, store: Store, config: BuildConfig, config_dir: Path, tools: ToolRoot, ppas: Sequence[Ppa] = ()
    ) -> None:
        """config_dir: the project's config/, with what was added to it, also for ppas."""
        self._config, self.tools = config, tools
        # Bytes from the lock's suites are checked with the distribution's keys as the tool root has them.
        theirs = distributions.BY_NAME[config.distribution].keyring
        self.keyring = config.keyring or tools.path / str(theirs).lstrip("/")
        self.sources = sources(config, config_dir, self.keyring)
        self.cache = store.downloads()
        self.blobs: Blobs = cached_indices(self.cache)
        self._use = store.until_closed(in_use(self.blobs))
        self.config_dir, self.ppas = config_dir, ppas
        self._unpacking = threading.Lock()
        self.lock: Lock | None = None

    # -- the lock

    def pinned(self, path: Path, *, update: bool) -> tuple[Lock, bool]:
        """The lock of the project, or a new one: (lock, was it made now). A new one is not written yet.

        The instant that is asked for decides: a lock that was made for another one is replaced. Raises ConfigError
        for a lock that does not pin all the build needs.
        """
        before, wanted = lock_that_stays(self._config, path, update=update)
        if before is not None:
            asked = [(s.uri, s.suite, s.components, s.architectures) for s in self.sources]
            missing = before.missing(asked)
            if missing and wanted is None and before.archives:  # `snap-tool lock` makes one with snaps alone
                raise ConfigError("\n".join(missing), where=path, hint="make a new lock with --update")
            if not missing:
                self.lock = before
                return before, False
        now, before = datetime.now(UTC), _readable(path) if update else Lock.read(path)
        pins = freeze(
            self.sources,
            keyring=self.keyring,
            cache=self.cache,
            now=now,
            allow_expired=not self._config.check_valid_until,
            stamp=wanted,
            services=[services.parse(text) for text in self._config.snapshot_services],
            pins=before.archives if before is not None else (),
        )
        tools = {"live-build": self.tools.live_build, "tool-root": self.tools.digest}
        made = Lock(created=now, archives=tuple(pins), tools=tools, tool_archives=self.tools.pins)
        if before is not None:  # snaps have an update of their own
            made = made.model_copy(update={"snaps": before.snaps, "snap_assertions": before.snap_assertions})
        self.lock = made
        return made, True

    def addresses(self, uri: str) -> list[str]:
        """Where a file of these archives can be had: as the index has it, then as it was at the lock's instant."""
        assert self.lock is not None
        found = [
            pin.service + uri.removeprefix(pin.uri + "/")
            for pin in self.lock.archives
            if pin.service and uri.startswith(pin.uri + "/")
        ]
        return list(dict.fromkeys([uri, *found]))

    # -- what steps need of it

    @property
    def release_files(self) -> dict[str, str]:
        """Name in /var/lib/apt/lists -> SHA-256, of every pinned InRelease."""
        assert self.lock is not None
        wanted = {(s.uri, s.suite) for s in self.sources}
        return {list_name(p.address): p.inrelease_sha256 for p in self.lock.archives if (p.uri, p.suite) in wanted}

    @cached_property
    def _frozen(self) -> list[FrozenSuite]:
        assert self.lock is not None
        return thaw(self.lock.archives, self.sources, keyring=self.keyring, cache=self.cache)

    def pinned_sources(self) -> list[tuple[Source, ArchivePin]]:
        """Every source of the build with its pin."""
        return [(suite.source, suite.pin) for suite in self._frozen]

    def frozen_set(self) -> Path:
        """The file from which the proxy knows what there is; made if it is not there yet."""
        assert self.lock is not None
        with self._unpacking:
            pinned = self.pinned_sources()  # so that every InRelease is in the cache
        path = assemble(self.lock.archives, [s for s, _ in pinned], keyring=self.keyring, cache=self.cache)
        self._use.of(path)
        return path

    def check_written(self, lists: Path) -> list[str]:
        """How what a step's apt has written into its lists differs from the lock, in words."""
        with self._unpacking:
            frozen = self._frozen
        return check_written(lists, frozen)

    def trim(self) -> Pruned | None:
        """Keep the content store within its limit: what no build used for longest goes. None: nothing had to go."""
        if (limit := self._config.snapshot_store_bytes) is None:
            return None
        self.frozen_set()  # else nobody knows that other files are not ours
        gone = prune(self.blobs, limit)
        return gone if gone.removed else None

    @property
    def lists(self) -> Path:
        """apt's lists as they were frozen, unpacked when first asked for; safe in threads."""
        with self._unpacking:
            return self._lists

    @cached_property
    def _lists(self) -> Path:
        return lists_folder(self._frozen, cache=self.cache)

    def context(self) -> Context:
        """What apt is asked with; only when no earlier build was told the answer."""
        apt = self.config_dir
        preferences = {
            path.name.removesuffix(".chroot"): path.read_text()
            for folder, pattern in (
                (apt / "archives", "*.pref*"),
                (apt / "apt", "*.pref"),
                (apt / "apt", "preferences"),
            )
            for path in sorted(folder.glob(pattern))
            if not path.name.endswith(".binary")
        }
        context = Context(
            run_in_root=in_root(self.tools.path),
            sources=tuple(self.sources),
            lists=self.lists,
            cache=self.cache,
            architecture=self._config.architecture,
            preferences=preferences,
        )
        return with_local_packages(context, apt / "packages.chroot")


class Packages:
    """Fetches packages ahead of the steps that install them; a step waits only for its own."""

    def __init__(self, blobs: Blobs, addresses: Callable[[str], list[str]]) -> None:
        """addresses: from a package's address to all those it may be had at, best first."""
        self._blobs, self._addresses = blobs, addresses
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="fetch")  # one after the other: the first step's first
        self._coming: dict[str, Future[int]] = {}
        self._lock = threading.Lock()

    def want(self, solution: Solution) -> Future[int]:
        """Begin to fetch what a solution adds, after all that was wanted before."""
        with self._lock:
            if solution.digest not in self._coming:
                packages: tuple[Package, ...] = solution.packages
                self._coming[solution.digest] = self._pool.submit(
                    prefetch, packages, self._blobs, addresses=self._addresses
                )
            return self._coming[solution.digest]

    def ready(self, work: Work) -> None:
        """Wait until what a step installs is there. Raises what went wrong while it was fetched."""
        if isinstance(work.solution, Solution):
            self.want(work.solution).result()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
