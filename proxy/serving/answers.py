"""What a request gets: a file of the frozen set, a word about the proxy, or a refusal. The only place that decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from proxy.archive.frozen import Entry, Refusal
from proxy.serving.wire import MalformedError, Request, authority

# .invalid is nobody's, by RFC 2606. That the proxy answers for it, and nobody else, is how a build sees it is in force.
SELF_TEST_HOST = "snapshot-proxy.invalid"
SCHEME_HEADER = "x-snapshot-scheme"  # set by the addon: what the client spoke with mitmproxy
PORT_HEADER = "x-snapshot-port"  # of mitmproxy's client
RETRY_AFTER_S = 3

Lookup = Callable[[str, str, str, int], Entry | Refusal]  # host, path, scheme, port


@dataclass(frozen=True)
class Greeting:
    """The answer to the self-test."""

    text: str


Answer = Entry | Greeting | Refusal


def decide(request: Request, lookup: Lookup, stamp: str) -> Answer:
    """Whatever goes wrong in here is a refusal."""
    try:
        if request.method not in ("GET", "HEAD"):
            return Refusal(405, "only GET and HEAD")
        if request.host == SELF_TEST_HOST:
            return Greeting(f"snapshot-proxy {stamp}\n")
        return lookup(request.host, request.path, request.scheme, request.port)
    except Exception as e:
        return Refusal(404, f"the proxy failed: {type(e).__name__}")


def is_straight(answer: Answer) -> bool:
    """Whether it may go to the client without passing through mitmproxy: a file whose name can mean no other bytes.

    That is nearly all that a build fetches, by number and by size, and mitmproxy takes a millisecond for each. What
    is rare or needs judgement (Release files, refusals, TLS, odd requests) takes the road through it.
    """
    return isinstance(answer, Entry) and answer.immutable


def as_asked(request: Request) -> Request:
    """The request of mitmproxy's client: what it spoke is said by the addon. Raises MalformedError."""
    scheme = request.headers.get(SCHEME_HEADER, "http")
    if scheme not in ("http", "https"):
        raise MalformedError(f"no scheme {scheme!r}")
    host, port = authority(request.headers["host"], scheme)
    return replace(request, scheme=scheme, host=host, port=port)
