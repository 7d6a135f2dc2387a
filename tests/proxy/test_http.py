from __future__ import annotations

import http.client
import http.server
import multiprocessing
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from image_builder.errors import PipelineError, SurroundingsError
from proxy import client, connections
from proxy import http as reader
from proxy.http import NotThereError, beginning, stream


class Server(http.server.ThreadingHTTPServer):
    """Answers by a script: path -> answers, one for each request, the last one again and again."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: dict[str, list[tuple[int, bytes, dict[str, str]]]] = {}
        self.connections = 0
        self.closing: list[socket.socket] = []
        self.asked: list[str | None] = []  # the Range of each request
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.headers["Range"])
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


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further tries wait for nobody."""
    monkeypatch.setattr(reader, "PAUSE_S", 0.0)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        yield made
        made.shutdown()
        thread.join()
        for listener in made.closing:
            listener.close()
    reader.close_idle()


def at_once(server: Server, size_bytes: int) -> bytes:
    chunks: list[bytes] = []
    whole = reader.at_once(f"{server.url}/a", size_bytes, 5.0, chunks.append)
    assert whole == (len(b"".join(chunks)) == size_bytes)
    return b"".join(chunks) if whole else b""


def read(url: str, max_bytes: int = 1 << 20) -> bytes:
    chunks: list[bytes] = []
    stream(url, chunks.append, chunks.clear, max_bytes=max_bytes)
    return b"".join(chunks)


def test_files_come_over_one_connection(server: Server) -> None:
    server.script["/a"] = [(200, b"x" * 1_000_000, {})]
    assert [len(read(f"{server.url}/a")) for _ in range(20)] == [1_000_000] * 20
    assert server.connections == 1


def test_at_once_only_over_an_open_connection(server: Server) -> None:
    server.script["/a"] = [(200, b"x" * 300_000, {})]
    assert at_once(server, 300_000) == b""
    assert server.asked == []
    read(f"{server.url}/a")
    assert at_once(server, 300_000) == at_once(server, 300_000) == b"x" * 300_000
    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((404, b"eight by", {}), id="not there"),
        pytest.param((302, b"eight by", {"Location": "/a"}), id="redirect"),
        pytest.param((206, b"eight by", {"Content-Range": "bytes 0-7/8"}), id="a part"),
        pytest.param((200, b"eight bytes and more", {}), id="longer"),
        pytest.param((200, b"less", {}), id="shorter"),
        pytest.param((200, b"less", {"Content-Length": "8"}), id="cut"),
        pytest.param((503, b"eight by", {}), id="server busy"),
    ],
)
def test_at_once_only_what_is_plain(answer: tuple[int, bytes, dict[str, str]], server: Server) -> None:
    server.script["/a"] = [(200, b"opens it", {}), answer, (200, b"is still", {})]
    read(f"{server.url}/a")
    assert at_once(server, 8) == b""
    assert read(f"{server.url}/a") == b"is still", "the connection is not out of step"


def test_a_connection_the_server_closed_meanwhile_is_opened_anew(server: Server) -> None:
    server.script["/a"] = [(200, b"one", {"Connection": "close"}), (200, b"two", {})]
    assert read(f"{server.url}/a") + read(f"{server.url}/a") == b"onetwo"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param((503, b"busy", {}), id="server busy"),
        pytest.param((500, b"", {}), id="server in trouble"),
        pytest.param((502, b"", {}), id="bad gateway"),
        pytest.param((504, b"", {}), id="gateway waits in vain"),
        pytest.param((408, b"", {}), id="server tired of waiting"),
        pytest.param((429, b"", {"Retry-After": "0"}), id="too many, in seconds"),
        pytest.param((429, b"", {"Retry-After": "Sun, 01 Mar 2026 12:00:00 GMT"}), id="too many, with a date"),
        pytest.param((503, b"", {"Retry-After": "soon"}), id="a word that says nothing"),
        pytest.param((206, b"part", {"Content-Range": "bytes 0-3/9"}), id="a part nobody asked for"),
        pytest.param((304, b"", {}), id="not modified since nothing"),
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


