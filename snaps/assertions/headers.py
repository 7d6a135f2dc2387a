"""The headers of an assertion: text to values and back, the same bytes again. Pure.

A value is a text, a list of values, or a map of names to values; there are no numbers. Each value has one way to be
written, and any other way is refused, so printing what was parsed gives the bytes that were signed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union

from snaps.assertions.refused import RefusedError

Value: TypeAlias = Union[str, list["Value"], dict[str, "Value"]]  # noqa: UP007  # | takes no text beside a class
Headers: TypeAlias = dict[str, Value]

MAX_BYTES = 128 * 1024
MAX_DEPTH = 32  # of lists and maps in each other; real ones have six at most

_NAME = re.compile(r"[a-z](?:-?[a-z0-9])*")
# Controls, and what some programs take for the end of a line: none has a place in a header.
_UNSEEMLY = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def parse(head: bytes, *, where: str) -> Headers:
    """Read the headers of one assertion. Raises RefusedError."""
    if len(head) > MAX_BYTES:
        raise RefusedError(f"its headers are longer than {MAX_BYTES} bytes", where=where)
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as e:
        raise RefusedError("its headers are not UTF-8", where=where) from e
    if unseemly := _UNSEEMLY.search(text):
        raise RefusedError(f"its headers have the control character {unseemly.group()!r}", where=where)
    reader = _Reader(text.split("\n"), where)
    found = reader.map(0, 0)
    if reader.at < len(reader.lines):
        raise reader.refused("is no header")
    return found


class _Reader:
    """Reads lines from the first to the last; `at` is the next one."""

    def __init__(self, lines: list[str], where: str) -> None:
        self.lines, self.where, self.at = lines, where, 0

    def refused(self, what: str) -> RefusedError:
        line = self.lines[self.at] if self.at < len(self.lines) else ""
        return RefusedError(f"line {self.at + 1} {what}: {line[:80]!r}", where=self.where)

    def begins(self, prefix: str) -> bool:
        return self.at < len(self.lines) and self.lines[self.at].startswith(prefix)

    def map(self, indent: int, depth: int) -> dict[str, Value]:
        pad = " " * indent
        found: dict[str, Value] = {}
        while self.begins(pad):
            name, colon, _ = self.lines[self.at][indent:].partition(":")
            if not colon or not _NAME.fullmatch(name):
                raise self.refused("does not begin with the name of a header and a colon")
            if name in found:
                raise self.refused(f"has the header {name} a second time")
            found[name] = self.value(indent, indent + len(name) + 1, depth)
        return found

    def list(self, indent: int, depth: int) -> list[Value]:
        found: list[Value] = []
        while self.begins(" " * indent + "-"):
            found.append(self.value(indent, indent + 1, depth))
        return found

    def value(self, indent: int, begin: int, depth: int) -> Value:
        """What stands from column `begin` on; nested lines are indented by more than `indent`."""
        rest = self.lines[self.at][begin:]
        if rest:
            if not rest.startswith(" "):
                raise self.refused("has no blank before its value")
            self.at += 1
            return rest[1:]
        if depth == MAX_DEPTH:
            raise self.refused(f"nests deeper than {MAX_DEPTH} levels")
        self.at += 1
        inner = indent + 2
        if self.begins(" " * inner + "-"):
            return self.list(inner, depth + 1)
        if self.begins(" " * (inner + 2)):
            return self.text(inner + 2)
        if self.begins(" " * inner):
            return self.map(inner, depth + 1)
        self.at -= 1
        raise self.refused("has no value, nor lines below it that belong to it")

    def text(self, indent: int) -> str:
        pad = " " * indent
        lines = []
        while self.begins(pad):
            lines.append(self.lines[self.at][indent:])
            self.at += 1
        if len(lines) < 2:
            self.at -= 1
            raise self.refused("is a text of one line written as one of several")
        return "\n".join(lines)


def encode(headers: Mapping[str, Value]) -> bytes:
    """Print headers, in their order, without a newline at the end."""
    lines: list[str] = []
    for name, value in headers.items():
        _encode(f"{name}:", value, 0, lines)
    return "\n".join(lines).encode()


def _encode(start: str, value: Value, indent: int, lines: list[str]) -> None:
    pad = " " * indent
    if isinstance(value, str) and "\n" not in value:
        lines.append(f"{pad}{start} {value}")
        return
    lines.append(pad + start)
    if isinstance(value, str):
        lines += [f"{pad}    {line}" for line in value.split("\n")]
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            _encode(f"{name}:", inner, indent + 2, lines)
    else:
        for inner in value:
            _encode("-", inner, indent + 2, lines)


def texts(value: Value | None) -> Sequence[str] | None:
    """A list of texts as one; None for anything else, no header at all included."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [item for item in value if isinstance(item, str)]
    return None
