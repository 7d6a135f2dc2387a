"""An origin that counts what it is asked, answers Range, and can be slow, cut answers short or lie."""

from __future__ import annotations

import http.server
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Origin:
    """files: path -> content. What was asked is in counts and ranges."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.counts: Counter[str] = Counter()
        self.ranges: list[tuple[str, str]] = []
        self.sent_bytes = 0
        self.piece_bytes = 1 << 16
        self.pause_s = 0.0  # between two pieces
        self.cut: dict[str, int] = {}  # path -> bytes after which the next answer ends
        self.address = ""
        self.lock = threading.Lock()


@contextmanager
def origin(files: dict[str, bytes]) -> Iterator[Origin]:
    """The files on a loopback socket for the length of the block."""
    made = Origin(files)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            data = made.files.get(self.path)
            with made.lock:
                made.counts[self.path] += 1
            if data is None:
                self.send_error(404)
                return
            start = 0
            if wanted := self.headers.get("Range"):
                with made.lock:
                    made.ranges.append((self.path, wanted))
                start = int(wanted.removeprefix("bytes=").partition("-")[0])
                if start >= len(data):
                    self.send_response(416)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            end = made.cut.pop(self.path, len(data))
            self.close_connection = end < len(data)
            try:
                for at in range(start, end, made.piece_bytes):
                    piece = data[at : min(at + made.piece_bytes, end)]
                    self.wfile.write(piece)
                    self.wfile.flush()
                    made.sent_bytes += len(piece)
                    if made.pause_s:
                        time.sleep(made.pause_s)
            except OSError:  # the client has gone
                self.close_connection = True

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        made.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
