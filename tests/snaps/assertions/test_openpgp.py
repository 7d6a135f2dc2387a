"""Keys and signatures: what snapd and gpg write is taken, what only looks like it is not."""

from __future__ import annotations

import base64
import hashlib

import pytest
from assertion_signer import FIXED, SigningKey, armoured, mpi, packet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from snaps.assertions import openpgp
from snaps.assertions.refused import RefusedError

CONTENT = b"type: account\nauthority-id: someone"


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey()


def check(key: SigningKey, text: str, content: bytes = CONTENT) -> None:
    public = openpgp.read_key(key.body.encode(), where="key")
    openpgp.verify(content, openpgp.read_signature(text.encode(), where="test"), public, where="test")


def made(key: SigningKey, **other: bytes) -> str:
    """A signature with parts of it exchanged: head, hashed, unhashed, digest, number, tail (data after the packet)."""
    head = other.get("head", b"\x04\x00\x01\x0a")
    hashed = other.get("hashed", b"\x05\x02" + FIXED.to_bytes(4, "big"))
    signed = head + len(hashed).to_bytes(2, "big") + hashed
    data = CONTENT + signed + b"\x04\xff" + len(signed).to_bytes(4, "big")
    number = other.get(
        "number", mpi(int.from_bytes(key.private.sign(data, padding.PKCS1v15(), hashes.SHA512()), "big"))
    )
    unhashed = other.get("unhashed", b"")
    content = signed + len(unhashed).to_bytes(2, "big") + unhashed
    content += other.get("digest", hashlib.sha512(data).digest()[:2]) + number
    return armoured(packet(2, content) + other.get("tail", b""))


def test_key_id(key: SigningKey) -> None:
    public = openpgp.read_key(key.body.encode(), where="key")
    assert (public.id, public.issuer, public.bits) == (key.id, key.issuer, 2048)


def test_key_id_does_not_depend_on_when_the_key_was_made(key: SigningKey) -> None:
    later = key.content[:1] + (FIXED + 1000).to_bytes(4, "big") + key.content[5:]
    assert openpgp.read_key(armoured(packet(6, later)).encode(), where="key").id == key.id


def test_good(key: SigningKey) -> None:
    check(key, made(key))
    check(key, key.sign(CONTENT))
    check(key, armoured(key.signature_packet(CONTENT, issuer=None)))


def test_signature_with_leading_zeros(key: SigningKey) -> None:
    """One of 256 begins with a zero byte, which OpenPGP drops and Go keeps."""
    for second in range(FIXED, FIXED + 5000):
        dropped = key.signature_packet(CONTENT, stamp=second)
        if len(dropped) < len(key.signature_packet(CONTENT, stamp=second, whole_mpi=True)):
            break
    check(key, armoured(dropped))
    check(key, armoured(key.signature_packet(CONTENT, stamp=second, whole_mpi=True)))


def test_issuer_is_that_of_the_key_or_borne_out_by_a_signed_fingerprint(key: SigningKey) -> None:
    fingerprint = bytes(range(20))
    hashed = b"\x16\x21\x04" + fingerprint + b"\x05\x02" + FIXED.to_bytes(4, "big")
    check(key, made(key, hashed=hashed, unhashed=b"\x09\x10" + fingerprint[-8:]))
    with pytest.raises(RefusedError, match="nothing bears it out"):
        check(key, made(key, unhashed=b"\x09\x10" + fingerprint[-8:]))


