from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from image_builder.errors import PipelineError, SurroundingsError
from proxy import http as reader
from proxy.http import NotThereError, stream


class Server(http.server.ThreadingHTTPServer):
    """Answers by a script: path -> answers, one for each request, the last one again and again."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: dict[str, list[tuple[int, bytes, dict[str, str]]]] = {}
        self.connections = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        answers = self.server.script[self.path]
        status, body, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if int(headers.get("Content-Length", 0)) > len(body):
            self.close_connection = True  # a connection that ends too early

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()
    reader.close_idle()


def read(url: str, max_bytes: int = 1 << 20) -> bytes:
    chunks: list[bytes] = []
    stream(url, chunks.append, chunks.clear, max_bytes=max_bytes)
    return b"".join(chunks)


def test_files_come_over_one_connection(server: Server) -> None:
    server.script["/a"] = [(200, b"x" * 1_000_000, {})]
    assert [len(read(f"{server.url}/a")) for _ in range(20)] == [1_000_000] * 20
    assert server.connections == 1


def test_a_connection_the_server_closed_meanwhile_is_opened_anew(server: Server) -> None:
    server.script["/a"] = [(200, b"one", {"Connection": "close"}), (200, b"two", {})]
    assert read(f"{server.url}/a") + read(f"{server.url}/a") == b"onetwo"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param((503, b"busy", {}), id="server busy"),
        pytest.param((200, b"half", {"Content-Length": "8"}), id="connection lost in the middle"),
    ],
)
def test_trouble_that_passes_is_tried_again(first: tuple[int, bytes, dict[str, str]], server: Server) -> None:
    server.script["/a"] = [first, (200, b"the whole", {})]
    assert read(f"{server.url}/a") == b"the whole"


def test_trouble_that_stays_names_the_host(server: Server) -> None:
    server.script["/a"] = [(500, b"", {})]
    with pytest.raises(SurroundingsError, match=r"is 127\.0\.0\.1 reachable") as caught:
        read(f"{server.url}/a")
    assert caught.value.exit_status == 3


def test_nobody_listening() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with pytest.raises(SurroundingsError, match="refused"):
        read(f"http://127.0.0.1:{port}/a")


@pytest.mark.parametrize("status", [403, 404, 410])
def test_no_such_file_is_not_tried_again(status: int, server: Server) -> None:
    server.script["/a"] = [(status, b"no", {}), (200, b"yes", {})]
    with pytest.raises(NotThereError, match=str(status)):
        read(f"{server.url}/a")


def test_redirects_are_followed(server: Server) -> None:
    server.script |= {"/a": [(302, b"there", {"Location": "/b"})], "/b": [(200, b"here", {})]}
    assert read(f"{server.url}/a") == b"here"


@pytest.mark.parametrize("location", ["file:///etc/passwd", ""])
def test_redirects_elsewhere_are_not(location: str, server: Server) -> None:
    server.script["/a"] = [(302, b"", {"Location": location})]
    with pytest.raises(PipelineError, match=r"not followed|redirects"):
        read(f"{server.url}/a")


def test_more_than_was_promised_is_refused(server: Server) -> None:
    server.script["/a"] = [(200, b"x" * 1000, {})]
    with pytest.raises(PipelineError, match="longer than the 999 bytes"):
        read(f"{server.url}/a", max_bytes=999)


@pytest.mark.parametrize("scheme", ["file", "copy"])
def test_files_of_this_machine(scheme: str, tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"here")
    assert read(f"{scheme}://{tmp_path}/a%20b") == b"here"
    with pytest.raises(NotThereError):
        read(f"{scheme}:{tmp_path}/none")
