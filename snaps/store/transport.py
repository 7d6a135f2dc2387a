"""Requests to the store: tried again while that may help, redirected without credentials, errors in its own words."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from image_builder.errors import PipelineError, SurroundingsError
from snaps.store.errors import CredentialsError, NotFoundError, StoreError
from snaps.store.settings import Settings

TIMEOUTS_S = (10.0, 30.0)  # to connect; without a byte
TRIES = 6
FIRST_PAUSE_S, FACTOR = 0.5, 2.5
LONGEST_PAUSE_S = 60.0  # what a Retry-After may ask for
REDIRECTS = 5
ANSWER_MAX_BYTES = 32 << 20
HEAL = frozenset({408, 429, 500, 502, 503, 504, 599})
USER_AGENT = "live-image-builder snap-tool"

# Its debug lines show addresses whole, with the tokens a content delivery network gets in the query.
logging.getLogger("urllib3").setLevel(logging.WARNING)

T = TypeVar("T")


class TryAgainError(Exception):
    """Something that may be over the next time. after_s: how long the server asks to wait."""

    def __init__(self, what: str, after_s: float = 0.0) -> None:
        super().__init__(what)
        self.after_s = after_s


def shown(url: str) -> str:
    """An address as people may see it: without query, user and password, where secrets are."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{parts.path}"


def again(what: Callable[[], T], url: str, *, tries: int = TRIES, stop: threading.Event | None = None) -> T:
    """Call until it does not raise TryAgainError, with growing pauses. Raises SurroundingsError in the end.

    stop: set by another thread, ends a pause at once, with a PipelineError.
    """
    pause_s = FIRST_PAUSE_S
    for attempt in range(1, tries + 1):
        try:
            return what()
        except TryAgainError as e:
            if attempt == tries:
                host = urlsplit(url).hostname
                raise SurroundingsError(
                    f"the store cannot be asked: {e}",
                    where=shown(url),
                    hint=f"is {host} reachable from here? tried {tries} times; nothing was changed",
                ) from e
            if (stop or threading.Event()).wait(max(pause_s, min(e.after_s, LONGEST_PAUSE_S))):
                raise PipelineError("stopped", where=shown(url)) from e
        pause_s *= FACTOR
    raise AssertionError("tries is at least 1")


