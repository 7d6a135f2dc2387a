"""The assertions known to be true: verified down to the root of trust, and never older than one seen before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from snaps.assertions import keys, openpgp, rules
from snaps.assertions.keys import AccountKey
from snaps.assertions.parse import Assertion
from snaps.assertions.refused import RefusedError
from snaps.assertions.trust import TrustRoot
from snaps.assertions.types import Ref


class Database:
    """Holds the trust root's assertions from the start. Not for several threads at once."""

    def __init__(self, trust: TrustRoot, now: datetime, *, known: Iterable[Assertion] = ()) -> None:
        """now: aware; keys must hold then. known: what was true before, below whose revisions nothing may fall."""
        self.trust, self.now = trust, now
        self._known = {one.ref: one for one in known}
        self._found: dict[Ref, Assertion] = {one.ref: one for one in trust.trusted}
        self._keys: dict[str, AccountKey] = {
            one.ref.key[0]: keys.read(one) for one in trust.trusted if one.kind == "account-key"
        }
        for one in trust.predefined:
            self.add(one)

    def __iter__(self) -> Iterator[Assertion]:
        """All, each after what it rests on, those of the trust root first."""
        return iter(self._found.values())

    def get(self, ref: Ref) -> Assertion | None:
        return self._found.get(ref)

    def is_trusted(self, account: str) -> bool:
        return account in self.trust.accounts

    def add(self, assertion: Assertion) -> None:
        """Verify it and take it in; what it rests on must be here. Nothing happens for one that is here already.

        Raises RefusedError with the reason.
        """
        if self._is_here(assertion):
            return
        for ref in rules.prerequisites(assertion):
            if ref not in self._found:
                raise RefusedError(
                    f"rests on {ref}, which is not known to be true", where=assertion.where, hint=self._roots()
                )
        key = self._keys.get(assertion.sign_key)
        if key is None:
            raise RefusedError(
                f"is signed with the key {assertion.sign_key}, which no root of trust vouches for",
                where=assertion.where,
                hint=self._roots(),
            )
        key.check_may_sign(assertion, self.now)
        openpgp.verify(
            assertion.content,
            openpgp.read_signature(assertion.signature, where=assertion.where),
            key.public,
            where=assertion.where,
            issuers=self.trust.issuers.get(key.public.id, ()),
        )
        rules.check(assertion, self)
        if assertion.kind == "account-key":
            self._keys[assertion.ref.key[0]] = keys.read(assertion)
        self._found[assertion.ref] = assertion

    def add_all(self, assertions: Iterable[Assertion]) -> None:
        """Take in all of them, in whatever order they come. Raises RefusedError for the first that cannot be true."""
        given: dict[Ref, Assertion] = {}
        for one in assertions:
            other = given.setdefault(one.ref, one)
            if other.raw != one.raw:
                raise RefusedError(
                    f"is there twice with different words (revisions {other.revision} and {one.revision})",
                    where=one.where,
                )
        for one in given.values():
            for each in in_order(one, lambda ref: None if ref in self.trust.refs else given.get(ref)):
                self.add(each)

    def closure(self, refs: Iterable[Ref]) -> list[Assertion]:
        """These and all they rest on, each after that, without the accounts and keys trusted by themselves.

        What is predefined stays: snapd knows it once it runs, but not when it looks at a seed beforehand.
        """
        brought = {one.ref for one in self.trust.trusted}
        found: dict[Ref, Assertion] = {}

        def get(ref: Ref) -> Assertion | None:  # the root's account and key rest on each other
            return None if ref in brought else self._found.get(ref)

        for ref in refs:
            one = self._found.get(ref)
            if one is None:
                raise RefusedError("is not there", where=str(ref))
            for each in in_order(one, get) if ref not in brought else ():
                found.setdefault(each.ref, each)
        return list(found.values())

    def _is_here(self, assertion: Assertion) -> bool:
        for other in (self._found.get(assertion.ref), self._known.get(assertion.ref)):
            if other is None or other.raw == assertion.raw:
                continue
            if assertion.revision < other.revision:
                raise RefusedError(
                    f"is revision {assertion.revision}, but revision {other.revision} is known: an old one comes again",
                    where=assertion.where,
                )
            if assertion.revision == other.revision:
                raise RefusedError(
                    f"is not the revision {other.revision} that is known, but calls itself so", where=assertion.where
                )
            if assertion.ref in self.trust.refs:
                raise RefusedError(
                    f"is revision {assertion.revision} of what the trust root fixes at {other.revision}",
                    where=assertion.where,
                )
        here = self._found.get(assertion.ref)
        return here is not None and here.raw == assertion.raw

    def _roots(self) -> str:
        return f"trusted are: {', '.join(sorted(self.trust.accounts))}; another root is given with --trust"


def in_order(assertion: Assertion, get: Callable[[Ref], Assertion | None]) -> list[Assertion]:
    """All that get() has of what the assertion rests on, each after that, itself last. RefusedError for a loop."""
    found: dict[Ref, Assertion] = {}
    open_: dict[Ref, Iterator[Ref]] = {assertion.ref: iter(rules.prerequisites(assertion))}
    standing = {assertion.ref: assertion}
    while open_:
        ref, left = next(reversed(open_.items()))
        for needed in left:
            if needed in open_:
                raise RefusedError(f"rests on {needed}, which rests on it", where=str(ref))
            one = None if needed in found else get(needed)
            if one is not None:
                standing[needed] = one
                open_[needed] = iter(rules.prerequisites(one))
                break
        else:
            found[ref] = standing[ref]
            del open_[ref]
    return list(found.values())
