"""Real assertions: the root and what it vouches for is accepted, all else refused, and no byte can be changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import assertion_vectors
import pytest
from assertion_signer import Authority, stream
from assertion_vectors import Vectors

from snaps.assertions import openpgp, pinned, trust
from snaps.assertions.database import Database
from snaps.assertions.parse import Assertion, encode, parse, parse_stream
from snaps.assertions.refused import RefusedError
from snaps.assertions.trust import TrustRoot

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def vectors(snap_authority: Authority) -> Vectors:
    return assertion_vectors.load(snap_authority)


@pytest.fixture
def database() -> Database:
    return Database(trust.canonical(), NOW)


def test_all_kinds_are_there(vectors: Vectors) -> None:
    assert {name.split(".")[0] for name in vectors.files} == {"trusted", "generic", "staging", "store", "stream"}


def test_parse_and_print_give_the_same_bytes(vectors: Vectors) -> None:
    for name, data in vectors.files.items():
        found = parse_stream(data, where=name)
        assert b"\n".join(encode(one) for one in found).rstrip(b"\n") == data.rstrip(b"\n")


def test_trusted_is_the_pinned_root(vectors: Vectors, database: Database) -> None:
    found = [parse(data) for data in vectors.named("trusted").values()]
    assert {one.raw for one in found} == {one.raw for one in trust.canonical().trusted}
    database.add_all(found)  # nothing new, nothing against it
    text = stream(*(one.raw for one in found))
    assert trust.from_text(text, where="vectors", now=NOW).accounts == {"canonical"}


def test_generic_is_a_whole_chain_from_that_root(vectors: Vectors) -> None:
    root = trust.canonical()
    database = Database(TrustRoot(root.accounts, root.trusted, issuers=root.issuers), NOW)
    found = [parse(data) for data in vectors.named("generic").values()]
    database.add_all(reversed(found))
    for one in found:
        assert database.get(one.ref) is one
    assert [one.kind for one in database.closure([trust.generic_classic().ref])] == ["account", "account-key", "model"]


def test_staging_is_refused(vectors: Vectors, database: Database) -> None:
    for data in vectors.named("staging").values():
        with pytest.raises(RefusedError, match=r"no root of trust vouches|not known to be true|calls itself so"):
            database.add(parse(data))
    with pytest.raises(RefusedError):
        database.add_all(parse(data) for data in vectors.named("staging").values())
    assert len(list(database)) == 5


def test_staging_is_sound_in_itself(vectors: Vectors) -> None:
    root = trust.from_text(stream(*vectors.named("staging").values()), where="staging", now=NOW)
    database = Database(root, NOW)
    database.add_all(root.others)
    assert len(list(database)) == len(vectors.named("staging"))


def test_streams_are_refused_as_not_trusted(vectors: Vectors, database: Database) -> None:
    for name, data in vectors.named("stream").items():
        found = parse_stream(data, where=name)
        assert found
        for one in found:
            with pytest.raises(RefusedError, match=r"not known to be true|no root of trust vouches"):
                database.add(one)


def test_store_signatures_are_good_but_their_chain_is_cut(vectors: Vectors, database: Database) -> None:
    key = openpgp.read_key(vectors.store_key.encode(), where="the store's key")
    assert key.id == vectors.store_key_id
    for name, data in vectors.named("store").items():
        one = parse(data, where=name)
        signature = openpgp.read_signature(one.signature, where=name)
        openpgp.verify(one.content, signature, key, where=name)
        with pytest.raises(RefusedError, match="not known to be true"):
            database.add(one)


def test_a_key_with_the_last_character_of_each_line_cut(vectors: Vectors) -> None:
    cut = "\n".join(line[:-1] if len(line) == 76 else line for line in vectors.store_key.splitlines())
    with pytest.raises(RefusedError):
        if openpgp.read_key(cut.encode(), where="cut").id != vectors.store_key_id:
            raise RefusedError("another key", where="cut")


def accept_signed_by(root: TrustRoot, *before: Assertion) -> Callable[[bytes], None]:
    """Takes a whole assertion and raises RefusedError unless it is true."""

    def accept(raw: bytes) -> None:
        one = parse(raw)
        database.add(one)
        if database.get(one.ref) is not one:
            raise RefusedError("was there already", where=one.where)

    database = Database(root, NOW)
    database.add_all(before)
    return accept


def accept_root(raw: bytes) -> None:
    """The same for the pinned account and key, as in a file of a root of trust."""
    other = pinned.ACCOUNT if raw.startswith(b"type: account-key") else pinned.ROOT_KEY
    signature = openpgp.read_signature(parse(raw).signature, where="root")
    if signature.issuer != PINNED_ISSUER:  # what its signature says unsigned is believed of the file; the code pins it
        raise RefusedError("another issuer", where="root")
    trust.from_text(stream(raw, other.encode()), where="root", now=NOW)


PINNED_ISSUER = openpgp.read_signature(parse(pinned.ROOT_KEY.encode()).signature, where="root").issuer


def cases(snap_authority: Authority) -> dict[str, tuple[bytes, Callable[[bytes], None]]]:
    canonical = trust.canonical()
    bare = TrustRoot(canonical.accounts, canonical.trusted, issuers=canonical.issuers)
    account, key, model = canonical.predefined
    own = trust.from_text(snap_authority.trust, where="own", now=NOW)
    store_key = parse(snap_authority.store_account_key)
    developer = parse(snap_authority.account("dev", "dev"))
    declaration = parse(snap_authority.snap_declaration("x" * 32, "hello", "dev", plugs={"home": {"allow": "true"}}))
    revision = snap_authority.snap_revision("ab" * 48, 10, "x" * 32, 3, "dev")
    chain = [store_key, developer]
    return {
        "root account": (pinned.ACCOUNT.encode(), accept_root),
        "root key": (pinned.ROOT_KEY.encode(), accept_root),
        "generic account": (account.raw, accept_signed_by(bare)),
        "generic key": (key.raw, accept_signed_by(bare, account)),
        "generic model": (model.raw, accept_signed_by(bare, account, key)),
        "own key": (store_key.raw, accept_signed_by(own)),
        "own declaration": (declaration.raw, accept_signed_by(own, *chain)),
        "own revision": (revision, accept_signed_by(own, *chain, declaration)),
    }


NAMES = (
    "root account", "root key", "generic account", "generic key", "generic model", "own key", "own declaration",
    "own revision",
)  # fmt: skip


def check_changes(raw: bytes, accept: Callable[[bytes], None], changes: Callable[[int], set[int]]) -> None:
    for at, byte in enumerate(raw):
        for other in changes(byte) - {byte}:
            changed = raw[:at] + bytes([other]) + raw[at + 1 :]
            try:
                accept(changed)
            except RefusedError:
                continue
            raise AssertionError(f"byte {at} changed from {byte} to {other} and not refused: {changed!r}")


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_that_is_changed_is_refused(name: str, snap_authority: Authority) -> None:
    raw, accept = cases(snap_authority)[name]
    check_changes(raw, accept, lambda byte: {byte ^ 1})
    for at in range(len(raw) - 1):  # without its last newline it is the same assertion
        with pytest.raises(RefusedError):
            accept(raw[:at] + raw[at + 1 :])
    accept(raw)


LONG = ("root account", "root key", "generic account", "generic key")
TELLING = frozenset(b'\0\t\n\r !"#+-./:;=|09AZ_az\x7f\x80\xc3\xff')  # to a parser of headers, base64 or OpenPGP


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_every_byte_changed_to_others_is_refused(name: str, snap_authority: Authority) -> None:
    """To each of the 255 others. In the long ones, whose RSA of 4096 bits takes its time: each bit, and what tells."""
    raw, accept = cases(snap_authority)[name]

    def changes(byte: int) -> set[int]:
        return {*TELLING} | {byte ^ 1 << bit for bit in range(8)} if name in LONG else set(range(256))

    check_changes(raw, accept, changes)
    accept(raw)
