"""What gets in, and what does not: trust, keys and their limits, revisions, who may say what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from assertion_signer import Authority, SigningKey, sign, stamp

from snaps.assertions import trust, types
from snaps.assertions.database import Database, in_order
from snaps.assertions.parse import Assertion, parse
from snaps.assertions.refused import RefusedError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SNAP = "x" * 32
HASH = "ab" * 48


@pytest.fixture
def by(snap_authority: Authority) -> Authority:
    return snap_authority


@pytest.fixture
def database(by: Authority) -> Database:
    return Database(trust.from_text(by.trust, where="own", now=NOW), NOW)


@pytest.fixture(scope="module")
def spare() -> SigningKey:
    return SigningKey()


def chain(by: Authority, **revision: Any) -> list[Assertion]:
    """All that proves a snap, each after what it rests on."""
    texts = [
        by.store_account_key,
        by.account("dev", "dev"),
        by.snap_declaration(SNAP, "hello", "dev"),
        by.snap_revision(HASH, 10, SNAP, 3, "dev", **revision),
    ]
    return [parse(text) for text in texts]


def test_in_whatever_order(by: Authority, database: Database) -> None:
    proofs = chain(by)
    database.add_all([proofs[3], proofs[0], proofs[2], proofs[1]])
    assert [one.ref for one in database.closure([proofs[3].ref])] == [
        proofs[i].ref for i in (0, 1, 2, 3)
    ]  # fmt: skip
    database.add_all(proofs)  # once more: nothing new


def test_one_whose_prerequisite_is_missing(by: Authority, database: Database) -> None:
    proofs = chain(by)
    with pytest.raises(RefusedError, match=f"^snap-revision/.*: rests on snap-declaration/16/{SNAP}"):
        database.add_all([proofs[0], proofs[1], proofs[3]])


def test_a_closure_of_what_is_not_there(database: Database) -> None:
    with pytest.raises(RefusedError, match="is not there"):
        database.closure([types.account_ref("nobody")])


def refused(database: Database, raw: bytes, reason: str) -> None:
    one = parse(raw)
    with pytest.raises(RefusedError, match=reason) as caught:
        database.add(one)
    assert str(caught.value).startswith(f"{one.ref}: ")
    assert database.get(one.ref) is not one


def test_revision_not_going_back(by: Authority, database: Database) -> None:
    new = parse(by.account("dev", "dev", key=by.root, revision="5"))
    database.add(new)
    refused(database, by.account("dev", "dev", key=by.root, revision="4"), "revision 4, but revision 5 is known")
    refused(database, by.account("dev", "other", key=by.root, revision="5"), "calls itself so")
    database.add(parse(by.account("dev", "dev", key=by.root, revision="6")))


def test_revision_not_below_one_of_before(by: Authority) -> None:
    known = parse(by.account("dev", "dev", key=by.root, revision="5"))
    database = Database(trust.from_text(by.trust, where="own", now=NOW), NOW, known=[known])
    refused(database, by.account("dev", "dev", key=by.root, revision="4"), "an old one comes again")
    assert database.get(known.ref) is None  # known of old is not yet known to be true
    database.add(known)
    assert database.get(known.ref) is known


def test_two_revisions_in_one_set(by: Authority, database: Database) -> None:
    with pytest.raises(RefusedError, match="twice with different words"):
        database.add_all(parse(by.account("dev", "dev", key=by.root, revision=number)) for number in "12")


def test_the_root_is_fixed(by: Authority, database: Database) -> None:
    refused(database, by.account("test-root", "test-root", key=by.root, revision="1"), "the trust root fixes at 0")


def test_a_key_that_signs_itself(database: Database, spare: SigningKey) -> None:
    stranger = Authority.__new__(Authority)
    stranger.account_id, stranger.root = "test-root", spare
    refused(database, stranger.account_key("test-root", spare, "root"), "no root of trust vouches for")


def test_a_key_signed_by_a_non_trusted_account(by: Authority, database: Database, spare: SigningKey) -> None:
    for text in (by.store_account_key, by.brand_account, by.models_account_key, by.account("evil", "evil")):
        database.add(parse(text))
    forged = by.account_key("evil", spare, "x", authority_id="test-brand", signed_by=by.models)
    refused(database, forged, "test-brand, who is no root of trust")
    refused(database, by.account("dev", "x", authority_id="test-brand", key=by.models), "no root of trust")
    refused(
        database, by.snap_declaration(SNAP, "n", "evil", authority_id="test-brand", key=by.models), "no root of trust"
    )


def test_a_key_of_somebody_else(by: Authority, database: Database) -> None:
    for text in (by.store_account_key, by.brand_account, by.models_account_key):
        database.add(parse(text))
    refused(database, by.account("dev", "dev", key=by.models), "word of test-root, but signed with a key of test-brand")


@pytest.mark.parametrize(
    ("since", "until", "reason"),
    [
        pytest.param(timedelta(days=-9), timedelta(days=-1), "now .*held no longer", id="expired"),
        pytest.param(timedelta(days=-9), timedelta(0), "now .*held no longer", id="expires now"),
        pytest.param(timedelta(days=1), None, "now .*did not hold yet", id="not yet"),
        pytest.param(timedelta(days=-9), timedelta(days=1), "made .*did not hold yet", id="not when it was made"),
    ],
)
def test_keys_out_of_their_time(
    by: Authority, database: Database, spare: SigningKey, since: timedelta, until: timedelta | None, reason: str
) -> None:
    times = {"since": stamp(NOW + since), "until": None if until is None else stamp(NOW + until)}
    database.add(parse(by.account_key("test-root", spare, "short", **times)))
    refused(database, by.account("dev", "dev", key=spare), reason)


def test_a_key_in_its_time(by: Authority, database: Database, spare: SigningKey) -> None:
    made = NOW - timedelta(days=2)
    times = {"since": stamp(made), "until": stamp(NOW + timedelta(seconds=1))}
    database.add(parse(by.account_key("test-root", spare, "short", **times)))
    database.add(parse(by.account("dev", "dev", key=spare, timestamp=stamp(made))))
    refused(
        database, by.account("dev2", "dev", key=spare, timestamp=stamp(NOW + timedelta(seconds=1))), "made .*longer"
    )


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        pytest.param({"until": "2019-01-01T00:00:00Z"}, "never holds", id="until before since"),
        pytest.param({"since": "yesterday"}, "which is no time", id="no time"),
        pytest.param({"since": "2020-02-30T00:00:00Z"}, "which is no time", id="no such day"),
        pytest.param({"since": None}, "no header since", id="no since"),
        pytest.param({"public_key_sha3_384": "A" * 64}, "the key in it is another", id="another id"),
        pytest.param({"account_id": "nobody"}, "rests on account/nobody", id="no such account"),
        pytest.param({"constraints": [{"headers": {"type": "model"}}]}, "its format does not have", id="format 0"),
        pytest.param({"format": "1", "constraints": "x"}, "are no list", id="constraints a text"),
        pytest.param({"format": "1", "constraints": [{"x": "y"}]}, "not understood", id="unknown constraint"),
        pytest.param(
            {"format": "1", "constraints": [{"headers": {"type": "model"}, "devices": {"x": "y"}}]},
            "not understood", id="more than headers",
        ),
        pytest.param({"format": "1", "constraints": [{"headers": {"model": "x"}}]}, "one type", id="no type"),
        pytest.param({"format": "1", "constraints": [{"headers": {"type": ".*"}}]}, "one type", id="any type"),
        pytest.param(
            {"format": "1", "constraints": [{"headers": {"type": "model", "model": "("}}]}, "no expression", id="broken"
        ),
        pytest.param(
            {"format": "1", "constraints": [{"headers": {"type": "model", "model": r"(a)\1"}}]},
            "not understood", id="back-reference",
        ),
        pytest.param(
            {"format": "1", "constraints": [{"headers": {"type": "model", "model": {"x": "y"}}}]},
            "not understood", id="a map",
        ),
    ],
)  # fmt: skip
def test_keys_that_are_wrong(
    by: Authority, database: Database, spare: SigningKey, more: dict[str, Any], reason: str
) -> None:
    headers = {"account-id": "test-root", **{name.replace("_", "-"): value for name, value in more.items()}}
    raw = by.account_key(str(headers.pop("account-id")), spare, "wrong", **headers)
    refused(database, raw, reason)


def test_constraints(by: Authority, database: Database, spare: SigningKey) -> None:
    allowed = [
        {"headers": {"type": "model", "model": ["pc-[0-9]+", "pi"], "classic": "true"}},
        {"headers": {"type": "validation-set"}},
    ]
    database.add(parse(by.store_account_key))
    database.add(parse(by.brand_account))
    database.add(parse(by.account_key("test-brand", spare, "models", format="1", constraints=allowed)))
    for name in ("pc-1", "pc-22", "pi"):
        database.add(parse(by.model(name, key=spare)))
    for raw in (
        by.model("pc-1x", key=spare),
        by.model("xpi", key=spare),
        by.model("pi", key=spare, classic="false", revision="1"),
        by.model("pi", key=spare, classic=None, revision="1"),
        by.model("pi", key=spare, classic=["true"], revision="1"),
        sign({"type": "store", "authority-id": "test-brand", "store": "s"}, spare),
    ):
        refused(database, raw, "nothing its key may sign")


def test_a_key_without_constraints_signs_everything(by: Authority, database: Database, spare: SigningKey) -> None:
    raw = by.account_key("test-root", spare, "none", format="1")
    database.add(parse(raw))
    database.add(parse(by.account("dev", "dev", key=spare)))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        pytest.param({"snap_revision": "0"}, "below 1", id="revision 0"),
        pytest.param({"snap_size": "many"}, "no number", id="size"),
        pytest.param({"snap_sha3_384": "AAAA"}, "no SHA3-384", id="hash"),
        pytest.param({"timestamp": None}, "no header timestamp", id="no timestamp"),
        pytest.param({"snap-id": "y" * 32}, "rests on snap-declaration/16/yyy", id="another snap"),
        pytest.param({"developer_id": "nobody"}, "rests on account/nobody", id="no developer"),
        pytest.param({"provenance": "own"}, "the right to revisions of provenance own", id="provenance"),
    ],
)
def test_snap_revisions_that_are_wrong(by: Authority, database: Database, more: dict[str, Any], reason: str) -> None:
    proofs = chain(by)
    database.add_all(proofs[:3])
    refused(database, by.snap_revision(HASH, 10, SNAP, 3, "dev", **more), reason)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        pytest.param({"series": "18"}, "series 18", id="series"),
        pytest.param({"snap-id": "short"}, "no snap-id", id="snap-id"),
        pytest.param({"snap_name": None}, "no snap-name", id="no name"),
        pytest.param({"publisher_id": "nobody"}, "rests on account/nobody", id="no publisher"),
    ],
)
def test_snap_declarations_that_are_wrong(by: Authority, database: Database, more: dict[str, Any], reason: str) -> None:
    database.add_all(chain(by)[:2])
    refused(database, by.snap_declaration(SNAP, "hello", "dev", **more), reason)


GRANT = {"account-id": "test-brand", "provenance": ["own", "other"], "min-revision": "3", "max-size": "10"}


@pytest.mark.parametrize(
    ("grant", "good"),
    [
        pytest.param(GRANT, True, id="granted"),
        pytest.param({**GRANT, "min-revision": "4"}, False, id="revision too low"),
        pytest.param({**GRANT, "max-revision": "2"}, False, id="revision too high"),
        pytest.param({**GRANT, "max-size": "9"}, False, id="too big"),
        pytest.param({**GRANT, "min-size": "11"}, False, id="too small"),
        pytest.param({**GRANT, "created-since": "2025-01-01T00:00:00Z"}, False, id="too early"),
        pytest.param({**GRANT, "created-until": "2023-01-01T00:00:00Z"}, False, id="too late"),
        pytest.param({**GRANT, "provenance": ["other"]}, False, id="another provenance"),
        pytest.param({**GRANT, "account-id": "dev"}, False, id="another account"),
        pytest.param({**GRANT, "on-model": ["x"]}, False, id="a limit that is not understood"),
    ],
)
def test_delegated_revisions(by: Authority, database: Database, grant: dict[str, Any], good: bool) -> None:
    for text in (
        by.store_account_key, by.account("dev", "dev"), by.brand_account, by.models_account_key,
        by.snap_declaration(SNAP, "hello", "dev", format="6", revision_authority=[grant]),
    ):  # fmt: skip
        database.add(parse(text))
    raw = by.snap_revision(HASH, 10, SNAP, 3, "dev", provenance="own", authority_id="test-brand", key=by.models)
    if good:
        database.add(parse(raw))
        assert database.get(parse(raw).ref) is not None
    else:
        refused(database, raw, "nobody gave test-brand the right")


def test_models_are_signed_by_their_brand(by: Authority, database: Database) -> None:
    for text in (by.store_account_key, by.brand_account, by.models_account_key):
        database.add(parse(text))
    refused(database, by.model("m", authority_id="test-root", key=by.store), "test-brand, which did not sign")
    refused(database, by.model("m", series="18"), "series 18")
    sets = {"type": "validation-set", "series": "16", "name": "s", "sequence": "1", "authority-id": "test-brand"}
    refused(database, sign({**sets, "account-id": "test-root"}, by.models), "not signed by its account")
    database.add(parse(sign({**sets, "account-id": "test-brand"}, by.models)))


def test_types_without_a_rule_are_refused(by: Authority, database: Database) -> None:
    database.add(parse(by.store_account_key))
    raw = sign({"type": "snap-build", "authority-id": "test-root", "snap-sha3-384": "x"}, by.store)
    refused(database, raw, "what a snap-build may say is not known here")


def test_a_loop(by: Authority, spare: SigningKey) -> None:
    """Two keys that sign each other."""
    other = SigningKey()
    one = parse(by.account_key("test-root", spare, "one", signed_by=other))
    two = parse(by.account_key("test-root", other, "two", signed_by=spare))
    known = {each.ref: each for each in (one, two)}
    with pytest.raises(RefusedError, match="which rests on it"):
        in_order(one, known.get)
    database = Database(trust.from_text(by.trust, where="own", now=NOW), NOW)
    with pytest.raises(RefusedError, match="which rests on it"):
        database.add_all([one, two])
