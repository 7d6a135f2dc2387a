from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from snaps.store.cohorts import doubts, read

ID, OTHER = "a" * 32, "b" * 32
BORN = datetime(2026, 1, 1, tzinfo=UTC)


def key(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


GOOD = key(f"1 {ID} {int(BORN.timestamp())} {'0' * 64}")


def test_a_key_tells_its_snap_and_its_birth() -> None:
    found = read(GOOD)
    assert found is not None
    assert (found.snap_id, found.created) == (ID, BORN)


@pytest.mark.parametrize(
    "text", ["+", "", "MSByZWxlYXNl", "not base64", key(f"2 {ID} 1 {'0' * 64}"), key(f"1 {ID} x {'0' * 64}"), "\u00e9"]
)
def test_keys_of_other_forms_tell_nothing(text: str) -> None:
    assert read(text) is None
    assert doubts(text, name="a", snap_id=ID, now=BORN) == []


def test_a_key_for_this_snap_of_today_is_without_doubt() -> None:
    assert doubts(GOOD, name="a", snap_id=ID, now=BORN + timedelta(days=90)) == []


def test_the_key_of_another_snap() -> None:
    (said,) = doubts(GOOD, name="a", snap_id=OTHER, now=BORN)
    assert "made for another snap" in said


def test_a_key_of_91_days() -> None:
    (said,) = doubts(GOOD, name="a", snap_id=ID, now=BORN + timedelta(days=91))
    assert "91 days old; from 90 on it stands for other revisions" in said
