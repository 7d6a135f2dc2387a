"""Where each page of the web view is: paths below its top, the same as files and on the server."""

from __future__ import annotations

import hashlib
import re

INDEX, SEARCH, SEARCH_INDEX = "index.html", "search.html", "search-index.js"
STATIC = ("style.css", "search.js", "icon.svg")
LONGEST = 120  # bytes of a name in a path; file systems take 255

_PLAIN = re.compile(r"[A-Za-z0-9+~_-][A-Za-z0-9+.~_-]*")


def safe(name: str) -> str:
    """A name as one part of a path and of an address: no two names give the same.

    >>> safe("libstdc++6"), safe("../etc"), safe("")
    ('libstdc++6', '=2E=2E=2Fetc', '=.e3b0c44298fc1c149afbf4c8996fb924')
    """
    if len(name) <= LONGEST and _PLAIN.fullmatch(name):
        return name
    text = "".join(one if _PLAIN.fullmatch(one) else _coded(one) for one in name)
    if not text or len(text) > LONGEST:  # "=." is in no coded name
        text = f"{text[:60]}=.{hashlib.sha256(_bytes(name)).hexdigest()[:32]}"
    return text


def prefix(source: str) -> str:
    """The part of the archive's pool a source is in: "h" for hello, "libf" for libfoo."""
    return source[:4] if source.startswith("lib") and len(source) > 3 else source[:1]


def package(source: str) -> str:
    """The page of a source package."""
    return f"package/{safe(prefix(source))}/{safe(source)}.html"


def names(group: str) -> str:
    """The page of all sources with this prefix."""
    return f"names/{safe(group)}.html"


def run(identity: int) -> str:
    """The page of a run."""
    return f"run/{identity}/index.html"


def listing(identity: int, suite: str, architecture: str, state: str) -> str:
    """The page of all packages of a run in one state."""
    return f"run/{identity}/{safe(suite)}/{safe(architecture)}/{safe(state)}.html"


def log(attempt: int) -> str:
    """The page of an attempt's log."""
    return f"log/{attempt}.html"


def whole_log(attempt: int, *, packed: bool) -> str:
    """The log itself: as it is kept, or as text."""
    return f"log/{attempt}.log.xz" if packed else f"log/{attempt}.txt"


def top(path: str) -> str:
    """What leads from a page to the top: "" or "../../"."""
    return "../" * path.count("/")


def _coded(text: str) -> str:
    return "".join(f"={byte:02X}" for byte in _bytes(text))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
