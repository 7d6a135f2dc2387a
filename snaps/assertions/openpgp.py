"""The keys and signatures of assertions: RSA in OpenPGP packets, of the one form snapd writes. Pure.

Each signature has one text: what OpenPGP leaves open (packet lengths, base64 lines, unsigned subpackets, numbers with
leading zeros) is accepted as snapd and gpg write it and refused otherwise, so no byte of it can be changed unseen.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from snaps.assertions.refused import RefusedError
from snaps.assertions.types import hash_text

LINE = 76  # characters of base64
MIN_BITS, MAX_BITS = 2048, 16384
_VERSION = 0x01  # the byte before every packet
_SIGNATURE, _PUBLIC_KEY = 2, 6  # packet tags
_RSA, _SHA512, _BINARY = 1, 10, 0x00
_ISSUER, _ISSUER_FINGERPRINT = 16, 33  # subpackets
# A key's id is made as if it was made in the first second of 2016, whenever that was.
_FIXED_TIME = (1451606400).to_bytes(4, "big")


@dataclass(frozen=True)
class Signature:
    """signed: the part of the packet that is signed with the content. issuer: eight bytes that name the key, or b""."""

    signed: bytes
    digest_start: bytes
    bits: int
    number: bytes
    issuer: bytes
    fingerprint: bytes


@dataclass(frozen=True)
class PublicKey:
    """id: as in sign-key-sha3-384. issuer: what OpenPGP calls its id, eight bytes."""

    id: str
    issuer: bytes
    bits: int
    rsa: rsa.RSAPublicKey


def read_key(body: bytes, *, where: str) -> PublicKey:
    """Read the body of an account-key. Raises RefusedError."""
    content = _packet(_dearmoured(body, where, lines=False), _PUBLIC_KEY, where)
    if content[:1] != b"\x04" or content[5:6] != bytes([_RSA]):
        raise RefusedError("its key is not an RSA key of OpenPGP version 4", where=where)
    bits, number, rest = _mpi(content[6:], where)
    exponent_bits, exponent, rest = _mpi(rest, where)
    n, e = int.from_bytes(number, "big"), int.from_bytes(exponent, "big")
    if rest or n.bit_length() != bits or e.bit_length() != exponent_bits:
        raise RefusedError("its key is not written as it should be", where=where)
    if not MIN_BITS <= bits <= MAX_BITS or bits % 256:
        raise RefusedError(
            f"its RSA key has {bits} bits; {MIN_BITS} to {MAX_BITS} in steps of 256 are taken", where=where
        )
    if exponent_bits > 32:
        raise RefusedError("its RSA key has an exponent nobody uses", where=where)
    if n % 2 == 0 or e % 2 == 0 or e < 3:
        raise RefusedError("its RSA key cannot be one", where=where)
    content = b"\x04" + _FIXED_TIME + content[5:]
    try:
        key = rsa.RSAPublicNumbers(e, n).public_key()
    except ValueError as error:
        raise RefusedError(f"its RSA key cannot be one: {error}", where=where) from error
    digest = hashlib.sha3_384(bytes([_VERSION]) + _header(_PUBLIC_KEY, len(content)) + content).digest()
    # SHA-1 is only OpenPGP's way to name a key; nothing rests on it.
    fingerprint = hashlib.sha1(b"\x99" + len(content).to_bytes(2, "big") + content, usedforsecurity=False).digest()
    return PublicKey(hash_text(digest), fingerprint[-8:], bits, key)


def read_signature(text: bytes, *, where: str) -> Signature:
    """Read the signature of an assertion. Raises RefusedError."""
    content = _packet(_dearmoured(text, where, lines=True), _SIGNATURE, where)
    if content[:1] != b"\x04" or content[1:2] != bytes([_BINARY]):
        raise RefusedError("its signature is not one of a document, of OpenPGP version 4", where=where)
    if content[2:4] != bytes([_RSA, _SHA512]):
        raise RefusedError("it is signed in another way than with RSA and SHA-512", where=where)
    hashed, rest = _counted(content[4:], where)
    unhashed, rest = _counted(rest, where)
    bits, number, left = _mpi(rest[2:], where)
    if len(rest) < 2 or left:
        raise RefusedError("its signature packet has more or less in it than it should", where=where)
    fingerprint = _subpackets(hashed, where).get(_ISSUER_FINGERPRINT, b"")
    unsigned = _subpackets(unhashed, where)
    issuer = unsigned.pop(_ISSUER, b"")
    if unsigned or (unhashed and unhashed != b"\x09\x10" + issuer) or (issuer and len(issuer) != 8):
        raise RefusedError("its signature says things which are not signed", where=where)
    return Signature(content[: 6 + len(hashed)], rest[:2], bits, number, issuer, fingerprint)


def verify(
    content: bytes, signature: Signature, key: PublicKey, *, where: str, issuers: Collection[bytes] = ()
) -> None:
    """Return if the key signed the content; else RefusedError.

    issuers: OpenPGP ids the key is known by, beside the one it has when snapd makes it.
    """
    if signature.issuer and signature.issuer not in (key.issuer, signature.fingerprint[-8:], *issuers):
        raise RefusedError(
            f"its signature names the key {signature.issuer.hex()} where nothing is signed, and nothing bears it out",
            where=where,
            hint="old versions of gpg sign like this: sign it anew, or vouch for a model's file with --model",
        )
    size = key.bits // 8
    whole = signature.bits == key.bits and len(signature.number) == size  # as Go writes it
    exact = int.from_bytes(signature.number, "big").bit_length() == signature.bits  # as OpenPGP has it
    if not (whole or exact) or len(signature.number) > size:
        raise RefusedError("its signature is not written as one of this key is", where=where)
    data = content + signature.signed + b"\x04\xff" + len(signature.signed).to_bytes(4, "big")
    if hashlib.sha512(data).digest()[:2] != signature.digest_start:
        raise RefusedError("is not what was signed: its hash is another", where=where)
    try:
        key.rsa.verify(signature.number.rjust(size, b"\0"), data, padding.PKCS1v15(), hashes.SHA512())
    except InvalidSignature as e:
        raise RefusedError(f"its signature is not one of the key {key.id}", where=where) from e


def _dearmoured(text: bytes, where: str, *, lines: bool) -> bytes:
    """The packet in base64 text; the text must be the one way to write it, with lines=True its line ends too."""
    joined = text.replace(b"\n", b"")
    try:
        data = base64.b64decode(joined, validate=True)
    except ValueError as e:
        raise RefusedError("its signature or key is no base64", where=where) from e
    if base64.b64encode(data) != joined:
        raise RefusedError("its signature or key is base64 with bits that mean nothing", where=where)
    if lines and b"\n".join(joined[at : at + LINE] for at in range(0, len(joined), LINE)) != text:
        raise RefusedError(f"its signature is not in lines of {LINE} characters", where=where)
    if data[:1] != bytes([_VERSION]):
        raise RefusedError("its signature or key is of an unknown version", where=where)
    return data[1:]


def _packet(data: bytes, tag: int, where: str) -> bytes:
    """The content of the one packet in data, whose header must be the shortest of the new format."""
    first = data[1] if len(data) > 1 else 0
    start = 2 if first < 192 else 3 if first < 224 else 6
    content = data[start:]
    if data[:start] != _header(tag, len(content)):
        raise RefusedError("its signature or key is not exactly one OpenPGP packet of its type", where=where)
    return content


def _header(tag: int, length: int) -> bytes:
    if length < 192:
        size = bytes([length])
    elif length < 8384:
        size = bytes([((length - 192) >> 8) + 192, (length - 192) & 0xFF])
    else:
        size = b"\xff" + length.to_bytes(4, "big")
    return bytes([0xC0 | tag]) + size


def _counted(data: bytes, where: str) -> tuple[bytes, bytes]:
    """What the two bytes of length in front say, and what is after it."""
    end = 2 + int.from_bytes(data[:2], "big")
    if len(data) < end or end < 2:
        raise RefusedError("its signature packet is cut short", where=where)
    return data[2:end], data[end:]


def _mpi(data: bytes, where: str) -> tuple[int, bytes, bytes]:
    """A number: the bits it says to have, its bytes, and what is after it."""
    bits = int.from_bytes(data[:2], "big")
    end = 2 + (bits + 7) // 8
    if bits == 0 or len(data) < end:
        raise RefusedError("a number in its signature or key is cut short", where=where)
    return bits, data[2:end], data[end:]


def _subpackets(data: bytes, where: str) -> dict[int, bytes]:
    """Type to content. A critical one, one that stands twice, or one too long for one byte of length is refused."""
    found: dict[int, bytes] = {}
    while data:
        length = data[0]
        if not 0 < length < 192 or len(data) < 1 + length or data[1] in found or data[1] & 0x80:
            raise RefusedError("its signature has subpackets that are not understood", where=where)
        found[data[1]] = data[2 : 1 + length]
        data = data[1 + length :]
    return {kind: content[1:] if kind == _ISSUER_FINGERPRINT else content for kind, content in found.items()}