def test_issuer_somebody_vouched_for(key: SigningKey) -> None:
    public = openpgp.read_key(key.body.encode(), where="key")
    signature = openpgp.read_signature(made(key, unhashed=b"\x09\x10abcdefgh").encode(), where="test")
    openpgp.verify(CONTENT, signature, public, where="test", issuers={b"abcdefgh"})


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        pytest.param({"head": b"\x03\x00\x01\x0a"}, "version 4", id="version 3"),
        pytest.param({"head": b"\x04\x01\x01\x0a"}, "of a document", id="text signature"),
        pytest.param({"head": b"\x04\x10\x01\x0a"}, "of a document", id="certification"),
        pytest.param({"head": b"\x04\x00\x11\x0a"}, "another way", id="DSA"),
        pytest.param({"head": b"\x04\x00\x01\x02"}, "another way", id="SHA-1"),
        pytest.param({"head": b"\x04\x00\x01\x08"}, "another way", id="SHA-256"),
        pytest.param({"digest": b"\0\0"}, "hash is another", id="start of the hash"),
        pytest.param({"number": mpi(12345)}, "not one of the key", id="small number"),
        pytest.param({"number": mpi(1 << 2100)}, "as one of this key", id="number too big"),
        pytest.param({"number": b"\x08\x00" + b"\xff" * 256}, "not one of the key", id="number above the modulus"),
        pytest.param({"number": b"\x00\x00"}, "cut short", id="number zero"),
        pytest.param({"number": b"\x08\x00abc"}, "cut short", id="number cut"),
        pytest.param({"number": b"\x01\x08\x00" + b"a" * 32}, "as one of this key", id="number with a zero in front"),
        pytest.param({"tail": b"x"}, "exactly one", id="a byte after it"),
        pytest.param({"tail": packet(2, b"x")}, "exactly one", id="a packet after it"),
        pytest.param({"unhashed": b"\x02\x64x"}, "not signed", id="notes beside"),
        pytest.param({"unhashed": b"\x03\x10ab"}, "not signed", id="short issuer"),
        pytest.param({"hashed": b"\x05\x82" + bytes(4)}, "not understood", id="critical subpacket"),
        pytest.param({"hashed": b"\x09\x02abc"}, "not understood", id="subpacket cut"),
        pytest.param({"hashed": b"\x02\x02a\x02\x02a"}, "not understood", id="subpacket twice"),
    ],
)
def test_refused(key: SigningKey, other: dict[str, bytes], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        check(key, made(key, **other))


def test_packet_lengths_have_one_form(key: SigningKey) -> None:
    content = key.signature_packet(CONTENT)[3:]
    assert packet(2, content) == key.signature_packet(CONTENT)
    for head in (
        b"\xc2\xff" + len(content).to_bytes(4, "big"),  # five bytes where two do
        b"\x89" + len(content).to_bytes(2, "big"),  # the old format
        b"\xc2\xe8",  # partial: 256 bytes, and more to come
        b"\xc6" + packet(2, content)[1:3],  # another type
    ):
        with pytest.raises(RefusedError, match="exactly one OpenPGP packet"):
            check(key, armoured(head + content))


def test_base64_has_one_form(key: SigningKey) -> None:
    text = made(key)
    whole = text.replace("\n", "")
    for other, reason in (
        (whole, "lines of 76"),
        (text + "\n", "lines of 76"),
        (text.replace("\n", "\r\n"), "no base64"),
        (text[:-1] + "!", "no base64"),
        (" " + text, "no base64"),
        (text.replace("=", "") or text, "no base64"),
    ):
        if other != text:
            with pytest.raises(RefusedError, match=reason):
                check(key, other)
    data = base64.b64decode(whole)
    for size in (1, 2):  # bytes in the last group: the last character has bits that stand for nothing
        short = base64.b64encode(data[: len(data) // 3 * 3 - 3 + size]).decode()
        at = len(short.rstrip("=")) - 1
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        other = short[:at] + letters[letters.index(short[at]) ^ 1] + short[at + 1 :]
        assert base64.b64decode(other) == base64.b64decode(short)
        with pytest.raises(RefusedError, match="mean nothing"):
            openpgp.read_signature(other.encode(), where="test")


def test_version_byte(key: SigningKey) -> None:
    data = base64.b64decode(made(key).replace("\n", ""))
    text = base64.encodebytes(b"\x02" + data[1:]).rstrip(b"\n")
    with pytest.raises(RefusedError, match="unknown version"):
        openpgp.read_signature(text, where="test")


def test_another_key_and_another_content(key: SigningKey) -> None:
    with pytest.raises(RefusedError, match="not one of the key"):
        check(SigningKey(), armoured(key.signature_packet(CONTENT, issuer=None)))
    with pytest.raises(RefusedError, match="hash is another"):
        check(key, made(key), CONTENT + b" ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"\x03" + bytes(4) + b"\x01" + mpi(1 << 2047) + mpi(65537), "version 4", id="version 3"),
        pytest.param(b"\x04" + bytes(4) + b"\x11" + mpi(1 << 2047) + mpi(65537), "RSA", id="DSA"),
        pytest.param(b"\x04" + bytes(4) + b"\x01" + mpi((1 << 1023) + 1) + mpi(65537), "1024 bits", id="too short"),
        pytest.param(b"\x04" + bytes(4) + b"\x01" + mpi((1 << 2048) + 1) + mpi(65537), "2049 bits", id="odd length"),
        pytest.param(b"\x04" + bytes(4) + b"\x01" + mpi((1 << 20479) + 1) + mpi(65537), "20480", id="too long"),
        pytest.param(b"\x04" + bytes(4) + b"\x01" + mpi(1 << 2047) + mpi(65537), "cannot be one", id="even"),
        pytest.param(b"\x04" + bytes(4) + b"\x01" + mpi((1 << 2047) + 1) + mpi(2), "cannot be one", id="even exponent"),
        pytest.param(b"\x04" + bytes(4) + b"\x01" + mpi((1 << 2047) + 1) + mpi(1), "cannot be one", id="exponent one"),
        pytest.param(b"\x04" + bytes(4) + b"\x01" + mpi((1 << 2047) + 1) + mpi(1 << 40), "nobody uses", id="exponent"),
        pytest.param(b"\x04" + bytes(4) + b"\x01" + mpi((1 << 2047) + 1) + mpi(3) + b"x", "as it should", id="more"),
        pytest.param(b"\x04" + bytes(4) + b"\x01\x08\x00" + b"\x01" * 256 + mpi(3), "as it should", id="zero bits"),
        pytest.param(b"\x04" + bytes(4) + b"\x01\x08", "cut short", id="cut"),
    ],
)
def test_keys_refused(content: bytes, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        openpgp.read_key(armoured(packet(6, content)).encode(), where="key")
