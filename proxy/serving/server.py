"""The server of frozen files: connections, one thread each, and what is written into them."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import threading
import time
from collections import deque
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from proxy.archive.frozen import Entry, Refusal
from proxy.journal import Journal, Line
from proxy.serving import bodies
from proxy.serving.answers import PORT_HEADER, RETRY_AFTER_S, Answer, Greeting, Lookup, as_asked, decide, is_straight
from proxy.serving.fetch import LAST_BYTES, FailedError, Fetch
from proxy.serving.fetches import Fetches
from proxy.serving.names import original_address, server_name
from proxy.serving.stored import Opened, Stored
from proxy.serving.tunnel import tunnel
from proxy.serving.wire import MalformedError, Request, head_end, http_date, parse, part_asked, response_head

log = logging.getLogger(__name__)

IDLE_S = 120.0  # a connection without a request, or a client that takes nothing
FIRST_BYTE_S = 25.0  # apt gives up after 30 without a byte, and says less than we do
NEXT_BYTE_S = 60.0
LINES = 5  # of the journal, written at once at most
LOOK_AHEAD = 10  # requests of one connection that are looked at before it is their turn: what they need is fetched
CONNECTIONS = 256
ACCEPT_AGAIN_S = 0.1
TLS_HANDSHAKE = b"\x16"
_HTTP = re.compile(rb"(?P<method>[A-Z]{1,20}) (?P<target>[!-~]+) HTTP/1\.[01]\r\n")

Address = tuple[str, int]


@dataclass(frozen=True)
class Others:
    """Where mitmproxy listens. plain: for absolute addresses and CONNECT. redirected: for all the rest."""

    plain: Address
    redirected: Address


@dataclass(frozen=True)
class Service:
    """What all connections share."""

    stamp: str
    lookup: Lookup
    fetches: Fetches
    stored: Stored
    journal: Journal
    asked: set[int] = field(default_factory=set)  # connections to mitmproxy with a request in them, by port


@dataclass(frozen=True)
class _Turn:
    """A request in line."""

    head: bytes
    request: Request | None  # None: not one to be answered here
    answer: Answer | None
    problem: str = ""
    ready: _Ready | None = None  # a file of the store, looked up before its turn


class _Part(NamedTuple):
    """An answer with a file, or a part of it."""

    head: bytes
    status: int
    start: int
    end: int
    empty: bool  # nothing follows the head


class _Ready(NamedTuple):
    """A file of the store, open, and what is sent of it."""

    opened: Opened
    part: _Part


def listen(service: Service, server: socket.socket, others: Others | None) -> None:
    """Accept connections until the socket is closed. others: of the outer door; None: mitmproxy is the client."""
    room = threading.Semaphore(CONNECTIONS)

    def serve(connection: socket.socket) -> None:
        try:
            with connection:
                Connection(service, connection, others).run()
        except bodies.GoneError as e:
            log.debug("client gone: %s", e)
        except Exception:  # of any kind: this client's connection is cut, which apt tries again; others are served on
            log.exception("a connection was cut")
        finally:
            room.release()

    while True:
        room.acquire()
        try:
            connection, _ = server.accept()
        except OSError as e:
            room.release()
            if e.errno in (errno.EBADF, errno.EINVAL):
                return
            log.warning("a connection was not accepted: %s", e)  # too many files are open, say, which passes
            time.sleep(ACCEPT_AGAIN_S)
            continue
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


class Connection:
    """One client."""

    def __init__(self, service: Service, connection: socket.socket, others: Others | None) -> None:
        self._service, self._connection, self._others = service, connection, others
        self._data = bytearray()
        self._line: deque[_Turn] = deque()
        self._done: list[tuple[datetime, Line]] = []  # not in the journal yet
        bodies.set_timeout(connection, IDLE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self) -> None:
        """Until the client ends, or something makes it impossible to go on."""
        try:
            self._answer_all()
        finally:
            for turn in self._line:
                if turn.ready is not None:
                    os.close(turn.ready.opened.descriptor)
            self._write_journal()  # last: the journal's disk may be full

    def _answer_all(self) -> None:
        while (turn := self._next()) is not None:
            if turn.request is None or turn.answer is None:
                self._elsewhere(turn)
                return
            began = time.monotonic()
            line, on = self._give(turn.request, turn.answer, turn.ready)
            ms = round((time.monotonic() - began) * 1000)
            line = Line(turn.request.method, turn.request.url, line.status, line.sha256, line.source,
                        line.sent_bytes, ms, line.reason)  # fmt: skip
            self._done.append((datetime.now(UTC), line))
            if len(self._done) == LINES or not (self._line and self._line[0].ready):  # what follows may take its time
                self._write_journal()
            if not on or turn.request.headers.get("connection", "").lower() == "close":
                return

    def _write_journal(self) -> None:
        self._service.journal.write_all(self._done)
        self._done.clear()

    # -- requests

    def _next(self) -> _Turn | None:
        if 0 < len(self._line) <= LOOK_AHEAD // 2 and self._line[-1].request is not None:
            # What was sent ahead, several at a time: each by itself would find the processor's caches full of others'.
            self._receive(socket.MSG_DONTWAIT)
            self._take_heads()
        while not self._line:
            if self._data[:1] == TLS_HANDSHAKE:
                return _Turn(bytes(self._data), None, None, "TLS")
            self._take_heads()
            if not self._line and not self._receive(0):
                return _Turn(bytes(self._data), None, None, "no whole request") if self._data else None
        return self._line.popleft()

    def _receive(self, flags: int) -> bool:
        try:
            data = self._connection.recv(64 << 10, flags)
        except OSError:
            return False
        self._data += data
        return bool(data)

    def _take_heads(self) -> None:
        """Put the requests that are there in line. What they need is fetched from now on, not when it is their turn."""
        while len(self._line) < LOOK_AHEAD:
            if self._line and self._line[-1].request is None:
                return  # what follows is for whoever gets that one
            try:
                end = head_end(self._data)
                if end < 0:
                    return
                head = bytes(self._data[:end])
                request = parse(head)
                if self._others is None:
                    self._service.asked.add(int(request.headers.get(PORT_HEADER, "0")))
                    request = as_asked(request)
                answer = decide(request, self._service.lookup, self._service.stamp)
            except MalformedError as e:
                self._line.append(_Turn(bytes(self._data), None, None, str(e)))
                self._data.clear()
                return
            if self._others is not None and not is_straight(answer):
                self._line.append(_Turn(bytes(self._data), None, None, ""))
                self._data.clear()
                return
            del self._data[:end]
            ready = self._ahead(request, answer) if self._line else None  # the first one's turn is now
            self._line.append(_Turn(head, request, answer, ready=ready))

    def _ahead(self, request: Request, answer: Answer) -> _Ready | None:
        """Open a file of the store, or begin its fetch."""
        if not isinstance(answer, Entry) or self._service.fetches.under_way(answer.sha256):
            return None
        if (ready := self._ready(request, answer)) is None:
            self._service.fetches.get(answer)
        return ready

    def _elsewhere(self, turn: _Turn) -> None:
        """Hand the connection to mitmproxy, or refuse what is no HTTP at all."""
        match = _HTTP.match(turn.head)
        tls = turn.head[:1] == TLS_HANDSHAKE
        meant = original_address(self._connection)
        if self._others is None or (match is None and not tls):
            self._service.journal.write(Line("-", f"tcp://{meant}/", 400, reason=turn.problem))
            self._text(Refusal(400, turn.problem), close=True)
            return
        connect = match is not None and match["method"] == b"CONNECT"
        absolute = match is not None and (connect or not match["target"].startswith(b"/"))
        port = tunnel(self._connection, self._others.plain if absolute else self._others.redirected, turn.head)
        asked = port in self._service.asked
        self._service.asked.discard(port)
        if not asked and (tls or connect):
            to = match["target"].decode("ascii", "replace") if match else f"{server_name(turn.head)}[{meant}]"
            reason = "no request came through it: no TLS with our CA, or another protocol"
            self._service.journal.write(Line("CONNECT", f"https://{to}/", 400, reason=reason))

    # -- answers

    def _give(self, request: Request, answer: Answer, ready: _Ready | None) -> tuple[Line, bool]:
        """Returns what happened, and whether the connection can go on."""
        if isinstance(answer, Entry):
            return self._file(request, answer, ready)
        return self._text(answer, head_only=request.method == "HEAD"), True

    def _text(self, answer: Refusal | Greeting, *, head_only: bool = False, close: bool = False) -> Line:
        """A short answer. Status and reason, or the greeting."""
        status, reason, text = 200, "OK", ""
        if isinstance(answer, Greeting):
            text = answer.text
        else:
            status, reason, text = answer.status, answer.reason, f"{answer.reason}\n"
        body = text.encode("utf-8", "replace")
        headers: dict[str, str | int] = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": len(body),
            "X-Snapshot": f"{self._service.stamp} -",
        }
        if status == 503:
            headers["Retry-After"] = RETRY_AFTER_S
        if close:
            headers["Connection"] = "close"
        bodies.send(self._connection, response_head(status, reason, headers) + (b"" if head_only else body))
        return Line("-", "-", status, sent_bytes=len(body), reason="" if status == 200 else reason)

    def _file(self, request: Request, entry: Entry, ready: _Ready | None) -> tuple[Line, bool]:
        fetch = None if ready else self._service.fetches.under_way(entry.sha256)
        if fetch is None:
            if ready := ready or self._ready(request, entry):
                return self._from_store(entry, ready)
            fetch = self._service.fetches.get(entry, here=not self._line)
        return self._coming(request, entry, fetch)

    def _ready(self, request: Request, entry: Entry) -> _Ready | None:
        """None: it is not there."""
        try:
            opened = self._service.stored.open(entry.sha256, entry.size_bytes)
        except OSError:
            return None
        return _Ready(opened, self._part(request, entry, opened.size_bytes))

    def _from_store(self, entry: Entry, ready: _Ready) -> tuple[Line, bool]:
        opened, part = ready
        source = self._service.fetches.origin(entry.sha256)
        try:
            if opened.data is not None:
                return self._small(entry, part, opened.data, source), True
            return self._stored(entry, part, opened, source)
        finally:
            os.close(opened.descriptor)

    def _small(self, entry: Entry, part: _Part, data: bytes, source: str) -> Line:
        """A file that is in memory and right, sent with its head at once."""
        body = b"" if part.empty else data[part.start : part.end]
        bodies.send_both(self._connection, part.head, body)
        return Line("-", "-", part.status, entry.sha256, source, len(body))

    def _stored(self, entry: Entry, part: _Part, opened: Opened, source: str) -> tuple[Line, bool]:
        sent, descriptor = part.start, opened.descriptor
        bodies.send(self._connection, part.head, more=not part.empty)
        try:
            if not part.empty:
                if opened.check is not None:
                    sent = bodies.send_file(self._connection, descriptor, sent, max(sent, part.end - LAST_BYTES))
                    if not opened.check(NEXT_BYTE_S):
                        raise EOFError("the store's file is damaged")
                sent = bodies.send_file(self._connection, descriptor, sent, part.end)
        except (EOFError, FutureTimeoutError, bodies.GoneError) as e:
            bodies.cut(self._connection)
            reason = str(e) or "not read in time"
            return Line("-", "-", 0, entry.sha256, source, sent - part.start, reason=reason), False
        return Line("-", "-", part.status, entry.sha256, source, sent - part.start), True

    def _coming(self, request: Request, entry: Entry, fetch: Fetch) -> tuple[Line, bool]:
        head_only, given = request.method == "HEAD", fetch.given
        try:
            upto = fetch.wait(0, FIRST_BYTE_S)
        except FailedError as e:
            return self._text(e.refusal, head_only=head_only), True
        except TimeoutError:
            return self._text(Refusal(503, "it is being fetched, which takes its time"), head_only=head_only), True
        if (data := fetch.data) is not None:
            part = self._part(request, entry, len(data))
            return self._small(entry, part, data, "store" if given else fetch.source), True
        part, descriptor = self._part(request, entry, fetch.size_bytes or 0), fetch.open()
        sent = part.start
        try:
            bodies.send(self._connection, part.head, more=not part.empty)
            while not part.empty and sent < part.end:
                if upto <= sent:
                    upto = fetch.wait(sent, NEXT_BYTE_S)
                sent = bodies.send_file(self._connection, descriptor, sent, min(upto, part.end))
        except (FailedError, TimeoutError, EOFError, bodies.GoneError) as e:
            bodies.cut(self._connection)
            reason = str(e) or f"nothing came for {NEXT_BYTE_S:.0f} s"
            return Line("-", "-", 0, entry.sha256, fetch.source, sent - part.start, reason=reason), False
        finally:
            os.close(descriptor)
        source = "store" if given else fetch.source
        return Line("-", "-", part.status, entry.sha256, source, sent - part.start), True

    def _part(self, request: Request, entry: Entry, size: int) -> _Part:
        """What has to be sent of a file with so many bytes."""
        modified = http_date(entry.last_modified)
        ranges = entry.immutable and not self._service.fetches.spoiled(entry.sha256)
        part = part_asked(request.headers, size, modified) if ranges and request.method == "GET" else None
        headers: dict[str, str | int] = {
            "Content-Type": "application/octet-stream",
            "Last-Modified": modified,
            "X-Snapshot": f"{self._service.stamp} {entry.sha256}",
        }
        if ranges:
            headers["Accept-Ranges"] = "bytes"
        start, end = part or (0, size)
        status, reason = (200, "OK") if part is None else (206, "Partial Content")
        if part is not None and start == end:
            status, reason = 416, "Range Not Satisfiable"
            headers["Content-Range"] = f"bytes */{size}"
        elif part is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        headers["Content-Length"] = end - start
        empty = request.method == "HEAD" or start == end
        return _Part(response_head(status, reason, headers), status, start, end, empty)
