"""A server between a client and another one, on which single requests fail, wait, or are cut off."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Fault = Callable[[int, str, str], str]  # number of the request from 0, method, path -> what becomes of it


@contextmanager
def faulty_wire(target: str, fault: Fault) -> Iterator[str]:
    """An address that leads to the target's.

    fault says for each request: "" passes; "503" is answered so; "cut" reaches the target, and its answer is lost;
    "reset" reaches nobody; "wait 1.5" passes after so many seconds; "hang" is never answered.
    """
    counter = iter(range(1 << 30))
    lock = threading.Lock()
    ended = threading.Event()

    class Wire(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            with lock:
                number = next(counter)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.close_connection = True  # one connection, one request
            what = fault(number, self.command, self.path)
            if what == "reset":
                return
            if what == "hang":
                ended.wait(60)
                return
            if what == "503":
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.send_header("Connection", "close")
                self.end_headers()
                return
            if what.startswith("wait "):
                time.sleep(float(what.removeprefix("wait ")))
            where = urlsplit(target)
            asked = http.client.HTTPConnection(where.hostname or "", where.port)
            try:
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("expect", "connection")}
                asked.request(self.command, self.path, body, headers)
                answer = asked.getresponse()
                data = answer.read()
            finally:
                asked.close()
            if what == "cut":
                return
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.headers.get("Content-Length") or str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Wire) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            ended.set()
            server.shutdown()
            thread.join()