@pytest.mark.parametrize("status", [400, 401, 405, 418, 451, 501, 505])
def test_what_will_not_change_is_not_tried_again(status: int, server: Server) -> None:
    server.script["/a"] = [(status, b"no", {}), (200, b"yes", {})]
    with pytest.raises(PipelineError, match=str(status)):
        read(f"{server.url}/a")
    assert len(server.asked) == 1


def test_a_server_is_given_the_time_it_asks_for(server: Server) -> None:
    server.script["/a"] = [(503, b"", {"Retry-After": "1"}), (200, b"yes", {})]
    began = time.monotonic()
    assert read(f"{server.url}/a") == b"yes"
    assert time.monotonic() - began >= 1


def test_a_server_that_asks_for_too_much_is_not_waited_for(server: Server) -> None:
    server.script["/a"] = [(503, b"", {"Retry-After": "86400"}), (200, b"yes", {})]
    with pytest.raises(SurroundingsError, match="503"):
        read(f"{server.url}/a")
    assert len(server.asked) == 1


def test_pauses_grow(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "PAUSE_S", 0.05)
    server.script["/a"] = [(500, b"", {})]
    began = time.monotonic()
    with pytest.raises(SurroundingsError, match="tried 4 times"):
        read(f"{server.url}/a")
    assert time.monotonic() - began >= 0.05 + 0.1 + 0.2
    assert len(server.asked) == 4


