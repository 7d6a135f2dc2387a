"""wanna-build's formula, number by number."""

from __future__ import annotations

from typing import Any

import pytest
from package_rows import package

from image_builder.archive.priority import DAY, Weights, calculated_priority, days_waiting, static_priority

HOUR = 3600
# Nothing said of it: notes "" and no build yet, which counts as two hours.
BARE = {"notes": "", "component": "main"}


@pytest.mark.parametrize(
    ("fields", "points"),
    [
        ({}, -2),
        ({"priority": "required"}, 48),
        ({"priority": "important"}, 38),
        ({"priority": "standard"}, 28),
        ({"priority": "optional"}, 3),
        ({"priority": "extra"}, -2),
        ({"section": "libs"}, 2),
        ({"section": "devel"}, 0),
        ({"component": "contrib"}, -12),
        ({"component": "non-free"}, -22),
        ({"section": "contrib/libs"}, -12),  # the section as written is none of those with points
        ({"notes": "uncompiled"}, 18),
        ({"notes": "out-of-date"}, 38),
        ({"notes": "partial"}, 38),
        ({"last_build_seconds": 0.0}, -2),
        ({"last_build_seconds": 1.0}, 0),
        ({"last_build_seconds": 3.99 * HOUR}, -3),
        ({"last_build_seconds": 99.0 * HOUR}, -15),
        ({"priority_once": 7, "priority_permanent": -3}, 2),
        ({"priority": "required", "section": "libs", "notes": "out-of-date", "last_build_seconds": 5.0 * HOUR}, 89),
    ],
)
def test_points(fields: dict[str, Any], points: int) -> None:
    assert static_priority(package(**{**BARE, **fields}), Weights()) == points


@pytest.mark.parametrize(
    ("age", "days", "points"),
    [
        (-DAY, 0, 0),
        (0, 0, 0),
        (DAY - 1, 0, 0),
        (DAY, 1, 2),
        (5.5 * DAY, 5, 10),
        (6 * DAY, 6, 12),
        (60 * DAY, 60, 12),
    ],
)
def test_waiting(age: float, days: int, points: int) -> None:
    row = package(**BARE)
    now = row.state_change + age
    assert days_waiting(row, now) == days
    assert calculated_priority(row, now, Weights()) == points - 2


def test_other_weights() -> None:
    weights = Weights(notes={"uncompiled": -7}, hours_default=0, days_scale=5, days_max=1)
    row = package(notes="uncompiled")
    assert calculated_priority(row, row.state_change + 9 * DAY, weights) == -2
