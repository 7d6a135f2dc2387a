"""Binding a discharge macaroon to its root, as the store asks for it in a request. Pure.

A macaroon is a chain of HMACs; both serializations (versions 1 and 2) end with its signature. Binding replaces the
signature of the discharge by one that only holds together with that root, so a discharge caught on its way is no use.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

_SIZE = 32  # of a signature, in bytes


def bound(root: str, discharge: str) -> str:
    """The discharge as it is sent with this root. Raises ValueError, with no word of either, if one is not read."""
    root_at = _signature_at(raw_root := _decoded(root))
    at = _signature_at(raw := _decoded(discharge))
    signatures = (raw_root[root_at : root_at + _SIZE], raw[at : at + _SIZE])
    signature = _hmac(b"".join(_hmac(one) for one in signatures))
    made = raw[:at] + signature + raw[at + _SIZE :]
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def _hmac(data: bytes) -> bytes:
    return hmac.digest(bytes(_SIZE), data, hashlib.sha256)


def _decoded(text: str) -> bytes:
    text = text.strip().replace("+", "-").replace("/", "_").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a macaroon that is not base64") from None


def _signature_at(raw: bytes) -> int:
    """Where the signature begins: in version 1's last packet ("002fsignature …\\n"), in version 2's last field."""
    if raw[-_SIZE - 15 : -_SIZE - 1] == b"002fsignature " and raw.endswith(b"\n"):
        return len(raw) - _SIZE - 1
    if raw[:1] == b"\x02" and raw[-_SIZE - 2 : -_SIZE] == b"\x06\x20":
        return len(raw) - _SIZE
    raise ValueError("a macaroon of a kind that is not known")
