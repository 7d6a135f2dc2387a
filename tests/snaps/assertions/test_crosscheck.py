"""A file against its assertions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from assertion_signer import Authority

from snaps.assertions import trust
from snaps.assertions.crosscheck import check_file
from snaps.assertions.database import Database
from snaps.assertions.parse import parse
from snaps.assertions.refused import RefusedError

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SNAP, OTHER, GONE = "x" * 32, "y" * 32, "z" * 32
ASKED: dict[str, Any] = {"name": "hello", "snap_id": SNAP, "revision": 3, "sha3_384": "ab" * 48, "size_bytes": 10}


@pytest.fixture
def database(snap_authority: Authority) -> Database:
    by = snap_authority
    made = Database(trust.from_text(by.trust, where="own", now=NOW), NOW)
    texts = [
        by.store_account_key, by.account("dev", "dev"), by.account("publisher", "publisher"),
        by.snap_declaration(SNAP, "hello", "publisher"), by.snap_revision("ab" * 48, 10, SNAP, 3, "dev"),
        by.snap_declaration(OTHER, "other", "publisher"), by.snap_revision("cd" * 48, 10, OTHER, 3, "dev"),
        by.snap_declaration(GONE, "", "publisher"), by.snap_revision("ef" * 48, 10, GONE, 1, "dev"),
    ]  # fmt: skip
    made.add_all(parse(text) for text in texts)
    return made


def test_the_right_file(database: Database) -> None:
    assert check_file(database, **ASKED) == "publisher"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        pytest.param({"sha3_384": "00" * 48}, "no assertion snap-revision/", id="unknown file"),
        pytest.param(
            {"sha3_384": "cd" * 48}, f"snap-revision/.*: is of the snap-id {OTHER}", id="another of this size"
        ),
        pytest.param({"size_bytes": 11}, "snap-revision/.*: the file hello has 11 bytes, not 10", id="size"),
        pytest.param({"revision": 4}, "snap-revision/.*: is revision 3 of hello, not 4", id="revision"),
        pytest.param({"name": "goodbye"}, "snap-declaration/16/x.*: this snap is called hello", id="name"),
        pytest.param(
            {"sha3_384": "ef" * 48, "snap_id": GONE, "revision": 1}, "snap-declaration/16/z.*: .*revoked", id="revoked"
        ),
    ],
)
def test_refused(database: Database, other: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        check_file(database, **{**ASKED, **other})