def trickle(server: Server, size_bytes: int, pause_s: float) -> str:
    """The address of a server that sends a byte now and then."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size_bytes}\r\n\r\n".encode())
                    for _ in range(size_bytes):
                        connection.sendall(b"x")
                        time.sleep(pause_s)

    threading.Thread(target=serve, daemon=True).start()
    server.closing.append(listener)
    return f"http://127.0.0.1:{listener.getsockname()[1]}/a"


def test_a_trickle_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """No read of it ever waits long: a limit on silence alone would let it go on for days."""
    monkeypatch.setattr(reader, "SLOW_S", 0.2)
    monkeypatch.setattr(reader, "TRIES", 1)
    with pytest.raises(SurroundingsError, match=r"[0-9]+ bytes in 0 s"):
        read(trickle(server, 100_000, 0.01))


def test_silence_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(reader, "TRIES", 2)
    with pytest.raises(SurroundingsError, match="timed out"):
        read(trickle(server, 2, 5))


# -- files go on where they stopped


class Part:
    """What a store keeps of a file that is on its way."""

    def __init__(self, data: bytes) -> None:
        self.data, self.restarts = data, 0

    def restart(self) -> None:
        self.data, self.restarts = b"", self.restarts + 1

    def write(self, more: bytes) -> None:
        self.data += more

    def read(self, url: str, max_bytes: int = 1 << 20) -> bytes:
        stream(url, self.write, self.restart, max_bytes=max_bytes, got=lambda: len(self.data))
        return self.data


BODY = b"0123456789"


@pytest.mark.parametrize(
    ("answers", "asked", "restarts"),
    [
        pytest.param([(206, BODY[4:], {"Content-Range": "bytes 4-9/10"})], ["bytes=4-"], 0, id="goes on"),
        pytest.param([(206, BODY[4:], {"Content-Range": "bytes 4-9/*"})], ["bytes=4-"], 0, id="of unknown length"),
        pytest.param([(200, BODY, {})], ["bytes=4-"], 1, id="server knows no parts"),
        pytest.param([(416, b"", {}), (200, BODY, {})], ["bytes=4-", None], 1, id="there is less"),
        pytest.param(
            [(206, BODY, {"Content-Range": "bytes 0-9/10"}), (200, BODY, {})], ["bytes=4-", None], 1, id="another part"
        ),
        pytest.param([(206, BODY[4:], {}), (200, BODY, {})], ["bytes=4-", None], 1, id="part of what?"),
        pytest.param(
            [
                (206, BODY[4:6], {"Content-Range": "bytes 4-9/10", "Content-Length": "6"}),
                (206, BODY[6:], {"Content-Range": "bytes 6-9/10"}),
            ],
            ["bytes=4-", "bytes=6-"],
            0,
            id="lost again on the way",
        ),
        pytest.param(
            [(503, b"", {}), (206, BODY[4:], {"Content-Range": "bytes 4-9/10"})], ["bytes=4-"] * 2, 0, id="busy first"
        ),
    ],
)
def test_a_part_is_completed(answers: list[Any], asked: list[Any], restarts: int, server: Server) -> None:
    server.script["/a"] = answers
    part = Part(BODY[:4])
    assert part.read(f"{server.url}/a") == BODY
    assert (server.asked, part.restarts) == (asked, restarts)


def test_what_was_lost_in_the_middle_is_not_asked_for_twice(server: Server) -> None:
    server.script["/a"] = [
        (200, BODY[:3], {"Content-Length": "10"}),
        (206, BODY[3:], {"Content-Range": "bytes 3-9/10"}),
    ]
    part = Part(b"")
    assert part.read(f"{server.url}/a") == BODY
    assert (server.asked, part.restarts) == ([None, "bytes=3-"], 0)


def test_the_limit_is_that_of_the_whole(server: Server) -> None:
    server.script["/a"] = [(206, BODY[4:], {"Content-Range": "bytes 4-9/10"})]
    with pytest.raises(PipelineError, match="longer than the 9 bytes"):
        Part(BODY[:4]).read(f"{server.url}/a", max_bytes=9)


def test_parts_of_files_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(BODY)
    assert Part(BODY[:4]).read(f"file://{tmp_path}/a") == BODY


def test_the_first_bytes(server: Server) -> None:
    server.script["/a"] = [(206, BODY[:4], {"Content-Range": "bytes 0-3/10"})]
    server.script["/b"] = [(200, BODY * 100_000, {})]
    assert [beginning(f"{server.url}/{name}", 4) for name in "aba"] == [BODY[:4]] * 3
    server.script["/c"] = [(404, b"", {})]
    with pytest.raises(NotThereError):
        beginning(f"{server.url}/c", 4)
    server.script["/d"] = [(503, b"", {})]
    with pytest.raises(SurroundingsError):
        beginning(f"{server.url}/d", 4)


def _read_in_child(url: str) -> None:
    assert read(url) == b"x"


def test_a_child_process_does_not_share_connections(server: Server) -> None:
    server.script["/a"] = [(200, b"x", {})]
    assert read(f"{server.url}/a") == b"x"
    children = [multiprocessing.Process(target=_read_in_child, args=(f"{server.url}/a",)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert read(f"{server.url}/a") == b"x"
    assert server.connections == 4


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


def head(*lines: bytes) -> BytesIO:
    return BytesIO(b"".join(line + b"\r\n" for line in lines) + b"\r\nbody")


def test_headers() -> None:
    file = head(
        b"Content-Length: 4", b"x-long: one,", b"\ttwo", b"X-Empty:", b"X-Twice: a", b"X-Twice: b", b"X-Latin: \xe9"
    )
    found = client.headers(file)
    assert file.read() == b"body"
    assert found["content-length"] == "4"
    assert found["X-Long"] == "one, two"
    assert (found["X-Empty"], found["x-twice"], found["X-Latin"]) == ("", "a", "\xe9")
    assert found.get("Location") is None


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([b"no colon"], id="no colon"),
        pytest.param([b"X-A: b", b"\r"], id="nearly the end"),
        pytest.param([b": nothing before it"], id="no name"),
        pytest.param([b" a: begins with a blank"], id="nothing to go on with"),
        pytest.param([b"Content-Length : 4"], id="blank before the colon"),
        pytest.param([b"X-A: b"] * 101, id="too many"),
        pytest.param([b"X-A: " + b"b" * 70_000], id="too long"),
    ],
)
def test_a_head_that_is_none(lines: list[bytes]) -> None:
    with pytest.raises(http.client.HTTPException):
        client.headers(head(*lines))


def test_headers_are_read_by_our_own_reader(server: Server) -> None:
    """Which stands in http.client's place: that one takes such a line. A Python that looks for it elsewhere is seen."""
    server.script["/a"] = [(200, b"one", {"X-A ": "b"})]
    with pytest.raises(SurroundingsError, match="a header that is none"):
        read(f"{server.url}/a")


@pytest.mark.parametrize("scheme", ["file", "copy"])
def test_files_of_this_machine(scheme: str, tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"here")
    assert read(f"{scheme}://{tmp_path}/a%20b") == b"here"
    with pytest.raises(NotThereError):
        read(f"{scheme}:{tmp_path}/none")