class Transport:
    """One per process; safe in threads. The network ends here."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._local = threading.local()

    def json(self, method: str, url: str, body: Any = None, headers: Mapping[str, str] = {}) -> Any:
        """The JSON at an address. Raises NotFoundError, CredentialsError, StoreError, SurroundingsError."""
        data = None if body is None else json.dumps(body).encode()
        text = self.read(method, url, data, {"Accept": "application/json", **headers})
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as e:
            raise StoreError(
                "answers with something else than JSON", where=shown(url), hint="is there a portal or a proxy between?"
            ) from e

    def read(self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> bytes:
        """A whole answer of at most 32 MiB. Raises as json() does."""

        def once() -> bytes:
            with self.open(method, url, body, headers) as answer:
                raise_for(answer, url)
                return _whole(answer, url)

        return again(once, url)

    @contextmanager
    def open(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Iterator[requests.Response]:
        """One answer with its body still to come, whatever its status. Redirects are followed, for GET only.

        Credentials go to the store's own hosts and nowhere else; nothing goes from https to http.
        """
        at, secure = url, urlsplit(self.settings.api).scheme == "https"
        for _ in range(REDIRECTS + 1):
            if secure and urlsplit(at).scheme != "https":
                raise StoreError(f"leads to {shown(at)!r}, which is not encrypted: refused", where=shown(url))
            answer = self._send(method, at, body, headers)
            location = answer.headers.get("Location", "")
            if answer.status_code not in (301, 302, 303, 307, 308) or not location:
                try:
                    yield answer
                except (requests.RequestException, urllib3.exceptions.HTTPError) as e:  # while the body is read
                    raise TryAgainError(_reason(e)) from e
                finally:
                    answer.close()
                return
            answer.close()
            to = urljoin(at, location)
            if method != "GET" or urlsplit(to).scheme not in ("http", "https"):
                raise StoreError(f"is redirected to {shown(to)!r}, which is not followed", where=shown(url))
            at = to
        raise StoreError(f"more than {REDIRECTS} redirects", where=shown(url))

    def _send(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> requests.Response:
        sent = {"User-Agent": USER_AGENT, **headers}
        if self.settings.credentials is not None and self.settings.is_own(url):
            sent["Authorization"] = self.settings.credentials.header()
        if body is not None:
            sent["Content-Type"] = "application/json"
        if not self.settings.is_own(url):  # a brand store's name is for the store alone, too
            sent = {name: value for name, value in sent.items() if not name.lower().endswith("-device-store")}
        try:
            return self._session().request(
                method, url, data=body, headers=sent, timeout=TIMEOUTS_S, allow_redirects=False, stream=True
            )
        except requests.exceptions.SSLError as e:
            raise SurroundingsError(
                "its certificate is not trusted here",
                where=shown(url),
                hint="ca-certificates; the clock; a proxy between",
            ) from e
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError) as e:
            raise StoreError("is no address that can be asked", where=shown(url)) from e
        except requests.RequestException as e:
            raise TryAgainError(_reason(e)) from e

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            # else requests takes a password for the host from ~/.netrc, in place of the credentials above
            session.auth = lambda request: request
        return session


def raise_for(answer: requests.Response, url: str) -> None:
    """Raise what a status that is no success means, in the words of the store."""
    status = answer.status_code
    if status in (200, 206):
        return
    if status in HEAL or status >= 500:
        raise TryAgainError(f"{status} {answer.reason}", _seconds(answer.headers.get("Retry-After", "")))
    said, where = _message(answer), shown(url)
    if status == 401:
        stale = "refresh" in answer.headers.get("WWW-Authenticate", "")
        raise CredentialsError(
            f"the store takes no request {'with these credentials' if stale else 'without credentials'}: {said}",
            where=where,
            hint="they have expired: export them anew" if stale else "UBUNTU_STORE_AUTH; see docs/snaps.md",
        )
    if status == 402:
        raise StoreError(f"this snap has to be bought first: {said}", where=where)
    if status == 403:
        raise CredentialsError(f"these credentials may not do this: {said}", where=where)
    if status == 404:
        raise NotFoundError(said, where=where)
    raise StoreError(f"{status} {answer.reason}: {said}", where=where)


def _message(answer: requests.Response) -> str:
    """What an error says of itself, in any of the store's forms: error-list, errors, problem+json."""
    try:
        value = json.loads(_whole(answer, answer.url))
        errors = value.get("error-list") or value.get("error_list") or value.get("errors") or [value]
        texts = [str(one.get("message") or one.get("detail") or one.get("title") or "") for one in errors]
    except (ValueError, AttributeError, TypeError, RecursionError, TryAgainError, StoreError):
        texts = []
    return "; ".join(text for text in texts if text)[:500] or f"{answer.status_code} {answer.reason}"


def _whole(answer: requests.Response, url: str) -> bytes:
    data = b""
    try:
        for chunk in answer.iter_content(1 << 16):
            data += chunk
            if len(data) > ANSWER_MAX_BYTES:
                raise StoreError(f"answers with more than {ANSWER_MAX_BYTES} bytes", where=shown(url))
    except requests.RequestException as e:
        raise TryAgainError(_reason(e)) from e
    return data


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else 0.0


def _reason(error: Exception) -> str:
    """The kind of trouble in words; requests' own text holds the address with its query."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy refuses"
    if isinstance(error, requests.exceptions.ConnectionError):
        inner: BaseException | None = error
        while inner is not None:
            if isinstance(inner, OSError) and inner.strerror:
                return inner.strerror
            inner = inner.__cause__ or inner.__context__
        return "no connection"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the answer ended before its end"
    return type(error).__name__
