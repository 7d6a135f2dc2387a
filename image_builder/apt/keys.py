"""OpenPGP keys as key servers send them: the one that was meant, told by its fingerprint, and no more than that.

Only what the packets of RFC 4880 say of themselves is read; whether a signature is good is for gpgv or sqv to say.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from image_builder.errors import PipelineError

PUBLIC_KEY, SUBKEY, USER_ID, SIGNATURE = 6, 14, 13, 2
ISSUER_KEY, ISSUER_FINGERPRINT = 16, 33  # subpackets of a signature


class Packet(NamedTuple):
    tag: int
    body: bytes
    raw: bytes  # with its header


def certificate(data: bytes, fingerprint: str, *, where: str) -> bytes:
    """The key with this fingerprint, as packets without armour: itself, its names, subkeys, and what it signed itself.

    What others have signed on it is left out: it changes from day to day, and would change the image with it. Raises
    PipelineError for data without that key, and for what is no key.
    """
    wanted = bytes.fromhex(fingerprint)
    kept: list[bytes] = []
    inside = False
    for packet in packets(dearmoured(data, where=where), where=where):
        if packet.tag == PUBLIC_KEY:
            inside = fingerprint_of(packet.body) == wanted
        if inside and (
            packet.tag in (PUBLIC_KEY, SUBKEY, USER_ID)
            or (packet.tag == SIGNATURE and wanted[-8:] in issuers(packet.body))
        ):
            kept.append(packet.raw)
    if not kept:
        raise PipelineError(f"has no key {fingerprint}", where=where, hint="the key server sent another key, or none")
    return b"".join(kept)


def fingerprint_of(body: bytes) -> bytes:
    """Of a public key packet of version 4; of any other version there is none here, and it is empty."""
    if body[:1] != b"\4":
        return b""
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).digest()


def issuers(body: bytes) -> set[bytes]:
    """Key ids (8 bytes) that a signature packet of version 4 says it was made by."""
    if body[:1] != b"\4":
        return set()
    try:
        return set(_issuers(body))
    except IndexError:
        return set()


def _issuers(body: bytes) -> Iterator[bytes]:
    at = 4  # version, type, two algorithms
    for _ in ("hashed", "not hashed"):
        end = at + 2 + int.from_bytes(body[at : at + 2], "big")
        at += 2
        while at < end:
            length, at = _length(body, at)
            kind = body[at] & 0x7F
            if kind == ISSUER_KEY:
                yield body[at + 1 : at + 9]
            elif kind == ISSUER_FINGERPRINT:
                yield body[at + 2 : at + length][-8:]
            at += length
        at = end


def packets(data: bytes, *, where: str) -> Iterator[Packet]:
    """The packets of a binary key. Raises PipelineError for what is none."""
    at = 0
    while at < len(data):
        start, head = at, data[at]
        try:
            if head & 0xC0 == 0xC0:
                tag = head & 0x3F
                length, at = _length(data, at + 1)
            elif head & 0x80 and head & 3 != 3:
                tag = head >> 2 & 0xF
                size = 1 << (head & 3)
                length, at = int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size
            else:
                raise IndexError
            if at + length > len(data):
                raise IndexError
        except IndexError:
            raise PipelineError(f"is no OpenPGP key (byte {start})", where=where) from None
        yield Packet(tag, data[at : at + length], data[start : at + length])
        at += length


def _length(data: bytes, at: int) -> tuple[int, int]:
    """(a length as packets and subpackets have it, the place behind it)."""
    first = data[at]
    if first < 192:
        return first, at + 1
    if first < 224:
        return (first - 192 << 8) + data[at + 1] + 192, at + 2
    if first < 255:
        raise IndexError  # in parts, which a key is not
    return int.from_bytes(data[at + 1 : at + 5], "big"), at + 5


def dearmoured(data: bytes, *, where: str) -> bytes:
    """The key in its armour as bytes; without armour as it is."""
    blocks = re.findall(
        rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", data, re.S
    )
    if not blocks:
        return data
    found = b""
    for block in blocks:
        body = re.split(rb"\r?\n[ \t]*\r?\n", block, maxsplit=1)[-1]
        lines = [line for line in body.split() if not line.startswith(b"=")]  # the checksum
        try:
            found += base64.b64decode(b"".join(lines), validate=True)
        except (ValueError, binascii.Error) as e:
            raise PipelineError(f"is no armoured key: {e}", where=where) from e
    return found
