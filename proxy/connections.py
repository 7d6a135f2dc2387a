"""Connections to archives: opened by route, kept open between requests, shared by threads."""

from __future__ import annotations

import http.client
import os
import re
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from urllib.parse import SplitResult, quote, urlsplit

from image_builder.errors import SurroundingsError
from proxy import plain
from proxy.client import Connection, SecureConnection
from proxy.upstream import Route, authorization, route, shown

TIMEOUT_S = 30.0  # without a byte, and for a connection to be made

_idle: dict[Route, list[http.client.HTTPConnection]] = {}
_ways: dict[tuple[str, str], Route] = {}  # of addresses that were asked: scheme, host with port
_lock = threading.Lock()


def _forget() -> None:
    global _lock  # noqa: PLW0603 - the parent's may be held by a thread that is not in the child
    _lock = threading.Lock()
    _idle.clear()


os.register_at_fork(after_in_child=_forget)  # two processes on one connection would read each other's answers


class Exchange:
    """One request and its answer, read by the caller, who calls end()."""

    def __init__(self, way: Route, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        self._way, self._connection, self.answer = way, connection, answer

    def end(self) -> None:
        """Keep the connection if all of the answer was read; close it otherwise."""
        whole = self.answer.isclosed() or self.answer.length == 0
        if not whole or self.answer.will_close:
            self._connection.close()
            return
        self.answer.close()  # else the connection believes that it is still being read
        _keep(self._way, self._connection)


def ask(url: str, headers: dict[str, str]) -> Exchange:
    """Ask for an address over an open connection, else over a new one: most archives are many small files.

    Raises OSError, http.client.HTTPException; ConfigError; SurroundingsError where no further try can help.
    """
    way, parts = route(url), urlsplit(url)
    _ways[parts.scheme, parts.netloc] = way
    target, headers = _request(url, parts, way, headers)
    while True:
        kept = _kept(way, TIMEOUT_S)
        connection = kept or _connect(way, url)
        try:
            return _asked(way, connection, target, headers)
        except (OSError, http.client.HTTPException):
            if kept is None:
                raise  # one that was kept may have been closed by the server meanwhile: go on with the next


def at_once(
    url: str, headers: dict[str, str], size_bytes: int, within_s: float, write: Callable[[bytes], object]
) -> bool:
    """Hand a file of this size to write: over a connection that is open, by a plain answer, in this time.

    False: there is no such connection, another answer, or not all of it came. Raises OSError, ConfigError, and what
    write raises.
    """
    until = time.monotonic() + within_s
    parts = urlsplit(url)
    way = _ways.get((parts.scheme, parts.netloc))  # to find the way is a third of what asking costs
    if way is None:
        return False
    target, headers = _request(url, parts, way, {"Host": parts.netloc, **headers})
    kept, whole = _kept(way, within_s), False
    if kept is None or kept.sock is None:
        return False
    try:
        plain.ask(kept.sock, target, headers)
        whole = plain.answer(kept.sock, size_bytes, until, write)
    except plain.UnusualError:
        return False
    finally:
        if whole:
            _keep(way, kept)
        else:
            kept.close()
    return whole


def _request(url: str, parts: SplitResult, way: Route, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
    """What stands behind GET, and all headers."""
    # What is in sources.list and in indices may hold signs that must not stand in a request.
    target = quote(parts.path or "/", safe="/%:;,+~!$&'()*=@[]") + (f"?{parts.query}" if parts.query else "")
    headers = {"User-Agent": "image-builder", "Accept-Encoding": "identity", **headers}
    if login := authorization(url):
        headers["Authorization"] = login
    if way.scheme == "http" and way.proxy:
        target = f"http://{parts.netloc}{target}"
        if way.proxy.authorization:
            headers["Proxy-Authorization"] = way.proxy.authorization
        headers["Host"] = parts.netloc
    return target, headers


def _kept(way: Route, timeout_s: float) -> http.client.HTTPConnection | None:
    with _lock:
        connection = connections.pop() if (connections := _idle.get(way)) else None
    if connection is not None and connection.sock is not None:
        connection.sock.settimeout(timeout_s)
    return connection


def _keep(way: Route, connection: http.client.HTTPConnection) -> None:
    with _lock:
        _idle.setdefault(way, []).append(connection)


def _asked(way: Route, connection: http.client.HTTPConnection, target: str, headers: dict[str, str]) -> Exchange:
    try:
        connection.request("GET", target, headers=headers)
        return Exchange(way, connection, connection.getresponse())
    except (OSError, http.client.HTTPException):
        connection.close()
        raise


def close_idle() -> None:
    """Close the connections kept open; the next read opens its own."""
    with _lock:
        connections = [one for idle in _idle.values() for one in idle]
        _idle.clear()
        _ways.clear()
    for connection in connections:
        with suppress(OSError):
            connection.close()


def _connect(way: Route, url: str) -> http.client.HTTPConnection:
    host, port = (way.proxy.host, way.proxy.port) if way.proxy else (way.host, way.port)
    if way.scheme == "http":
        return Connection(host, port, timeout=TIMEOUT_S)
    context = _context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    connection = SecureConnection(host, port, timeout=TIMEOUT_S, context=context)
    if way.proxy:
        login = way.proxy.authorization
        connection.set_tunnel(way.host, way.port, {"Proxy-Authorization": login} if login else {})
    try:
        connection.connect()
    except ssl.SSLCertVerificationError as e:
        connection.close()
        raise SurroundingsError(
            f"its certificate is not accepted: {e.verify_message}",
            where=shown(url),
            hint="apt-get install ca-certificates, or name the archive's own CA in SSL_CERT_FILE",
        ) from e
    except OSError as e:
        connection.close()
        if way.proxy and (status := re.search(r"Tunnel connection failed: (40[0-9])\b", str(e))):
            raise refused_by_proxy(way, url, int(status[1])) from e
        raise
    return connection


def refused_by_proxy(way: Route, url: str, status: int) -> SurroundingsError:
    assert way.proxy is not None
    return SurroundingsError(
        f"the proxy {way.proxy.host}:{way.proxy.port} does not let us there ({status})",
        where=shown(url),
        hint="its login goes into http_proxy and https_proxy, or into apt's auth.conf" if status == 407 else "",
    )


@lru_cache(maxsize=4)
def _context(file: str | None, folder: str | None) -> ssl.SSLContext:  # noqa: ARG001 - it was read by their values
    return ssl.create_default_context()
