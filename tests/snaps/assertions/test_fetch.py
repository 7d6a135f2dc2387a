"""Fetching: all that is rested on, in order, verified; and what a store may not answer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from assertion_signer import Authority, SigningKey

from image_builder.errors import PipelineError
from snaps.assertions import trust, types
from snaps.assertions.fetch import fetch
from snaps.assertions.parse import parse
from snaps.assertions.refused import RefusedError
from snaps.assertions.trust import TrustRoot
from snaps.assertions.types import Ref

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SNAP, HASH = "x" * 32, "ab" * 48
REVISION = types.snap_revision_ref(HASH)


class Shelf:
    """What a store has, and what it was asked for."""

    def __init__(self, *texts: bytes) -> None:
        self.texts = {parse(text).ref: text for text in texts}
        self.asked: list[Ref] = []
        self.formats: dict[str, int] = {}

    def __call__(self, ref: Ref, max_format: int) -> bytes:
        self.asked.append(ref)
        self.formats[ref.kind] = max_format
        if ref not in self.texts:
            raise PipelineError("no such assertion", where=str(ref))
        return self.texts[ref]


@pytest.fixture
def shelf(snap_authority: Authority) -> Shelf:
    by = snap_authority
    return Shelf(
        by.store_account_key, by.account("dev", "dev"), by.account("publisher", "publisher"),
        by.snap_declaration(SNAP, "hello", "publisher", revision="4"), by.snap_revision(HASH, 10, SNAP, 3, "dev"),
    )  # fmt: skip


@pytest.fixture
def root(snap_authority: Authority) -> TrustRoot:
    return trust.from_text(snap_authority.trust, where="own", now=NOW)


def test_prerequisites_come_first_and_are_asked_once(shelf: Shelf, root: TrustRoot) -> None:
    found = fetch([REVISION], shelf, trust=root, now=NOW)
    at = {one.ref: number for number, one in enumerate(found)}
    assert at.keys() == shelf.texts.keys()
    assert max(at.values()) == at[REVISION]
    assert at[types.account_ref("publisher")] < at[types.snap_declaration_ref(SNAP)] < at[REVISION]
    assert len(shelf.asked) == len(set(shelf.asked)) == 5
    assert all(one.raw == shelf.texts[one.ref] for one in found)
    assert shelf.formats == {"snap-revision": 0, "snap-declaration": 7, "account": 0, "account-key": 1}


def test_what_is_missing_is_the_stores_error(shelf: Shelf, root: TrustRoot) -> None:
    del shelf.texts[types.account_ref("publisher")]
    with pytest.raises(PipelineError, match="account/publisher: no such assertion"):
        fetch([REVISION], shelf, trust=root, now=NOW)


def test_another_assertion_than_asked_for(shelf: Shelf, root: TrustRoot) -> None:
    shelf.texts[REVISION] = shelf.texts[types.account_ref("dev")]
    with pytest.raises(RefusedError, match=f"{REVISION}: the store answers with another assertion: account/dev"):
        fetch([REVISION], shelf, trust=root, now=NOW)


@pytest.mark.parametrize("text", [b"", b"<html>", b"type: account\n\nAA==", b"\xff" * 9])
def test_no_assertion_at_all(shelf: Shelf, root: TrustRoot, text: bytes) -> None:
    shelf.texts[REVISION] = text
    with pytest.raises(RefusedError, match=f"^{REVISION}"):
        fetch([REVISION], shelf, trust=root, now=NOW)


def test_two_in_one_answer(shelf: Shelf, root: TrustRoot) -> None:
    shelf.texts[REVISION] += b"\n" + shelf.texts[types.account_ref("dev")]
    with pytest.raises(RefusedError, match="holds 2 assertions"):
        fetch([REVISION], shelf, trust=root, now=NOW)


def test_an_old_revision_comes_again(shelf: Shelf, root: TrustRoot, snap_authority: Authority) -> None:
    known = fetch([REVISION], shelf, trust=root, now=NOW)
    assert fetch([REVISION], shelf, trust=root, now=NOW, known=known)[-1].raw == known[-1].raw
    old = snap_authority.snap_declaration(SNAP, "hello", "publisher", revision="3")
    shelf.texts[types.snap_declaration_ref(SNAP)] = old
    with pytest.raises(RefusedError, match="revision 3, but revision 4 is known"):
        fetch([REVISION], shelf, trust=root, now=NOW, known=known)


def test_keys_that_sign_each_other(root: TrustRoot, snap_authority: Authority) -> None:
    one, two = SigningKey(), SigningKey()
    keys = Shelf(
        snap_authority.account_key("test-root", one, "one", signed_by=two),
        snap_authority.account_key("test-root", two, "two", signed_by=one),
    )
    with pytest.raises(RefusedError, match="rests on itself"):
        fetch([types.account_key_ref(one.id)], keys, trust=root, now=NOW)


def test_a_chain_without_end_is_left(root: TrustRoot, snap_authority: Authority) -> None:
    """Whoever sits between may answer with key after key, each said to be signed with yet another one."""
    key = SigningKey()
    template = snap_authority.account_key("test-root", key, "x", signed_by=key).decode()
    asked = 0

    def endless(ref: Ref, max_format: int) -> bytes:  # noqa: ARG001
        nonlocal asked
        asked += 1
        own, following = f"public-key-sha3-384: {ref.key[0]}", f"sign-key-sha3-384: {asked:064d}"
        text = template.replace(f"public-key-sha3-384: {key.id}", own)
        return text.replace(f"sign-key-sha3-384: {key.id}", following).encode()

    with pytest.raises(RefusedError, match="no chain is so long"):
        fetch([types.account_key_ref(key.id)], endless, trust=root, now=NOW)
    assert asked <= 16


def test_what_the_trust_roots_file_has_is_not_asked_for(shelf: Shelf, snap_authority: Authority) -> None:
    text = b"\n".join((snap_authority.trust, snap_authority.store_account_key))
    root = trust.from_text(text, where="own", now=NOW)
    found = fetch([REVISION], shelf, trust=root, now=NOW)
    assert types.account_key_ref(snap_authority.store.id) not in shelf.asked
    assert types.account_key_ref(snap_authority.store.id) in {one.ref for one in found}


def test_nothing_is_fetched_for_what_the_root_brings_along(shelf: Shelf, root: TrustRoot) -> None:
    assert fetch([types.account_ref("test-root")], shelf, trust=root, now=NOW) == []
    assert shelf.asked == []
