"""A small authority of the test's own: makes keys, and signs assertions as the snap store and snapd do.

Written without the code under test, so that a mistake in one of them shows.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

SINCE = "2020-01-01T00:00:00Z"
STAMP = "2024-05-06T07:08:09.123456Z"
FIXED = 1451606400  # the creation time every key has for its id: the first second of 2016


def b64url(digest_hex: str) -> str:
    """Hex to the form snap-revision and account-key have for hashes."""
    return base64.urlsafe_b64encode(bytes.fromhex(digest_hex)).decode().rstrip("=")


def packet(tag: int, content: bytes) -> bytes:
    """An OpenPGP packet with a header of the new format."""
    length = len(content)
    if length < 192:
        size = bytes([length])
    elif length < 8384:
        size = bytes([((length - 192) >> 8) + 192, (length - 192) & 255])
    else:
        size = b"\xff" + length.to_bytes(4, "big")
    return bytes([0xC0 | tag]) + size + content


def mpi(number: int) -> bytes:
    return number.bit_length().to_bytes(2, "big") + number.to_bytes((number.bit_length() + 7) // 8, "big")


def armoured(data: bytes) -> str:
    """Base64 in lines of 76 characters, without a newline at the end."""
    return base64.encodebytes(b"\x01" + data).decode().rstrip("\n")


class SigningKey:
    """An RSA key: id, body of its account-key, signatures."""

    def __init__(self, bits: int = 2048) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        numbers = self.private.public_key().public_numbers()
        self.content = b"\x04" + FIXED.to_bytes(4, "big") + b"\x01" + mpi(numbers.n) + mpi(numbers.e)

    @cached_property
    def id(self) -> str:
        return b64url(hashlib.sha3_384(b"\x01" + packet(6, self.content)).hexdigest())

    @cached_property
    def body(self) -> str:
        return armoured(packet(6, self.content))

    @cached_property
    def issuer(self) -> bytes:
        """What OpenPGP calls the key id: eight bytes."""
        return hashlib.sha1(b"\x99" + len(self.content).to_bytes(2, "big") + self.content).digest()[-8:]

    def signature_packet(
        self, content: bytes, *, stamp: int = FIXED, issuer: bytes | None = b"", whole_mpi: bool = False
    ) -> bytes:
        """issuer: eight bytes; b"" for the key's own, None to say nothing. whole_mpi: keep leading zero bits, as Go."""
        hashed = b"\x05\x02" + stamp.to_bytes(4, "big")
        unhashed = b"" if issuer is None else b"\x09\x10" + (issuer or self.issuer)
        head = b"\x04\x00\x01\x0a" + len(hashed).to_bytes(2, "big") + hashed
        data = content + head + b"\x04\xff" + len(head).to_bytes(4, "big")
        signed = self.private.sign(data, padding.PKCS1v15(), hashes.SHA512())
        number = mpi(int.from_bytes(signed, "big"))
        if whole_mpi:
            number = (len(signed) * 8).to_bytes(2, "big") + signed
        check = hashlib.sha512(data).digest()[:2]
        return packet(2, head + len(unhashed).to_bytes(2, "big") + unhashed + check + number)

    def sign(self, content: bytes) -> str:
        """The signature text of this content."""
        return armoured(self.signature_packet(content))


def header_lines(name: str, value: Any, indent: int = 0) -> list[str]:
    """A header as snapd writes it; name ends with ":" or is the "-" of a list."""
    pad = " " * indent
    if isinstance(value, str) and "\n" not in value:
        return [f"{pad}{name} {value}"]
    lines = [f"{pad}{name}"]
    if isinstance(value, str):
        return lines + [f"{pad}    {line}" for line in value.split("\n")]
    if isinstance(value, Mapping):
        for key, inner in value.items():
            lines += header_lines(f"{key}:", inner, indent + 2)
        return lines
    for inner in value:
        lines += header_lines("-", inner, indent + 2)
    return lines


