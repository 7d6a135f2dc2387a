"""Reasons in words a packager understands."""

from __future__ import annotations

import pytest

from image_builder.archive.installability.reasons import Conflict, Missing, Reason, Step, from_json, to_json, words

ASKED = "source---hello"
CASES: dict[str, tuple[Reason, str]] = {
    "nobody provides it": (
        Missing((Step(ASKED, "1", "gcc-10"),)),
        "needs gcc-10, which no package provides",
    ),
    "no alternative is provided": (
        Missing((Step(ASKED, "1", "a (>= 2) | a (<< 1)"),)),
        "needs a (>= 2) | a (<< 1), none of which any package provides",
    ),
    "only other versions": (
        Missing((Step(ASKED, "1", "g (>= 1:2)"),), ("g 1:2~rc1", "g provided by h")),
        "needs g (>= 1:2), but there is only g 1:2~rc1, g provided by h",
    ),
    "through others": (
        Missing((Step(ASKED, "1", "a"), Step("a", "2", "b | c"), Step("c", "3", "d (= 5)"))),
        "needs a; a 2 needs b | c; c 3 needs d (= 5), which no package provides",
    ),
    "two of its own": (
        Conflict(
            Step("e", "1", "f (<< 3)"),
            Step("f", "2", ""),
            (Step(ASKED, "1", "e"),),
            (Step(ASKED, "1", "f"),),
        ),
        "needs e and f, which conflict: e 1 conflicts with f (<< 3)",
    ),
    "two that come along": (
        Conflict(
            Step("e", "1", "virtual"),
            Step("f", "2", ""),
            (Step(ASKED, "1", "x"), Step("x", "7", "e")),
            (Step(ASKED, "1", "y"), Step("y", "8", "z"), Step("z", "9", "f")),
        ),
        "needs x and y, which conflict: x 7 needs e; y 8 needs z; z 9 needs f; e 1 conflicts with virtual",
    ),
    "Build-Conflicts": (
        Conflict(Step(ASKED, "1", "g"), Step("g", "2", ""), (), (Step(ASKED, "1", "e"), Step("e", "1", "g"))),
        "must not meet g, but needs e; e 1 needs g",
    ),
    "Build-Conflicts, told from the other side": (
        Conflict(Step("g", "2", ""), Step(ASKED, "1", ""), (Step(ASKED, "1", "g"),), ()),
        "must not meet g, but needs g",
    ),
}


@pytest.mark.parametrize(("reason", "expected"), CASES.values(), ids=CASES)
def test_words(reason: Reason, expected: str) -> None:
    assert words([reason]) == expected


def test_what_a_dep_wait_does() -> None:
    assert words([Missing((Step("depwait---hello", "1", "b (>= 2)"),))], "waits for") == (
        "waits for b (>= 2), which no package provides"
    )


def test_each_reason_has_a_line() -> None:
    assert len(words([reason for reason, _ in CASES.values()]).splitlines()) == len(CASES)


def test_json_keeps_all() -> None:
    reasons = tuple(reason for reason, _ in CASES.values())
    assert from_json(to_json(reasons)) == reasons
    assert (to_json(()), from_json("")) == ("", ())


@pytest.mark.parametrize(
    "text", ["[{}]", "[1]", '[{"kind": "other"}]', "{", '[{"kind": "missing", "path": [{"a": 1}]}]']
)
def test_what_is_no_json_of_ours(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(text)
