"""A stand-in for the proxy in a network namespace, and programs run there as a step would."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from image_builder.run import run
from proxy.network.entering import inside
from proxy.network.selftest import HEADER


@dataclass
class StandIn:
    """Answers like the proxy, from a mapping of "host/path" to bytes. asked: what came, in order."""

    port: int
    files: Mapping[str, bytes]
    header: str = HEADER
    asked: list[str] = field(default_factory=list)


@contextmanager
def stand_in(namespace: Path, files: Mapping[str, bytes] = {}, *, header: str = HEADER) -> Iterator[StandIn]:
    """It listens in the namespace until the block ends."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = f"{self.headers['Host']}{self.path}"
            found.asked.append(name)
            own = self.headers["Host"] == "snapshot-proxy.invalid"
            data = b"snapshot-proxy\n" if own else files.get(name, b"not allowed\n")
            self.send_response(200 if own or name in files else 403)
            self.send_header(header, "0 -")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with inside(namespace):
        listening = socket.create_server(("127.0.0.1", 0))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    found = StandIn(listening.getsockname()[1], files, header)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run_inside(namespace: Path, *argv: str, timeout_s: float = 120) -> str:
    """What a program prints there. Raises CommandError when it fails."""
    return run(["nsenter", f"--net={namespace}", *argv], timeout_s=timeout_s)