def content_of(headers: Mapping[str, Any], body: str = "") -> bytes:
    """What is signed: headers, and the body if there is one."""
    named = dict(headers)
    if body:
        named["body-length"] = str(len(body.encode()))
    if "sign-key-sha3-384" in named:  # stands last in all real ones
        named["sign-key-sha3-384"] = named.pop("sign-key-sha3-384")
    text = "\n".join(line for name, value in named.items() for line in header_lines(f"{name}:", value))
    return (text + (f"\n\n{body}" if body else "")).encode()


def sign(headers: Mapping[str, Any], key: SigningKey, body: str = "") -> bytes:
    """One assertion, ended with a newline. sign-key-sha3-384 and body-length are added."""
    content = content_of({**headers, "sign-key-sha3-384": key.id}, body)
    return content + b"\n\n" + key.sign(content).encode() + b"\n"


def stream(*assertions: bytes) -> bytes:
    """Several in one file."""
    return b"\n".join(assertions)


class Authority:
    """A root of trust with the key its store signs with, and a brand that signs models.

    Keyword arguments of the methods are further headers, "_" for "-"; None leaves a header out.
    """

    def __init__(self, account_id: str = "test-root", bits: int = 2048) -> None:
        self.account_id = account_id
        self.root, self.store, self.models = SigningKey(bits), SigningKey(bits), SigningKey(bits)
        self.root_account = self.account(account_id, account_id, validation="certified", key=self.root)
        self.root_account_key = self.account_key(account_id, self.root, "root")
        self.store_account_key = self.account_key(account_id, self.store, "store")
        self.brand_account = self.account("test-brand", "test-brand", validation="verified")
        self.models_account_key = self.account_key("test-brand", self.models, "models")

    @property
    def trust(self) -> bytes:
        """The text of a trust root: account, and its key that signs itself."""
        return stream(self.root_account, self.root_account_key)

    def _headers(self, kind: str, named: Mapping[str, Any], further: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"type": kind, "authority-id": self.account_id, **named}
        headers.update({name.replace("_", "-"): value for name, value in further.items()})
        return {name: value for name, value in headers.items() if value is not None}

    def account(self, account_id: str, username: str, *, key: SigningKey | None = None, **more: Any) -> bytes:
        named = {
            "account-id": account_id,
            "display-name": username.title(),
            "timestamp": STAMP,
            "username": username,
            "validation": "unproven",
        }
        return sign(self._headers("account", named, more), key or self.store)

    def account_key(
        self, account_id: str, key: SigningKey, name: str, *, signed_by: SigningKey | None = None, **more: Any
    ) -> bytes:
        named = {"public-key-sha3-384": key.id, "account-id": account_id, "name": name, "since": SINCE}
        return sign(self._headers("account-key", named, more), signed_by or self.root, key.body)

    def snap_declaration(
        self, snap_id: str, name: str, publisher: str, *, key: SigningKey | None = None, **more: Any
    ) -> bytes:
        named = {
            "series": "16",
            "snap-id": snap_id,
            "publisher-id": publisher,
            "snap-name": name,
            "timestamp": STAMP,
        }
        return sign(self._headers("snap-declaration", named, more), key or self.store)

    def snap_revision(
        self,
        sha3_384_hex: str,
        size_bytes: int,
        snap_id: str,
        revision: int,
        developer: str,
        *,
        key: SigningKey | None = None,
        **more: Any,
    ) -> bytes:
        named = {
            "snap-sha3-384": b64url(sha3_384_hex),
            "developer-id": developer,
            "snap-id": snap_id,
            "snap-revision": str(revision),
            "snap-size": str(size_bytes),
            "timestamp": STAMP,
        }
        return sign(self._headers("snap-revision", named, more), key or self.store)

    def model(self, name: str = "test-classic", *, key: SigningKey | None = None, **more: Any) -> bytes:
        """A model of the brand test-brand; classic unless told otherwise."""
        named = {
            "authority-id": "test-brand",
            "series": "16",
            "brand-id": "test-brand",
            "model": name,
            "classic": "true",
            "timestamp": STAMP,
        }
        return sign(self._headers("model", named, more), key or self.models)

    def model_file(self, **more: Any) -> bytes:
        """The model with what proves it, as one gives it to `--model`."""
        return stream(self.store_account_key, self.brand_account, self.models_account_key, self.model(**more))


def stamp(when: datetime) -> str:
    """An instant as assertions write it."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
