"""What each type of assertion rests on, and what must be true of it beyond its signature."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from snaps.assertions import parse as parsing
from snaps.assertions import types
from snaps.assertions.headers import Value, texts
from snaps.assertions.parse import Assertion
from snaps.assertions.refused import RefusedError
from snaps.assertions.types import Ref

_SNAP_ID = re.compile(r"[A-Za-z0-9]{32}")
_HASH = re.compile(r"[A-Za-z0-9_-]{64}")
_BOUNDS = {"min-revision", "max-revision", "min-size", "max-size", "created-since", "created-until"}
_AUTHORITY_KEYS = frozenset({"account-id", "provenance"} | _BOUNDS)


class Pool(Protocol):
    """What is known to be true so far."""

    def get(self, ref: Ref) -> Assertion | None: ...
    def is_trusted(self, account: str) -> bool: ...


def prerequisites(assertion: Assertion) -> list[Ref]:
    """What must be true before it can be, each one's own prerequisites aside; the last is the key that signed it."""
    found = {
        "account-key": lambda: [types.account_ref(assertion.header("account-id"))],
        "model": lambda: [types.account_ref(assertion.header("brand-id"))],
        "snap-declaration": lambda: [types.account_ref(assertion.header("publisher-id"))],
        "snap-revision": lambda: [
            types.snap_declaration_ref(assertion.header("snap-id")),
            types.account_ref(assertion.header("developer-id")),
        ],
        "store": lambda: [types.account_ref(name)] if (name := assertion.optional("operator-id")) else [],
        "validation-set": lambda: [types.account_ref(assertion.header("account-id"))],
    }.get(assertion.kind, list)()
    signed_with = types.account_key_ref(assertion.sign_key)
    return [*found, *([] if signed_with == assertion.ref else [signed_with])]


def check(assertion: Assertion, pool: Pool) -> None:
    """Raise RefusedError unless it may say what it says; its prerequisites are in the pool."""
    rule = _RULES.get(assertion.kind)
    if rule is None:
        raise RefusedError(
            f"what a {assertion.kind} may say is not known here",
            where=assertion.where,
            hint=f"this program verifies {', '.join(sorted(_RULES))}",
        )
    rule(assertion, pool)


def _from_trusted(assertion: Assertion, pool: Pool) -> None:
    if not pool.is_trusted(assertion.authority):
        raise RefusedError(
            f"is the word of {assertion.authority}, who is no root of trust and may not say so", where=assertion.where
        )


def _declaration(assertion: Assertion, pool: Pool) -> None:
    _from_trusted(assertion, pool)
    if assertion.ref.key[0] != types.SERIES:
        raise RefusedError(f"is for the series {assertion.ref.key[0]}, not {types.SERIES}", where=assertion.where)
    if not _SNAP_ID.fullmatch(assertion.ref.key[1]):
        raise RefusedError("names no snap-id", where=assertion.where)
    assertion.time("timestamp")
    if not isinstance(assertion.headers.get("snap-name"), str):
        raise RefusedError("has no snap-name", where=assertion.where)


def _revision(assertion: Assertion, pool: Pool) -> None:
    if not _HASH.fullmatch(assertion.ref.key[0]):
        raise RefusedError("names no SHA3-384", where=assertion.where)
    assertion.number("snap-size")
    assertion.time("timestamp")
    if assertion.number("snap-revision") < 1:
        raise RefusedError("has a snap-revision below 1", where=assertion.where)
    provenance = assertion.optional("provenance") or types.GLOBAL_UPLOAD
    if provenance == types.GLOBAL_UPLOAD:
        _from_trusted(assertion, pool)
        return
    declaration = pool.get(types.snap_declaration_ref(assertion.header("snap-id")))
    granted = declaration.headers.get("revision-authority") if declaration else None
    if not isinstance(granted, list) or not any(_grants(one, assertion, provenance) for one in granted):
        raise RefusedError(
            f"nobody gave {assertion.authority} the right to revisions of provenance {provenance}",
            where=assertion.where,
        )


def _grants(value: Value, revision: Assertion, provenance: str) -> bool:
    """Whether one entry of a declaration's revision-authority lets the revision be. Not understood: it does not."""
    if not isinstance(value, dict) or set(value) - _AUTHORITY_KEYS or value.get("account-id") != revision.authority:
        return False
    if provenance not in (texts(value.get("provenance")) or ()):
        return False

    def number(name: str, otherwise: int) -> int:
        said = value.get(name, str(otherwise))
        return parsing.number(said if isinstance(said, str) else "", name, revision.where)

    def time(name: str, otherwise: datetime) -> datetime:
        said = value.get(name)
        return parsing.time(said, name, revision.where) if isinstance(said, str) else otherwise

    made, size, sequence = revision.time("timestamp"), revision.number("snap-size"), revision.number("snap-revision")
    return (
        number("min-revision", 1) <= sequence <= number("max-revision", sequence)
        and number("min-size", 0) <= size <= number("max-size", size)
        and time("created-since", made) <= made <= time("created-until", made)
    )


def _model(assertion: Assertion, pool: Pool) -> None:  # noqa: ARG001
    if assertion.authority != assertion.header("brand-id"):
        raise RefusedError(f"the brand is {assertion.header('brand-id')}, which did not sign it", where=assertion.where)
    if assertion.ref.key[0] != types.SERIES:
        raise RefusedError(f"is for the series {assertion.ref.key[0]}, not {types.SERIES}", where=assertion.where)
    assertion.time("timestamp")


def _validation_set(assertion: Assertion, pool: Pool) -> None:  # noqa: ARG001
    if assertion.authority != assertion.header("account-id"):
        raise RefusedError(f"is not signed by its account {assertion.header('account-id')}", where=assertion.where)


_RULES: Mapping[str, Callable[[Assertion, Pool], None]] = {
    "account": _from_trusted,
    "account-key": _from_trusted,
    "base-declaration": _from_trusted,
    "model": _model,
    "snap-declaration": _declaration,
    "snap-revision": _revision,
    "store": _from_trusted,
    "validation-set": _validation_set,
}
