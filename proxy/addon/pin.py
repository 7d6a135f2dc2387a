"""The mitmproxy addon: a request goes to the server of frozen files or is refused; there is no third way."""

from __future__ import annotations

import logging
from collections.abc import Callable

from mitmproxy import http
from mitmproxy.proxy import server_hooks

from proxy.journal import Journal, Line

log = logging.getLogger(__name__)

METHODS = ("GET", "HEAD")
BODY_MAX_BYTES = 1 << 20  # of a request
# What else a client sends is dropped. If-Modified-Since above all: a "304 not modified" would let apt keep lists of
# another instant. Whether Range may be obeyed is for the server to say, which knows what can never change.
KEPT_HEADERS = ("range", "if-range")
SCHEME_HEADER = "X-Snapshot-Scheme"  # tells the server what the client spoke
PORT_HEADER = "X-Snapshot-Port"  # and by which connection it was asked
MARK = "X-Snapshot"  # every answer of the server has it


class SnapshotPin:
    """mitmproxy logs what a hook raises and lets the request go on as it is: hence a guard around each of them.

    There are two more locks behind this one: server_connect, and the audit hook of proxy.addon.main.
    """

    def __init__(self, server: tuple[str, int], stamp: str, journal: Journal) -> None:
        """server: of the frozen files, on the loopback interface. stamp: for the header every answer has."""
        self._server, self._stamp, self._journal = server, stamp, journal

    # -- hooks

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Decides: on to the server, or a refusal."""
        self._guard(flow, lambda: self._redirect(flow))

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Bodies pass through in pieces and are never kept."""
        self._guard(flow, lambda: self._pass_through(flow))

    def error(self, flow: http.HTTPFlow) -> None:
        """mitmproxy could not reach the server, or the client went away."""
        self._guard(flow, lambda: log.warning("%s: %s", flow.request.path, flow.error))

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """No connection but to the server, whatever the other hooks did."""
        # Refused first, allowed then: if this raises, the refusal stands.
        data.server.error = "only the frozen archive can be reached"
        if data.server.address == self._server and not data.server.tls:
            data.server.error = None
            return
        address = data.server.address or ("-", 0)
        self._note("CONNECT", f"tcp://{address[0]}:{address[1]}/", 403, "only the frozen archive can be reached")

    # -- what they do

    def _guard(self, flow: http.HTTPFlow, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as e:
            log.exception("%s", flow.request.path)
            self._refuse(flow, 404, f"the proxy failed: {type(e).__name__}")

    def _redirect(self, flow: http.HTTPFlow) -> None:
        request = flow.request
        secure = request.scheme == "https" or flow.client_conn.tls
        # The name is in Host: of a client that was redirected, the address is only what its own DNS told it.
        asked = request.headers.get("Host") or f"{request.host}:{request.port}"
        path, method = request.path, request.method
        # From here on it leads to the server, whatever fails after.
        request.scheme, request.host, request.port = "http", *self._server
        if method not in METHODS:
            self._note(method, f"{'https' if secure else 'http'}://{asked}{path}", 405, "only GET and HEAD")
            self._refuse(flow, 405, "only GET and HEAD")
        if _body_bytes(request) > BODY_MAX_BYTES:
            flow.kill()  # mitmproxy would read all of it before it answers; body_size_limit would count answers too
        if flow.response is not None or flow.error is not None:
            return
        kept = {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}
        request.headers = http.Headers(
            [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in kept.items()]
        )
        request.headers["Host"] = asked
        request.headers[SCHEME_HEADER] = "https" if secure else "http"
        request.headers[PORT_HEADER] = str(flow.client_conn.peername[1])
        request.http_version = "HTTP/1.1"

    def _pass_through(self, flow: http.HTTPFlow) -> None:
        answer = flow.response
        if answer is None or MARK not in answer.headers or flow.error:
            raise ValueError("an answer that is not the server's")
        answer.stream = True

    def _refuse(self, flow: http.HTTPFlow, status: int, reason: str) -> None:
        if flow.response is not None:
            flow.kill()  # it has begun to come; another head before the same body would leave the client waiting
            return
        flow.response = http.Response.make(
            status, f"{reason}\n", {"Content-Type": "text/plain", MARK: f"{self._stamp} -"}
        )
        flow.response.reason = reason

    def _note(self, method: str, url: str, status: int, reason: str) -> None:
        self._journal.write(Line(method, url, status, reason=reason))


def _body_bytes(request: http.Request) -> float:
    if "transfer-encoding" in request.headers:
        return float("inf")
    return int(request.headers.get("content-length", "0"))
