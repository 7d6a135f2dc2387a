"""Assertions and streams of them: read, printed, refused."""

from __future__ import annotations

import random

import pytest
from assertion_signer import Authority, SigningKey, content_of, sign, stream
from hypothesis import given, settings
from hypothesis import strategies as st

from snaps.assertions.parse import encode, parse, parse_stream
from snaps.assertions.refused import RefusedError


@pytest.fixture(scope="module")
def three(snap_authority: Authority) -> list[bytes]:
    return [
        snap_authority.account("dev", "dev"),
        snap_authority.store_account_key,
        snap_authority.model(snaps=[{"name": "pc", "modes": ["run"]}, {"name": "core22", "note": "two\nlines"}]),
    ]


def test_a_stream_is_read_whole_and_printed_the_same(three: list[bytes]) -> None:
    found = parse_stream(stream(*three))
    assert [one.kind for one in found] == ["account", "account-key", "model"]
    assert [one.raw for one in found] == three
    assert stream(*(encode(one) for one in found)) == stream(*three)


def test_the_last_newline_may_be_missing(three: list[bytes]) -> None:
    assert [one.raw for one in parse_stream(stream(*three).rstrip(b"\n"))] == three


def test_what_it_says_of_itself(three: list[bytes]) -> None:
    account = parse(three[0])
    assert (str(account.ref), account.authority, account.revision, account.format) == (
        "account/dev", "test-root", 0, 0,
    )  # fmt: skip
    assert account.text == three[0].decode()


def test_default_of_the_primary_key_is_left_out(snap_authority: Authority) -> None:
    one = parse(snap_authority.snap_revision("ab" * 48, 1, "x" * 32, 1, "dev"))
    assert len(one.ref.key) == 1
    other = parse(snap_authority.snap_revision("ab" * 48, 1, "x" * 32, 1, "dev", provenance="own"))
    assert other.ref.key == (*one.ref.key, "own")


def test_body_with_empty_lines(snap_authority: Authority) -> None:
    headers = {"type": "base-declaration", "authority-id": "test-root", "series": "16"}
    raw = sign(headers, snap_authority.root, "one\n\ntwo\n\n\nthree")
    (found,) = parse_stream(raw)
    assert found.body == b"one\n\ntwo\n\n\nthree"
    assert encode(found) == raw


def changed(raw: bytes, old: str, new: str) -> bytes:
    assert old.encode() in raw
    return raw.replace(old.encode(), new.encode(), 1)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        pytest.param("type: account", "type: acount", "unknown type 'acount'", id="unknown type"),
        pytest.param("account-id: dev\n", "", "account-id is ''", id="no primary key"),
        pytest.param("account-id: dev", "account-id: a/b", "names nothing", id="slash in the primary key"),
        pytest.param("username", "format: 1\nusername", "format 1; .* up to 0", id="format too high"),
        pytest.param("username", "revision: 01\nusername", "revision is '01'", id="revision with a zero"),
        pytest.param("username", "revision: -1\nusername", "no number", id="revision below zero"),
        pytest.param("username", "revision:\n  - 1\nusername", "revision is no text", id="revision a list"),
        pytest.param("username", "body-length: 3\nusername", "no empty line after the 3 bytes", id="body-length lies"),
        pytest.param("username", "body-length: 99999999\nusername", "body is longer", id="body too long"),
        pytest.param("authority-id: test-root\n", "", "whose word", id="no authority"),
        pytest.param("authority-id: test-root", "authority-id: ../x", "whose word", id="odd authority"),
        pytest.param("sign-key-sha3-384: ", "sign-key-sha3-384: x", "which key signed", id="odd key"),
        pytest.param("username", "note: " + "x" * 131072 + "\nusername", "too long", id="129 KiB of headers"),
    ],
)  # fmt: skip
def test_refused(three: list[bytes], old: str, new: str, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        parse(changed(three[0], old, new))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "holds 0", id="nothing"),
        pytest.param(b"\n\n", "name of a header", id="empty lines"),
        pytest.param(b"type: account", "cut short", id="headers only"),
        pytest.param(b"type: account\n\n", "signature is missing", id="no signature"),
    ],
)
def test_fragments(data: bytes, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        parse(data)


def test_cut_at_any_byte_it_is_refused_or_has_another_signature(three: list[bytes]) -> None:
    raw = three[1]
    for end in range(len(raw) - 1):
        try:
            found = parse(raw[:end])
        except RefusedError:
            continue
        assert found.signature != parse(raw).signature


def test_two_where_one_should_be(three: list[bytes]) -> None:
    with pytest.raises(RefusedError, match="holds 3"):
        parse(stream(*three))


@pytest.mark.parametrize("more", [b"\n", b"\n\n", b"\nx", b"x: y\n"])
def test_something_after_the_last_one(three: list[bytes], more: bytes) -> None:
    try:
        found = parse(three[0] + more)
    except RefusedError:
        return
    assert found.signature not in parse(three[0]).signature  # taken as a part of the signature: which then is no base64


def test_signature_too_long(three: list[bytes]) -> None:
    with pytest.raises(RefusedError, match="too long"):
        parse(three[0].rstrip(b"\n") + b"A" * 131072)


def test_body_that_is_no_text() -> None:
    raw = content_of({"type": "base-declaration", "authority-id": "a", "series": "16"}, "xy")
    with pytest.raises(RefusedError, match="body is not UTF-8"):
        parse(raw.replace(b"xy", b"\xff\xff") + b"\n\nAA==")


@settings(max_examples=300)
@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_mutated_ones_give_no_other_error(rng: random.Random, times: int) -> None:
    data = bytearray(SAMPLE)
    for _ in range(times):
        at = rng.randrange(len(data))
        kind = rng.randrange(4)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at : at + rng.randrange(1, 30)]
        elif kind == 2:
            data[at:at] = bytes(rng.choice(b"\n\n  -:ab=\xff\x00") for _ in range(rng.randrange(1, 8)))
        else:
            begin = rng.randrange(len(data))
            data[at:at] = data[begin : begin + rng.randrange(80)]
        if not data:
            return
    try:
        found = parse_stream(bytes(data))
    except RefusedError:
        return
    assert b"\n".join(encode(one) for one in found).rstrip(b"\n") == bytes(data).removesuffix(b"\n")


_KEY = SigningKey()
SAMPLE = stream(
    sign({"type": "account", "authority-id": "a", "account-id": "b", "list": ["x", {"m": "y\nz"}]}, _KEY),
    sign({"type": "account-key", "authority-id": "a", "public-key-sha3-384": _KEY.id}, _KEY, _KEY.body),
)
