"""Roots of trust: the accounts whose word counts, the keys they sign with, and what comes along with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache

from snaps.assertions import keys, openpgp, pinned
from snaps.assertions.parse import Assertion, parse, parse_stream
from snaps.assertions.refused import RefusedError
from snaps.assertions.types import Ref


@dataclass(frozen=True)
class TrustRoot:
    """trusted: accounts and self-signed keys, taken as they are. predefined: known to every snapd, and verified.

    others: what stood beside the root in its file; at hand, to be verified like all else.
    issuers: key id -> OpenPGP ids that key is known by, since assertions somebody vouched for name it so.
    """

    accounts: frozenset[str]
    trusted: tuple[Assertion, ...]
    predefined: tuple[Assertion, ...] = ()
    others: tuple[Assertion, ...] = ()
    issuers: Mapping[str, frozenset[bytes]] = field(default_factory=dict)

    @property
    def refs(self) -> frozenset[Ref]:
        """What needs no fetching, and has this one revision."""
        return frozenset(one.ref for one in (*self.trusted, *self.predefined))

    def vouched(self, assertions: Iterable[Assertion]) -> TrustRoot:
        """The same, with these taken for unchanged: what their signatures call their keys is believed, no more."""
        issuers = dict(self.issuers)
        for one in assertions:
            named = openpgp.read_signature(one.signature, where=one.where).issuer
            if named:
                issuers[one.sign_key] = issuers.get(one.sign_key, frozenset()) | {named}
        return replace(self, issuers=issuers)


@cache
def canonical() -> TrustRoot:
    """The root of the public snap store, from this program's code."""
    account, key, *predefined = [parse(text.encode(), where="the trust root") for text in pinned.ALL]
    if key.ref.key != (pinned.ROOT_KEY_ID,):
        raise RefusedError("is not the key this program is pinned to", where=key.where)
    root = TrustRoot(frozenset({account.ref.key[0]}), (account, key), tuple(predefined))
    _check(root)
    return root.vouched([account, key, *predefined])


def generic_classic() -> Assertion:
    """The model of classic systems nobody made a model for: snapd's own choice for them."""
    return canonical().predefined[-1]


def from_text(data: bytes, *, where: str, now: datetime) -> TrustRoot:
    """Read the root of a private store: account-keys that sign themselves, and the accounts they belong to.

    now: aware; the keys must hold then. Raises RefusedError.
    """
    found = parse_stream(data, where=where)
    roots = [one for one in found if one.kind == "account-key" and one.sign_key == one.ref.key[0]]
    if not roots:
        raise RefusedError("holds no account-key that signs itself", where=where, hint="a root of trust has one")
    accounts = frozenset(one.header("account-id") for one in roots)
    there = {one.ref.key[0]: one for one in found if one.kind == "account"}
    if missing := sorted(accounts - set(there)):
        raise RefusedError(f"has a key of the account {missing[0]}, but not that account", where=where)
    trusted = (*(there[name] for name in sorted(accounts)), *roots)
    root = TrustRoot(accounts, trusted, others=tuple(one for one in found if one not in trusted))
    _check(root)
    for one in roots:
        keys.read(one).check_may_sign(one, now)
    return root.vouched(found)


def _check(root: TrustRoot) -> None:
    """Raise unless its accounts and keys are signed with its keys: a slip in the file should show."""
    by_id = {one.ref.key[0]: keys.read(one) for one in root.trusted if one.kind == "account-key"}
    for one in root.trusted:
        key = by_id.get(one.sign_key)
        if key is None:
            raise RefusedError("stands in a trust root, but is signed with none of its keys", where=one.where)
        signature = openpgp.read_signature(one.signature, where=one.where)
        issuers = {signature.issuer} if signature.issuer else set()
        openpgp.verify(one.content, signature, key.public, where=one.where, issuers=issuers)
