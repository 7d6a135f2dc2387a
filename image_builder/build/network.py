"""The network of a build: a namespace whose only way out is the snapshot proxy, made once for all its steps."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from image_builder.build.progress import Progress, human
from image_builder.build.record import NetworkRecord
from image_builder.errors import SurroundingsError
from image_builder.lock import ArchivePin
from image_builder.sandbox import Bind
from image_builder.sandbox.network import network_namespace
from image_builder.scratch import scratch
from proxy import process
from proxy.archive.sources import Source
from proxy.blobs import Blobs
from proxy.journal import Counters
from proxy.network.files import CA_BUNDLE, hosts, resolv_conf, trusting
from proxy.network.gate import Gate
from proxy.network.rules import ports_of
from proxy.network.selftest import Known, check_namespace

UNPINNED = "NOT PINNED: with --no-snapshot the steps reach the live network, so what hooks fetch is nobody's record"
SHOWN = 5  # of what was refused, in one warning


@dataclass(frozen=True)
class View:
    """What a step sees of the network. ca: certificate (PEM) to be trusted in its root; empty: none."""

    handle: Path | Literal["host"] = "host"
    binds: tuple[Bind, ...] = ()
    ca: bytes = b""
    https: bool = False  # some source is read by HTTPS, so the root has to trust the CA even without certificates


class Pinned(Protocol):
    """The archives whose proxy it is."""

    @property
    def sources(self) -> Sequence[Source]: ...

    @property
    def cache(self) -> Path: ...

    @property
    def blobs(self) -> Blobs: ...

    def frozen_set(self) -> Path: ...

    def pinned_sources(self) -> list[tuple[Source, ArchivePin]]: ...


class Network(Protocol):
    """Entered for the length of a build."""

    def view(self) -> View:
        """What the next step sees; waits until it is there. Raises what went wrong."""

    def check(self) -> None:
        """Raise SurroundingsError when the way out is gone: always the same one."""

    def record(self) -> NetworkRecord | None:
        """What went through it, after the last step; None when there was none."""

    def warnings(self) -> list[str]: ...


@dataclass(frozen=True)
class OpenNetwork:
    """The host's network, as it is."""

    used: bool  # False: there is no step to run

    def view(self) -> View:
        return View()

    def check(self) -> None:
        pass

    def record(self) -> NetworkRecord | None:
        return NetworkRecord(pinned=False) if self.used else None

    def warnings(self) -> list[str]:
        return [UNPINNED] if self.used else []


@contextmanager
def network_for(
    archive: Pinned, folder: Path, progress: Progress, cancel: threading.Event, *, pinned: bool, used: bool
) -> Iterator[Network]:
    """The network of one build. pinned: False for --no-snapshot. used: is any step run at all?"""
    if not used or not pinned:
        yield OpenNetwork(used)
        return
    with PinnedNetwork(archive, folder, progress, cancel) as network:
        yield network


