from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from proxy.archive.age import older_than_expected

T = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAILY = [T - n * 24 * HOUR for n in range(6)]


@pytest.mark.parametrize(
    ("hours", "valid_for", "seen", "said"),
    [
        pytest.param(83, 168, [], "", id="not half of its time"),
        pytest.param(85, 168, [], "3 days old at that instant, more than half", id="more than half of its time"),
        pytest.param(1000, None, [], "", id="nothing is known"),
        pytest.param(1000, None, DAILY[:4], "", id="too little is known"),
        pytest.param(100, None, DAILY, "", id="a long weekend"),
        pytest.param(130, None, DAILY, "signed anew about every 1 day", id="a week without"),
        pytest.param(130, None, [*DAILY, *DAILY], "about every 1 day", id="seen twice"),
        pytest.param(100, None, [*DAILY, *(T + n * HOUR for n in range(150, 200))], "", id="later ones do not count"),
    ],
)
def test_ages(hours: int, valid_for: int | None, seen: list[datetime], said: str) -> None:
    valid_until = None if valid_for is None else T + valid_for * HOUR
    found = older_than_expected(T, T + hours * HOUR, valid_until, seen)
    assert said in found
    assert bool(said) == bool(found)
