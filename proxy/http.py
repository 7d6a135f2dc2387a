"""Reading addresses: trouble that may pass is tried again, files go on where they stopped, errors name the host."""

from __future__ import annotations

import http.client
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from image_builder.errors import ConfigError, PipelineError, SurroundingsError
from proxy import connections
from proxy.connections import Exchange, ask, close_idle, refused_by_proxy
from proxy.upstream import Settings, configure, route, shown

__all__ = ["NotThereError", "Settings", "Write", "at_once", "beginning", "close_idle", "configure", "stream"]

TRIES = 4
PAUSE_S = 1.0  # before the second try; before each further one twice as long
LONGEST_PAUSE_S = 120.0  # a server that asks for a longer one is not waited for
CHUNK_BYTES = 1 << 18
REDIRECTS = 5
CACHES = {"Cache-Control": "max-age=0"}  # on the way ask whether what they have is what there is
SLOW_BYTES, SLOW_S = 16 << 10, 60.0  # less than so much in so long is as good as nothing

Write = Callable[[bytes], object]


class NotThereError(PipelineError):
    """The server says that there is no such file."""


class _TryAgainError(Exception):
    """Something that may be over the next time. wait_s: how long the server says it takes."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


class _NoSuchRangeError(Exception):
    """What is there already is not the beginning of what the server has."""


def stream(
    url: str, write: Write, restart: Callable[[], object], *, max_bytes: int, got: Callable[[], int] | None = None
) -> None:
    """Hand what is at an address to write, in pieces. restart is called to drop what was written before.

    http, https, file and apt's copy. max_bytes: of the whole file. got: how many bytes are there already, from an
    earlier run or the try before: only what follows is asked for then, and the caller checks the whole by its
    hash; None: each try begins at the start. Raises NotThereError; PipelineError for more than max_bytes or a
    refusal; SurroundingsError that names the host when it cannot be reached.
    """
    problem: Exception | None = None
    attempt, ranged = 1, got is not None
    while attempt <= TRIES:
        start = got() if got and ranged else 0
        if got is None or (got() and not start):
            restart()
        try:
            if urlsplit(url).scheme in ("file", "copy"):
                _read_file(url, write, start, max_bytes)
            else:
                _read_http(url, write, restart, start, max_bytes)
            return
        except _NoSuchRangeError:
            ranged = False
            continue
        except (OSError, http.client.HTTPException, _TryAgainError) as e:
            problem = e
        wait_s = getattr(problem, "wait_s", None)
        if wait_s is not None and wait_s > LONGEST_PAUSE_S:
            break
        if attempt < TRIES:
            time.sleep(PAUSE_S * 2 ** (attempt - 1) * random.uniform(1, 1.25) if wait_s is None else wait_s)
        attempt += 1
    raise SurroundingsError(
        f"cannot be fetched: {problem or 'no reason given'}",
        where=shown(url),
        hint=f"is {urlsplit(url).hostname or 'this file'} reachable from here? tried {min(attempt, TRIES)} times",
    ) from problem


def at_once(url: str, size_bytes: int, within_s: float, write: Write) -> bool:
    """Hand a file of this size to write, over a connection that is open already; whether all of it came in this time.

    What did not come is left to stream(), which is patient and says what is wrong: where there is no connection, a
    redirect, or trouble of any kind. The caller checks the bytes.
    """
    try:
        return connections.at_once(url, CACHES, size_bytes, within_s, write)
    except (OSError, ConfigError):
        return False


def beginning(url: str, size_bytes: int) -> bytes:
    """The first bytes at an http or https address, without reading the rest. One try. Raises like stream()."""
    data = b""
    try:
        exchange = _follow(url, {"Range": f"bytes=0-{size_bytes - 1}"})
        try:
            if exchange.answer.status not in (200, 206):
                raise _refusal(url, exchange.answer)
            while len(data) < size_bytes and (chunk := exchange.answer.read1(size_bytes - len(data))):
                data += chunk
        finally:
            exchange.end()
    except (OSError, http.client.HTTPException, _TryAgainError) as e:
        raise SurroundingsError(f"cannot be fetched: {e}", where=shown(url)) from e
    return data


def _read_file(url: str, write: Write, start: int, max_bytes: int) -> None:
    path = Path(unquote(urlsplit(url).path))
    try:
        with path.open("rb") as file:
            there = file.seek(start)
            while chunk := file.read(CHUNK_BYTES):
                there += len(chunk)
                _limit(there, max_bytes, url)
                write(chunk)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise NotThereError("no such file", where=url) from e


def _read_http(url: str, write: Write, restart: Callable[[], object], start: int, max_bytes: int) -> None:
    exchange = _follow(url, {"Range": f"bytes={start}-"} if start else {})
    answer = exchange.answer
    try:
        if answer.status == 200 and start:
            restart()
            start = 0
        elif start and (answer.status == 416 or (answer.status == 206 and _first_byte(answer) != start)):
            raise _NoSuchRangeError
        elif answer.status != (206 if start else 200):
            raise _refusal(url, answer)
        there, since, mark = start, time.monotonic(), start
        while chunk := answer.read1(CHUNK_BYTES):  # read() would wait for the whole piece, however slowly it comes
            there += len(chunk)
            _limit(there, max_bytes, url)
            write(chunk)
            if time.monotonic() - since > SLOW_S:
                if there - mark < SLOW_BYTES:
                    raise _TryAgainError(f"{there - mark} bytes in {SLOW_S:.0f} s")
                since, mark = time.monotonic(), there
        # read1() says nothing when the connection ends before the file does
        if answer.length:
            raise http.client.IncompleteRead(b"", answer.length)
    finally:
        exchange.end()


def _follow(url: str, headers: dict[str, str]) -> Exchange:
    """The answer at the end of the redirects. Each address is asked with its own login, so none goes elsewhere."""
    at = url
    for _ in range(REDIRECTS):
        exchange = ask(at, {**CACHES, **headers})
        answer = exchange.answer
        if answer.status == 407 and (way := route(at)).proxy:
            exchange.end()
            raise refused_by_proxy(way, at, 407)
        if answer.status not in (301, 302, 303, 307, 308):
            return exchange
        answer.read(CHUNK_BYTES)
        exchange.end()
        there = urljoin(at, answer.headers.get("Location", ""))
        secure = urlsplit(at).scheme == "https"
        if urlsplit(there).scheme not in (("https",) if secure else ("http", "https")):
            raise PipelineError(f"redirected to {shown(there)!r}, which is not followed", where=shown(url))
        at = there
    raise PipelineError(f"more than {REDIRECTS} redirects", where=shown(url))


def _first_byte(answer: http.client.HTTPResponse) -> int | None:
    match = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]+/(?:[0-9]+|\*)", answer.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _refusal(url: str, answer: http.client.HTTPResponse) -> Exception:
    status = f"{answer.status} {answer.reason}"
    if answer.status in (403, 404, 410):
        return NotThereError(f"the server has no such file ({status})", where=shown(url))
    if answer.status == 401:
        return PipelineError(
            f"the server asks for a login, or does not accept ours ({status})",
            where=shown(url),
            hint="/etc/apt/auth.conf.d/NAME.conf: machine [http://]HOST login NAME password WORD",
        )
    if answer.status in (408, 429) or (answer.status >= 500 and answer.status not in (501, 505)):
        return _TryAgainError(status, _wait_s(answer.headers.get("Retry-After", "")))
    if answer.status < 400:  # 206 or 304 to a plain question: somebody in between is confused
        return _TryAgainError(status)
    return PipelineError(f"the server refuses ({status})", where=shown(url))


def _wait_s(text: str) -> float | None:
    """Retry-After: seconds, or a date."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return max(0.0, (at - datetime.now(UTC)).total_seconds())


def _limit(there: int, max_bytes: int, url: str) -> None:
    if there > max_bytes:
        raise PipelineError(f"longer than the {max_bytes} bytes it may have", where=shown(url))
