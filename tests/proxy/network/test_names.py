"""Answers to DNS messages: one address for every name, nothing for anything else."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.network.names import Question, answer
from proxy.network.rules import ANY_NAME_ADDRESS


def query(name: str, kind: int, *, klass: int = 1, count: int = 1, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part)
    return struct.pack(">HHHHHH", 0xABCD, flags, count, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, klass)


def test_a_name_has_the_one_address() -> None:
    text, asked = answer(query("deb.debian.org", 1))
    assert asked == Question("deb.debian.org", "A")
    assert text[:2] == b"\xab\xcd"
    assert struct.unpack(">HHHHH", text[2:12]) == (0x8580, 1, 1, 0, 0)
    assert text[-4:] == socket.inet_aton(ANY_NAME_ADDRESS)


@pytest.mark.parametrize(("kind", "name"), [(28, "AAAA"), (16, "TXT"), (15, "MX"), (65, "HTTPS"), (999, "999")])
def test_other_types_have_nothing(kind: int, name: str) -> None:
    text, asked = answer(query("secret.example", kind))
    assert asked == Question("secret.example", name)
    assert struct.unpack(">HHHHH", text[2:12]) == (0x8580, 1, 0, 0, 0)


def test_another_class_has_nothing() -> None:
    assert struct.unpack(">H", answer(query("version.bind", 1, klass=3))[0][6:8]) == (0,)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(query("a.example", 1, count=2), id="two questions"),
        pytest.param(query("a.example", 1, flags=0x8000), id="an answer"),
        pytest.param(query("a.example", 1)[:-3], id="cut short"),
        pytest.param(query("", 1)[:12] + b"\xc0\x0c" + b"\0\1\0\1", id="a pointer to itself"),
    ],
)
def test_a_message_that_is_none_is_told_so(message: bytes) -> None:
    text, asked = answer(message)
    assert asked is None
    assert struct.unpack(">H", text[2:4])[0] & 0x800F == 0x8001


def test_signs_in_a_name_cannot_forge_a_line_of_the_log() -> None:
    message = struct.pack(">HHHHHH", 1, 0, 1, 0, 0, 0) + b"\x03a\nb\0" + struct.pack(">HH", 1, 1)
    assert answer(message)[1] == Question("a\\010b", "A")


@given(st.binary(max_size=600))
def test_any_bytes_are_survived(message: bytes) -> None:
    text, asked = answer(message)
    assert (text == b"") == (len(message) < 12)
    assert asked is None or len(asked.name) <= 4 * 255
