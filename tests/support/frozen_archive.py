"""A local archive, frozen, and a server of it inside the test's own process: everything of the proxy but mitmproxy."""

from __future__ import annotations

import hashlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path

import local_archive

from proxy.archive.assemble import assemble
from proxy.archive.freeze import freeze
from proxy.archive.frozen import Entry, FrozenSet, Refusal
from proxy.archive.sources import Source
from proxy.blobs import Blobs
from proxy.journal import Journal, Line, parse_line
from proxy.serving.fetches import Fetches
from proxy.serving.namespace import listening
from proxy.serving.server import Service, listen
from proxy.serving.stored import Stored

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Frozen:
    """path: of the frozen set. cache: the store's parent."""

    path: Path
    cache: Path
    uri: str

    @property
    def store(self) -> Blobs:
        return Blobs(self.cache / "sha256")


def frozen_archive(
    uri: str,
    key: local_archive.Key,
    cache: Path,
    *,
    services: Mapping[str, Sequence[str]] = {},
    known_as: str = "",
) -> Frozen:
    """Freeze suite "stable" of the archive at this address. known_as: another address the lock has for it."""
    source = Source(uri=uri, suite="stable", components=("main",), architectures=("amd64",))
    pins = freeze([source], keyring=key.keyring, cache=cache, now=NOW)
    if known_as:
        source = replace(source, uri=known_as)
        pins = [pin.model_copy(update={"uri": known_as, "from_": f"{known_as}/dists/stable/InRelease"}) for pin in pins]
    path = assemble(pins, [source], keyring=key.keyring, cache=cache, stamp="20260301T120000Z", services=services)
    return Frozen(path, cache, known_as or uri)


@dataclass
class Serving:
    """A server of a frozen archive. port: where it listens."""

    port: int
    journal: Path
    service: Service

    def lines(self, count: int = 1) -> list[Line]:
        """The journal, once it has as many lines: one is written when its answer is out."""
        until = time.monotonic() + 60
        while True:
            found = [parse_line(text) for text in self.journal.read_text().splitlines(keepends=True)]
            lines = [line for line in found if line is not None]
            if len(lines) >= count or time.monotonic() > until:
                return lines
            time.sleep(0.01)

    def get(self, url: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Ask as a client of an http_proxy does: status, body, headers. Raises HTTPException, OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, url, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.headers)
        finally:
            connection.close()

    def raw(self, data: bytes, timeout_s: float = 10.0) -> bytes:
        """Send these bytes and end; all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout_s) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))


@contextmanager
def serving(frozen: Frozen, journal: Path, *, offline: bool = False, store: Blobs | None = None) -> Iterator[Serving]:
    """Serve it for the length of the block; every request is answered here, as if it had come through mitmproxy."""
    store = store or frozen.store
    stored = Stored(store)
    fetches = Fetches(store, offline=offline, kept=stored.trust)
    known = FrozenSet(frozen.path, frozen.cache, fetches.bring)

    def lookup(host: str, path: str, scheme: str, port: int) -> Entry | Refusal:
        return known.lookup(host, path, scheme=scheme, port=port)

    log = Journal(journal)
    service = Service(known.stamp, lookup, fetches, stored, log)
    door = listening(["127.0.0.1:0"])[0]
    port = door.getsockname()[1]
    thread = threading.Thread(target=listen, args=(service, door, None), daemon=True)
    thread.start()
    try:
        yield Serving(port, journal, service)
    finally:
        door.shutdown(socket.SHUT_RDWR)
        door.close()
        thread.join(5)
        fetches.close()
        known.close()
        log.close()


def ask_alone(frozen: Frozen, journal: Path, go: Event, url: str, sha256: str) -> None:
    """A build in a process of its own: serves itself, and asks when it is told to."""
    with serving(frozen, journal) as proxy:
        go.wait(10)
        status, body, _ = proxy.get(url)
        assert (status, hashlib.sha256(body).hexdigest()) == (200, sha256)
