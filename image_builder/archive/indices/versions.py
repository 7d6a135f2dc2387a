"""Debian versions, compared as apt and dpkg do."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from operator import eq, ge, gt, le, lt

# A version as a value that Python compares by itself: epoch, then texts and numbers in turn, upstream before revision.
Key = tuple[object, ...]

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")
# In a text "~" comes before its end, the end before letters, and letters before all else.
_TILDE, _END = "\x01", "\x02"
_ORDER = {ord(c): chr(256 + ord(c)) for c in "+-.:"} | {ord("~"): _TILDE}

_OPERATORS: dict[str, Callable[[Key, Key], bool]] = {
    "<<": lt,
    "<=": le,
    "=": eq,
    ">=": ge,
    ">>": gt,
    "<": le,  # the two old words mean what dpkg still takes them for
    ">": ge,
}


@lru_cache(maxsize=200_000)
def key(version: str) -> Key:
    """A value to sort versions by; equal for versions that are equal to dpkg ("1.0", "1.0-0", "0:1.00").

    >>> key("1.0~rc1-1") < key("1.0-1") < key("1.0-1+b2") < key("1:0.9")
    True
    """
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, ""
    return (int(epoch), *_part(upstream), *_part(revision))


def compare(a: str, b: str) -> int:
    """-1, 0 or 1, as a is lower than, equal to or higher than b."""
    if a == b:
        return 0
    ka, kb = key(a), key(b)
    return (ka > kb) - (ka < kb)


def satisfies(version: str, operator: str, wanted: str) -> bool:
    """Whether "version operator wanted" holds; operator as relations write it. Raises KeyError for another."""
    return _OPERATORS[operator](key(version), key(wanted))


def _part(text: str) -> list[object]:
    """Texts and numbers in turn, and then an end; nothing at all counts as 0."""
    pairs = _PARTS.findall(text)[:-1] or [("", "")]  # the last match is always empty
    values = [value for word, number in pairs for value in (word.translate(_ORDER) + _END, int(number or 0))]
    return [*values, _END, 0]
