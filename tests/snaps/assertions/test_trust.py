"""Roots of trust: the pinned one, and files of private stores."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from assertion_signer import Authority, SigningKey, stream

from snaps.assertions import openpgp, trust
from snaps.assertions.refused import RefusedError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_the_pinned_root() -> None:
    root = trust.canonical()
    assert root.accounts == {"canonical"}
    key = next(one for one in root.trusted if one.kind == "account-key")
    public = openpgp.read_key(key.body, where="root")
    assert public.id == key.sign_key == "-CvQKAwRQ5h3Ffn10FILJoEZUXOv6km9FwA80-Rcj-f-6jadQ89VRswHNiEB9Lxk"
    assert public.bits == 8192
    assert str(trust.generic_classic().ref) == "model/16/generic/generic-classic"


def test_generic_is_no_root() -> None:
    assert "generic" not in trust.canonical().accounts


def test_a_private_root(snap_authority: Authority) -> None:
    by = snap_authority
    root = trust.from_text(stream(by.trust, by.model_file()), where="own", now=NOW)
    assert root.accounts == {"test-root"}
    assert [one.kind for one in root.others] == ["account-key", "account", "account-key", "model"]


def test_files_that_are_no_root(snap_authority: Authority) -> None:
    by = snap_authority
    stranger = SigningKey()
    ended = by.account_key("test-root", by.root, "root", until="2021-01-01T00:00:00Z")
    for text, reason in (
        (by.root_account, "no account-key that signs itself"),
        (by.store_account_key, "no account-key that signs itself"),
        (by.root_account_key, "but not that account"),
        (stream(by.root_account, ended), "held no longer"),
        (stream(by.account("test-root", "x", key=stranger), by.root_account_key), "signed with none of its keys"),
        (stream(by.root_account, by.root_account_key).replace(b"Test-Root", b"Test-Boot"), "hash is another"),
        (b"", "no account-key that signs itself"),
    ):
        with pytest.raises(RefusedError, match=reason):
            trust.from_text(text, where="own", now=NOW)
