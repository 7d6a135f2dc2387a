"""The types of assertions: what names one, and which formats this program understands."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

SERIES = "16"  # the only series of snaps there is
GLOBAL_UPLOAD = "global-upload"  # the provenance of what comes through the store as usual, never written out


@dataclass(frozen=True)
class Kind:
    """key: the headers that name one. defaults: what the last of them is where it is left out."""

    key: tuple[str, ...]
    max_format: int = 0
    defaults: Mapping[str, str] | None = None


KINDS: Mapping[str, Kind] = {
    "account": Kind(("account-id",)),
    "account-key": Kind(("public-key-sha3-384",), max_format=1),
    "base-declaration": Kind(("series",)),
    "model": Kind(("series", "brand-id", "model")),
    "serial": Kind(("brand-id", "model", "serial")),
    "snap-build": Kind(("snap-sha3-384",)),
    "snap-declaration": Kind(("series", "snap-id"), max_format=7),
    "snap-developer": Kind(("snap-id", "publisher-id")),
    "snap-resource-pair": Kind(
        ("snap-id", "resource-name", "resource-revision", "snap-revision", "provenance"),
        defaults={"provenance": GLOBAL_UPLOAD},
    ),
    "snap-resource-revision": Kind(
        ("snap-id", "resource-name", "resource-sha3-384", "provenance"), defaults={"provenance": GLOBAL_UPLOAD}
    ),
    "snap-revision": Kind(("snap-sha3-384", "provenance"), defaults={"provenance": GLOBAL_UPLOAD}),
    "store": Kind(("store",)),
    "system-user": Kind(("brand-id", "email"), max_format=2),
    "validation": Kind(("series", "snap-id", "approved-snap-id", "approved-snap-revision")),
    "validation-set": Kind(("series", "account-id", "name", "sequence")),
}


@dataclass(frozen=True, order=True)
class Ref:
    """Which assertion: its type and primary key, without what is left at its default."""

    kind: str
    key: tuple[str, ...]

    def __str__(self) -> str:
        """The address: "snap-declaration/16/<snap id>"."""
        return "/".join((self.kind, *self.key))

    @property
    def max_format(self) -> int:
        """The highest format of this type to ask the store for."""
        return KINDS[self.kind].max_format


def ref(kind: str, key: Mapping[str, str]) -> Ref:
    """The reference made of all key headers, defaults at the end left out."""
    known = KINDS[kind]
    parts = [(name, key.get(name, (known.defaults or {}).get(name, ""))) for name in known.key]
    while parts and (known.defaults or {}).get(parts[-1][0]) == parts[-1][1]:
        parts.pop()
    return Ref(kind, tuple(value for _, value in parts))


def account_ref(account_id: str) -> Ref:
    return Ref("account", (account_id,))


def account_key_ref(key_id: str) -> Ref:
    return Ref("account-key", (key_id,))


def snap_declaration_ref(snap_id: str) -> Ref:
    return Ref("snap-declaration", (SERIES, snap_id))


def snap_revision_ref(sha3_384: str) -> Ref:
    """sha3_384: 96 hex digits, as the store's API gives it; assertions have it in another form."""
    return Ref("snap-revision", (hash_text(bytes.fromhex(sha3_384)),))


def hash_text(digest: bytes) -> str:
    """A hash as assertions write it: base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
