"""Account-keys: whose key it is, from when to when it holds, and what it may sign. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from snaps.assertions import openpgp
from snaps.assertions.headers import Value, texts
from snaps.assertions.openpgp import PublicKey
from snaps.assertions.parse import Assertion
from snaps.assertions.refused import RefusedError

# What Python's expressions have beyond those of Go, or mean otherwise: back-references, (?...), \Z, possessive marks.
_FOREIGN = re.compile(r"\\[0-9AZzBbQEpPCGgkKRXuUNx]|\(\?|[*+?}]\+|\$|\^|\[\[|&&|\|\||--|~~")


@dataclass(frozen=True)
class Constraint:
    """One kind of assertion the key may sign: header -> expressions of which one must match the whole value."""

    headers: dict[str, tuple[re.Pattern[str], ...]]

    def allows(self, assertion: Assertion) -> bool:
        return all(
            isinstance(value := assertion.headers.get(name), str) and any(one.fullmatch(value) for one in patterns)
            for name, patterns in self.headers.items()
        )


@dataclass(frozen=True)
class AccountKey:
    """until: None for a key without an end. constraints: None for a key that may sign everything."""

    public: PublicKey
    account: str
    since: datetime
    until: datetime | None
    constraints: tuple[Constraint, ...] | None
    where: str

    def check_may_sign(self, assertion: Assertion, now: datetime) -> None:
        """Raise RefusedError unless this key holds now, held when the assertion was made, and may sign such ones."""
        if assertion.authority != self.account:
            raise RefusedError(
                f"is the word of {assertion.authority}, but signed with a key of {self.account}", where=assertion.where
            )
        for what, instant in (("now", now), ("when it was made", _made(assertion))):
            if instant is None:
                continue
            if instant < self.since:
                raise RefusedError(f"{what} ({instant}), its key did not hold yet: {self.where}", where=assertion.where)
            if self.until is not None and instant >= self.until:
                raise RefusedError(f"{what} ({instant}), its key held no longer: {self.where}", where=assertion.where)
        if self.constraints is not None and not any(one.allows(assertion) for one in self.constraints):
            raise RefusedError(f"is nothing its key may sign: constraints of {self.where}", where=assertion.where)


def read(assertion: Assertion) -> AccountKey:
    """Read an account-key. Raises RefusedError, also for constraints that are not understood."""
    where = assertion.where
    public = openpgp.read_key(assertion.body, where=where)
    if public.id != assertion.ref.key[0]:
        raise RefusedError(f"the key in it is another: {public.id}", where=where)
    since = assertion.time("since")
    until = assertion.time("until") if "until" in assertion.headers else None
    if until is not None and until <= since:
        raise RefusedError("never holds: its until is not after its since", where=where)
    constraints = None
    if "constraints" in assertion.headers:
        if assertion.format < 1:
            raise RefusedError("has constraints, which its format does not have", where=where)
        constraints = _constraints(assertion.headers["constraints"], where)
    return AccountKey(public, assertion.header("account-id"), since, until, constraints, where)


def _made(assertion: Assertion) -> datetime | None:
    return assertion.time("timestamp") if "timestamp" in assertion.headers else None


def _constraints(value: Value, where: str) -> tuple[Constraint, ...]:
    if not isinstance(value, list):
        raise RefusedError("its constraints are no list", where=where)
    return tuple(_constraint(item, where) for item in value)


def _constraint(value: Value, where: str) -> Constraint:
    named = value.get("headers") if isinstance(value, dict) else None
    if not isinstance(value, dict) or set(value) != {"headers"} or not isinstance(named, dict):
        raise RefusedError("has a constraint that is not understood", where=where)
    if not isinstance(named.get("type"), str) or not re.fullmatch(r"[a-z][a-z0-9-]*", str(named["type"])):
        raise RefusedError("has a constraint that does not name one type", where=where)
    return Constraint({name: _patterns(name, expressions, where) for name, expressions in named.items()})


def _patterns(name: str, value: Value, where: str) -> tuple[re.Pattern[str], ...]:
    expressions = (value,) if isinstance(value, str) else texts(value)
    if expressions is None or len(expressions) == 0:
        raise RefusedError(f"has a constraint for {name} that is not understood", where=where)
    found = []
    for expression in expressions:
        if len(expression) > 1000 or _FOREIGN.search(expression):
            raise RefusedError(f"has the constraint {name}: {expression[:80]!r}, not understood", where=where)
        try:
            found.append(re.compile(expression, re.ASCII))
        except (re.error, RecursionError, OverflowError) as e:
            raise RefusedError(f"has the constraint {name}: {expression[:80]!r}, no expression", where=where) from e
    return tuple(found)
