"""A snapshot service on the loopback interface: keeps states of an archive, redirects an instant to the last one."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path


class SnapshotService:
    """pattern: what a configuration names it by."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self.pattern = address + "/archive/{stamp}/"
        self.asked: list[str] = []

    def take(self, archive: Path, at: datetime) -> None:
        """Keep what the archive has, as its state from then on."""
        shutil.copytree(archive, self._folder / f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}")

    def state(self, stamp: str) -> str | None:
        return max((path.name for path in self._folder.iterdir() if path.name <= stamp), default=None)


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: SnapshotService

    def do_GET(self) -> None:
        self.service.asked.append(self.path)
        _, archive, stamp, rest = self.path.split("/", 3)
        state = self.service.state(stamp)
        if state == stamp:
            self.path = f"/{stamp}/{rest}"
            return super().do_GET()
        self.send_response(404 if state is None else 302)
        if state is not None:
            self.send_header("Location", f"/{archive}/{state}/{rest}")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def running(folder: Path) -> Iterator[SnapshotService]:
    """A service with its states in a folder, for the length of the block."""
    folder.mkdir()
    handler = type("Handler", (_Handler,), {})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=os.fspath(folder))
    ) as server:
        server.daemon_threads = True
        service = SnapshotService(folder, f"http://127.0.0.1:{server.server_address[1]}")
        handler.service = service  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
