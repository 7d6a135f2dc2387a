"""Reading addresses: connections are kept open, trouble is tried again, and errors name the host."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from image_builder.errors import PipelineError, SurroundingsError

TIMEOUT_S = 30.0  # without a byte
TRIES = 3
PAUSE_S = 1.0  # before the second try; before the third twice that
CHUNK_BYTES = 1 << 18
REDIRECTS = 5

Write = Callable[[bytes], object]
_Key = tuple[str, str]  # scheme, host with port

_idle: dict[_Key, list[http.client.HTTPConnection]] = {}
_lock = threading.Lock()


class NotThereError(PipelineError):
    """The server says that there is no such file."""


class _TryAgainError(Exception):
    """Something that may be over the next time."""


def stream(url: str, write: Write, restart: Callable[[], object], *, max_bytes: int) -> None:
    """Hand what is at an address to write, in pieces. Before a second try restart is called, to drop the first one's.

    http, https, file and apt's copy. Raises NotThereError; PipelineError for more than max_bytes;
    SurroundingsError that names the host when it cannot be reached.
    """
    problem: Exception | None = None
    for attempt in range(1, TRIES + 1):
        restart()
        try:
            if urlsplit(url).scheme in ("file", "copy"):
                _read_file(url, write, max_bytes)
            else:
                _read_http(url, write, max_bytes)
            return
        except (OSError, http.client.HTTPException, _TryAgainError) as e:
            problem = e
        if attempt < TRIES:
            time.sleep(PAUSE_S * attempt)
    raise SurroundingsError(
        f"cannot be fetched: {problem or 'no reason given'}",
        where=url,
        hint=f"is {urlsplit(url).hostname or 'this file'} reachable from here? tried {TRIES} times",
    ) from problem


def _read_file(url: str, write: Write, max_bytes: int) -> None:
    path = Path(unquote(urlsplit(url).path))
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError as e:
        raise NotThereError("no such file", where=url) from e
    _limit(len(data), max_bytes, url)
    write(data)


def _read_http(url: str, write: Write, max_bytes: int) -> None:
    at = url
    for _ in range(REDIRECTS):
        connection, answer = _request(at)
        whole = False
        try:
            if answer.status in (301, 302, 303, 307, 308):
                answer.read(max_bytes)
                whole = True
                at = urljoin(at, answer.headers.get("Location", ""))
                if urlsplit(at).scheme not in ("http", "https") or (
                    url.startswith("https:") and at.startswith("http:")
                ):
                    raise PipelineError(f"redirected to {at!r}, which is not followed", where=url)
                continue
            if answer.status in (403, 404, 410):
                raise NotThereError(f"the server has no such file ({answer.status} {answer.reason})", where=url)
            if answer.status != 200:
                raise _TryAgainError(f"{answer.status} {answer.reason}")
            got = 0
            while chunk := answer.read(CHUNK_BYTES):
                got += len(chunk)
                _limit(got, max_bytes, url)
                write(chunk)
            # read(n) says nothing when the connection ends before the file does
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)
            whole = True
            return
        finally:
            if whole and not answer.will_close:
                with _lock:
                    _idle.setdefault(_key(at), []).append(connection)
            else:
                connection.close()
    raise _TryAgainError(f"more than {REDIRECTS} redirects")


def _limit(got: int, max_bytes: int, url: str) -> None:
    if got > max_bytes:
        raise PipelineError(f"longer than the {max_bytes} bytes it may have", where=url)


def _request(url: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """Ask over an open connection, else over a new one: 200 files are fetched faster than 200 names are found."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"User-Agent": "image-builder", "Cache-Control": "max-age=0"}
    while True:
        with _lock:
            idle = _idle.get(_key(url))
            kept = idle.pop() if idle else None
        connection = kept or _connect(url)
        by_proxy = parts.scheme == "http" and connection.host != (parts.hostname or "")
        try:
            connection.request("GET", url if by_proxy else target, headers=headers)
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException):
            connection.close()
            if kept is None:
                raise  # one that was kept may have been closed by the server meanwhile: go on with the next


def _key(url: str) -> _Key:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2]


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    proxy = urllib.request.getproxies().get(parts.scheme, "")
    if proxy and not urllib.request.proxy_bypass(host):
        via = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if parts.scheme == "http":
            return http.client.HTTPConnection(via.hostname or "", via.port, timeout=TIMEOUT_S)
        connection = http.client.HTTPSConnection(
            via.hostname or "", via.port, timeout=TIMEOUT_S, context=ssl.create_default_context()
        )
        connection.set_tunnel(host, port or 443)
        return connection
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def close_idle() -> None:
    """Close the connections kept open; the next read opens its own."""
    with _lock:
        connections = [one for idle in _idle.values() for one in idle]
        _idle.clear()
    for connection in connections:
        with suppress(OSError):
            connection.close()
