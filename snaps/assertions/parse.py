"""One assertion, or a stream of them: bytes to values and back, the same bytes again. Pure; verifies nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from snaps.assertions import headers as heads
from snaps.assertions import types
from snaps.assertions.headers import Headers, Value
from snaps.assertions.refused import RefusedError
from snaps.assertions.types import KINDS, Ref

MAX_BODY_BYTES = 2 * 1024 * 1024
MAX_SIGNATURE_BYTES = 128 * 1024

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_ACCOUNT = re.compile(r"[a-z0-9A-Z](?:-?[a-z0-9A-Z]){0,63}")
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{64}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, eq=False)
class Assertion:
    """Read, and well formed as far as every type asks for; true only once a Database took it.

    content: the signed bytes, headers and body. signature: its text, without a newline at the end.
    """

    ref: Ref
    headers: Headers
    body: bytes
    content: bytes
    signature: bytes
    revision: int
    format: int

    @property
    def kind(self) -> str:
        return self.ref.kind

    @property
    def where(self) -> str:
        """Its address, for messages."""
        return str(self.ref)

    @property
    def authority(self) -> str:
        """The account that says so."""
        return self.header("authority-id")

    @property
    def sign_key(self) -> str:
        return self.header("sign-key-sha3-384")

    @cached_property
    def raw(self) -> bytes:
        """The whole assertion, with a newline at the end."""
        return self.content + b"\n\n" + self.signature + b"\n"

    @cached_property
    def text(self) -> str:
        """The same as text."""
        return self.raw.decode()

    def header(self, name: str) -> str:
        """A header that must be there and be a text with something in it."""
        value = self.headers.get(name)
        if not isinstance(value, str) or not value:
            raise RefusedError(f"has no header {name}" if not value else f"{name} is no text", where=self.where)
        return value

    def optional(self, name: str) -> str:
        """A header that is a text, "" where it is not there."""
        value: Value = self.headers.get(name, "")
        if not isinstance(value, str):
            raise RefusedError(f"{name} is no text", where=self.where)
        return value

    def number(self, name: str) -> int:
        return number(self.header(name), name, self.where)

    def time(self, name: str) -> datetime:
        return time(self.header(name), name, self.where)


def parse(data: bytes, *, where: str = "assertion") -> Assertion:
    """Read exactly one. Raises RefusedError."""
    found = parse_stream(data, where=where)
    if len(found) != 1:
        raise RefusedError(f"holds {len(found)} assertions where one should be", where=where)
    return found[0]


def parse_stream(data: bytes, *, where: str = "assertions") -> list[Assertion]:
    """Read one after the other, with an empty line between two. Raises RefusedError."""
    found: list[Assertion] = []
    at = 0
    while at < len(data):
        one, at = _parse(data, at, f"{where}, assertion {len(found) + 1}" if found else where)
        found.append(one)
    return found


def encode(assertion: Assertion) -> bytes:
    """Print it anew from its values, with a newline at the end."""
    body = b"\n\n" + assertion.body if assertion.body else b""
    return heads.encode(assertion.headers) + body + b"\n\n" + assertion.signature + b"\n"


def _parse(data: bytes, begin: int, where: str) -> tuple[Assertion, int]:
    """The assertion that begins there, and where the next one does."""
    end = data.find(b"\n\n", begin, begin + heads.MAX_BYTES + 2)
    if end < 0:
        raise RefusedError("is cut short, or its headers are too long: no empty line after them", where=where)
    headers = heads.parse(data[begin:end], where=where)
    body_begin = end
    if size := number(_text(headers, "body-length", "0", where), "body-length", where):
        if size > MAX_BODY_BYTES:
            raise RefusedError(f"its body is longer than {MAX_BODY_BYTES} bytes", where=where)
        body_begin, end = end + 2, end + 2 + size
        if data[end : end + 2] != b"\n\n":
            raise RefusedError(f"no empty line after the {size} bytes of body it says it has", where=where)
    content, body = data[begin:end], data[body_begin:end]
    if body:
        try:
            body.decode("utf-8")
        except UnicodeDecodeError as e:
            raise RefusedError("its body is not UTF-8", where=where) from e
    begin = end + 2
    end = data.find(b"\n\n", begin)
    signature = data[begin:end] if end >= 0 else data[begin:].removesuffix(b"\n")
    if not signature or len(signature) > MAX_SIGNATURE_BYTES:
        raise RefusedError("its signature is missing, or too long", where=where)
    following = len(data) if end < 0 else end + 2
    if end >= 0 and following == len(data):
        raise RefusedError("an empty line at the end, and nothing after it", where=where)
    return _assertion(headers, body, content, signature, where), following


def _assertion(headers: Headers, body: bytes, content: bytes, signature: bytes, where: str) -> Assertion:
    kind = _text(headers, "type", "", where)
    known = KINDS.get(kind)
    if known is None:
        raise RefusedError(f"an assertion of the unknown type {kind!r}", where=where)
    key = {name: _text(headers, name, (known.defaults or {}).get(name, ""), where) for name in known.key}
    for name, value in key.items():
        if not value or "/" in value or "\n" in value:
            raise RefusedError(f"its {name} is {value!r}, which names nothing", where=f"{where} ({kind})")
    ref = types.ref(kind, key)
    where = str(ref)
    format_ = number(_text(headers, "format", "0", where), "format", where)
    if format_ > known.max_format:
        raise RefusedError(
            f"has format {format_}; of this type, formats up to {known.max_format} are understood", where=where
        )
    if not _ACCOUNT.fullmatch(_text(headers, "authority-id", "", where)):
        raise RefusedError("does not say whose word it is (authority-id)", where=where)
    if not _KEY_ID.fullmatch(_text(headers, "sign-key-sha3-384", "", where)):
        raise RefusedError("does not say which key signed it (sign-key-sha3-384)", where=where)
    revision = number(_text(headers, "revision", "0", where), "revision", where)
    return Assertion(ref, headers, body, content, signature, revision, format_)


def _text(headers: Headers, name: str, default: str, where: str) -> str:
    value = headers.get(name, default)
    if not isinstance(value, str):
        raise RefusedError(f"{name} is no text", where=where)
    return value


def number(text: str, name: str, where: str) -> int:
    """A whole number from 0 on, in its one way of writing."""
    if not _NUMBER.fullmatch(text):
        raise RefusedError(f"{name} is {text[:40]!r}, which is no number", where=where)
    return int(text)


def time(text: str, name: str, where: str) -> datetime:
    """An instant as RFC 3339 has it; what is finer than microseconds is dropped."""
    match = _TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        fraction = ((match[2] or "") + "000000")[:6]
        return datetime.fromisoformat(f"{match[1]}.{fraction}{match[3]}").astimezone(UTC)
    except (ValueError, OverflowError) as e:
        raise RefusedError(f"{name} is {text[:40]!r}, which is no time", where=where) from e