class PinnedNetwork:
    """A namespace, and a proxy that listens in it. The proxy is started beside the first step's preparations."""

    def __init__(self, archive: Pinned, folder: Path, progress: Progress, cancel: threading.Event) -> None:
        """folder: for the journal. cancel: set when the proxy dies, since every step that
        goes on would only fail later."""
        self._archive, self._folder, self._progress, self._cancel = archive, folder, progress, cancel
        self._stack = ExitStack()
        self._running: process.Running | None = None
        self._lost: SurroundingsError | None = None
        self._losing = threading.Lock()
        self._record: NetworkRecord | None = None

    def __enter__(self) -> PinnedNetwork:
        try:
            self._folder.mkdir(parents=True)
            self._seen = self._stack.enter_context(scratch(self._archive.cache))
            self._namespace = self._stack.enter_context(network_namespace())
            ports = ports_of(source.uri for source in self._archive.sources)
            self._gate = self._stack.enter_context(Gate(self._namespace, ports))
            # One thread, kept to the end: it is the proxy's parent.
            pool = self._stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="proxy"))
            self._view: Future[View] = pool.submit(self._start)
            self._stack.callback(self._stop)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def view(self) -> View:
        return self._view.result()

    def check(self) -> None:
        with self._losing:
            if self._lost is None and self._running is not None and self._record is None:
                try:
                    self._running.check()
                except SurroundingsError as e:
                    self._lost = SurroundingsError(
                        f"the snapshot proxy is gone, so the build stops: {e.what}",
                        where=self._folder / "requests.log",
                        hint="nothing came in past it; the same command goes on from the last finished layer",
                    )
        if self._lost is not None:
            raise self._lost

    def record(self) -> NetworkRecord:
        if self._record is None:
            self._record = self._ended()
        return self._record

    def warnings(self) -> list[str]:
        return tried_in_vain(self.record())

    def _start(self) -> View:
        archive = self._archive
        running = process.start(
            archive.frozen_set(), archive.blobs.folder, self._folder, listen=["127.0.0.1:0"],
            in_namespace=self._namespace,
        )  # fmt: skip
        self._running = running
        self._progress.counters = lambda: counted(running.counters())
        threading.Thread(target=self._watch, args=(running,), name="proxy watch", daemon=True).start()
        self._gate.open(running.port)
        check_namespace(self._namespace, known_file(archive))
        self._gate.forget()
        ca = running.ca.read_bytes()
        return View(self._namespace, tuple(self._binds(ca)), ca, self._https())

    def _https(self) -> bool:
        return any(urlsplit(source.uri).scheme == "https" for source in self._archive.sources)

    def _binds(self, ca: bytes) -> list[Bind]:
        """What the tool root, where live-build runs, sees in place of the host's files."""
        host = b""
        with suppress(OSError):
            host = Path("/", CA_BUNDLE).read_bytes()
        texts = {
            "/etc/resolv.conf": resolv_conf().encode(),
            "/etc/hosts": hosts("localhost").encode(),
            f"/{CA_BUNDLE}": trusting(host, ca),
        }
        binds = []
        for target, text in texts.items():
            path = self._seen / Path(target).name
            path.write_bytes(text)
            binds.append(Bind(path, target, read_only=True))
        return binds

    def _watch(self, running: process.Running) -> None:
        running.died.wait()
        if gone(self) is not None:
            self._cancel.set()

    def _stop(self) -> None:
        self.record()
        self._progress.counters = None
        if self._running is not None:
            self._progress.say(counted(self._running.counters()))

    def _ended(self) -> NetworkRecord:
        self._view.exception()  # that it never came up, view() tells
        if self._running is None:
            return NetworkRecord(pinned=True)
        said: Mapping[str, Any] = self._running.stop()
        known = {name: said[name] for name in NetworkRecord.model_fields if name in said}
        try:
            blocked = {str(refused): refused.packets for refused in self._gate.refused()}
        except SurroundingsError:  # it gained nothing by that: without rules everything is refused
            blocked = {"unknown: a step has removed the rules of its network": 1}
        names = {f"{q.name} {q.type}": count for q, count in sorted(self._gate.names.asked.items())}
        return NetworkRecord(pinned=True, **known, blocked=blocked, names=names)


def known_file(archive: Pinned) -> Known | None:
    """What the self-test asks for; None where all sources are read by HTTPS."""
    for source, pin in archive.pinned_sources():
        if urlsplit(source.uri).scheme == "http":
            return Known(f"{source.top}InRelease", pin.inrelease_sha256)
    return None


def tried_in_vain(record: NetworkRecord) -> list[str]:
    """What steps wanted and did not get, as warnings: no failure by itself, but somebody asked for it."""
    found = []
    for what, tried in (
        ("the proxy refused", [f"{url} ({reason})" for url, reason in record.refusals.items()]),
        ("no way out for", [f"{name}, {count} packets" for name, count in record.blocked.items()]),
    ):
        if tried:
            more = f"; and {len(tried) - SHOWN} more" if len(tried) > SHOWN else ""
            found.append(f"{what} {'; '.join(tried[:SHOWN])}{more}")
    return found


def counted(counters: Counters) -> str:
    """One line for who watches: "proxy: 12 requests, 3.4 MB; 10 from the store, 1 refused"."""
    return (
        f"proxy: {counters.requests} requests, {human(counters.sent_bytes)}; {counters.from_store} from the store,"
        f" {counters.refused} refused"
    )


def gone(network: Network) -> SurroundingsError | None:
    """Why the way out is gone; None while it is there."""
    try:
        network.check()
    except SurroundingsError as e:
        return e
    return None
