"""The tool root of a build: what it is made of is pinned like an image's packages, and it is made again from the lock.

One that is stored is taken as long as its packages are those apt chooses from the pinned archive: a newer state of the
archive with the same packages makes no new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from image_builder.apt.fetch import prefetch
from image_builder.apt.handover import hand_over
from image_builder.apt.lists import lists_folder
from image_builder.apt.solution import Package, Solution
from image_builder.apt.solve import Context, in_root, solve_base
from image_builder.architectures import native_architecture
from image_builder.build.archive import lock_that_stays
from image_builder.build.progress import Progress
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError, PipelineError
from image_builder.layers import Layer, Store
from image_builder.live_build import tool_root
from image_builder.live_build.tool_root import ToolRoot
from image_builder.lock import ArchivePin, Lock
from image_builder.run import run
from proxy.archive import services, stamp
from proxy.archive.freeze import blobs, thaw
from proxy.archive.resolve import resolve
from proxy.archive.sources import DEBIAN_KEYRING, Source
from proxy.store.upkeep import in_use


def tools_for(store: Store, config: BuildConfig, lock_path: Path, progress: Progress, *, update: bool) -> ToolRoot:
    """The tool root of this lock; for a lock that is to be made, that of the instant asked for. Made if need be.

    Its pins are empty when nobody knows what a stored one was made of. Raises PipelineError when what the lock names
    cannot be had any more, SurroundingsError, ConfigError.
    """
    kept, _ = lock_that_stays(config, lock_path, update=update)
    if kept is not None and not kept.archives:
        kept = None  # of snaps alone: one is to be made
    stored, maker = tool_root.stored(store, config), Maker(store, config, progress)
    if kept is not None and kept.tool_archives:
        made = maker.of(kept.tool_archives)
        if (digest := kept.tools.get("tool-root")) not in (None, made.digest):
            progress.say(f"warning: the lock was made with another tool root, {str(digest)[:12]}: of other packages")
        return made
    if kept is not None and stored is not None:
        return stored  # of a lock from before tool roots were pinned
    try:
        pins = maker.resolved(kept)
    except PipelineError as e:
        if stored is None:
            raise
        progress.say(f"warning: the tool root is not pinned: {e}")
        return stored
    if kept is not None:
        progress.say("warning: the lock names no tool root: today's is used; --update writes it down")
    return maker.of(pins)


class Maker:
    """Knows what a tool root is made of, and makes it."""

    def __init__(self, store: Store, config: BuildConfig, progress: Progress) -> None:
        self._store, self._config, self._progress = store, config, progress
        self.cache = store.downloads()
        self.keyring = _keyring(store, config)
        self.source = Source(
            config.tool_mirror.rstrip("/"), config.tool_suite, ("main",), (native_architecture(),), (self.keyring,)
        )

    def resolved(self, kept: Lock | None) -> tuple[ArchivePin, ...]:
        """The pin of the tool suite at the instant that is asked for. Nothing but its InRelease is fetched."""
        now = datetime.now(UTC)
        asked = stamp.agreed(self._config.snapshot.split(), now=now, where="snapshot")
        (found,) = resolve(
            [self.source],
            asked or stamp.Stamp(now, is_now=True),
            keyring=self.keyring,
            cache=self.cache,
            now=now,
            configured=[services.parse(text) for text in self._config.snapshot_services],
            pins=kept.archives if kept is not None else (),
            allow_expired=not self._config.check_valid_until,
        )
        if found.pin is None:
            raise found.refusal()
        return (found.pin,)

    def of(self, pins: Sequence[ArchivePin]) -> ToolRoot:
        """The tool root of these packages: a stored one that has just them, else one made now from the store."""
        question = hashlib.sha256(
            json.dumps([tool_root.recipe_key(self._config), *(pin.inrelease_sha256 for pin in pins)]).encode()
        ).hexdigest()
        known = self._store.recall("tool-root", question)
        layer = self._store.get(str(known)) if known else None
        if layer is None:
            with in_use(blobs(self.cache)):
                layer = self._found_or_made(pins)
            self._store.remember("tool-root", question, layer.key)
        return tool_root.opened(layer)._replace(pins=tuple(pins))

    def solution(self, pins: Sequence[ArchivePin]) -> Solution:
        """All packages of the tool root of these pins, as apt chooses them."""
        frozen = thaw(pins, [self.source], keyring=self.keyring, cache=self.cache)
        names = tool_root.packages(self._config)
        pinned = [pin.inrelease_sha256 for pin in pins]
        question = hashlib.sha256(json.dumps(["tools", self.source.line(), *pinned, *names]).encode()).hexdigest()
        stored = self._store.recall("solution", question)
        if stored is not None:
            return Solution.from_json(stored)
        context = Context(
            run_in_root=in_root(Path("/")),  # the apt that mmdebstrap will call
            sources=(self.source,),
            lists=lists_folder(frozen, cache=self.cache),
            cache=self.cache,
            architecture=native_architecture(),
        )
        found = solve_base(context, self.source.suite, include=names, merged_usr=False, required=False)
        self._store.remember("solution", question, found.to_json())
        return found

    def addresses(self, pins: Sequence[ArchivePin], uri: str) -> list[str]:
        """Where a package can be had: as the index has it, then as it was at the instant of the pin."""
        path = uri.removeprefix(self.source.uri + "/")
        return list(dict.fromkeys([uri, *(pin.service + path for pin in pins if pin.service and path != uri)]))

    def _found_or_made(self, pins: Sequence[ArchivePin]) -> Layer:
        key = tool_root.recipe_key(self._config)
        pinned = [pin.inrelease_sha256 for pin in pins]
        first = self._store.get(key)
        if first is not None and first.meta.get("inrelease") == pinned:
            return first
        solution = self.solution(pins)
        if first is not None:
            if _installed(first.diff) == {(p.name, p.version) for p in solution.packages}:
                return first
            # The place of the first one is taken; others have theirs by what they are made of.
            key = hashlib.sha256(json.dumps([key, solution.digest]).encode()).hexdigest()
            if (other := self._store.get(key)) is not None:
                return other
        self._progress.say("making the tool root: half a minute, once for these packages")
        layer = self._make(key, pins, solution)
        self._progress.say(f"tool root made, live-build {layer.meta['live_build']}")
        return layer

    def _make(self, key: str, pins: Sequence[ArchivePin], solution: Solution) -> Layer:
        packages: tuple[Package, ...] = solution.packages
        kept = blobs(self.cache)
        prefetch(packages, kept, addresses=lambda uri: self.addresses(pins, uri))
        lists = lists_folder(thaw(pins, [self.source], keyring=self.keyring, cache=self.cache), cache=self.cache)

        def fill(root: Path) -> None:
            hand_over(lists, packages, kept, root)

        return tool_root.make(
            self._store, self._config, key=key, fill=fill, keyring=self.keyring,
            meta={"inrelease": [pin.inrelease_sha256 for pin in pins]}, log=self._store.root / "tool-root.log",
        )  # fmt: skip


def _keyring(store: Store, config: BuildConfig) -> Path:
    """Keys of the archive the tools are from: the configured ones, if it is the images' archive; else Debian's."""
    if config.keyring is not None and config.tool_mirror == config.mirror:
        return config.keyring
    stored = tool_root.stored(store, config)
    for root in ([stored.path] if stored is not None else []) + [Path("/")]:
        if (keyring := root / str(DEBIAN_KEYRING).lstrip("/")).exists():
            return keyring
    raise ConfigError(
        "is not there, and the tool root's archive is signed with its keys",
        where=DEBIAN_KEYRING,
        hint="apt-get install debian-archive-keyring",
    )


def _installed(root: Path) -> set[tuple[str, str]]:
    said = run(["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f", "${Package}\t${Version}\n"])
    return {(name, version) for name, _, version in (line.partition("\t") for line in said.splitlines())}
