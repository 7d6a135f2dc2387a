"""Assertions from a store with all they rest on, verified one by one as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from snaps.assertions import rules
from snaps.assertions.database import Database
from snaps.assertions.parse import Assertion, parse
from snaps.assertions.refused import RefusedError
from snaps.assertions.trust import TrustRoot
from snaps.assertions.types import Ref

MAX_DEPTH = 16  # of prerequisites of prerequisites; a snap-revision has five

# (which, the highest format understood) -> its text, unverified
Retrieve = Callable[[Ref, int], bytes]


def fetch(
    refs: Iterable[Ref],
    retrieve: Retrieve,
    *,
    trust: TrustRoot,
    now: datetime,
    known: Iterable[Assertion] = (),
) -> list[Assertion]:
    """Fetch these and what they rest on; returns them all, each after that, without the trusted ones.

    known: what was true before; nothing that comes may be older. What stands in the trust root's file is not fetched.
    Raises RefusedError, and what retrieve() raises.
    """
    refs = list(refs)
    database = Database(trust, now, known=known)
    at_hand = {one.ref: one for one in trust.others}
    for ref in refs:
        _fetch(ref, retrieve, database, at_hand, ())
    return database.closure(refs)


def _fetch(
    ref: Ref, retrieve: Retrieve, database: Database, at_hand: dict[Ref, Assertion], above: tuple[Ref, ...]
) -> None:
    if database.get(ref) is not None:
        return
    if ref in above:
        raise RefusedError("rests on itself", where=str(ref))
    if len(above) == MAX_DEPTH:
        raise RefusedError(f"is reached only through {MAX_DEPTH} others; no chain is so long", where=str(ref))
    one = at_hand.get(ref)
    if one is None:
        one = parse(retrieve(ref, ref.max_format), where=str(ref))
        if one.ref != ref:
            raise RefusedError(f"the store answers with another assertion: {one.ref}", where=str(ref))
    for needed in rules.prerequisites(one):
        _fetch(needed, retrieve, database, at_hand, (*above, ref))
    database.add(one)
