from __future__ import annotations

from pathlib import Path
from statistics import mean, median

import pytest

from image_builder.archive.model import Outcome
from image_builder.archive.simulate.nature import LONGEST_SECONDS, SHORTEST_SECONDS, Chances, Nature, recorded_times
from image_builder.errors import ConfigError


def test_the_same_seed_draws_the_same_whoever_asks_first() -> None:
    one, other = Nature(7, Chances()), Nature(7, Chances())
    names = [f"s{n}" for n in range(50)]
    assert [one.fate(n) for n in names] == [other.fate(n) for n in reversed(names)][::-1]
    assert one.fate("s1") != Nature(8, Chances()).fate("s1")


def test_times_have_the_shape_of_an_archives() -> None:
    nature = Nature(1, Chances())
    drawn = [nature.fate(f"s{n}").seconds for n in range(5000)]
    assert 85 < median(drawn) < 115
    assert 280 < mean(drawn) < 420
    assert min(drawn) >= SHORTEST_SECONDS
    assert 4 * 3600 < max(drawn) <= LONGEST_SECONDS


def test_recorded_times_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "times").write_text("hello,12.5\nlinux,30000\n")
    nature = Nature(1, Chances(guess=0), recorded_times(tmp_path / "times"))
    assert (nature.fate("linux").seconds, nature.fate("hello").expected_seconds) == (30000.0, 12.5)


@pytest.mark.parametrize("line", ["hello", "hello,1,2", "hello,soon", "hello,-1", "hello,nan", "hello,inf"])
def test_a_line_that_is_no_time_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "times").write_text(f"good,1\n{line}\n")
    with pytest.raises(ConfigError, match="times:2"):
        recorded_times(tmp_path / "times")


def test_shares_of_those_that_fail() -> None:
    nature = Nature(1, Chances(never=0.1, crowded=0.2, flaky=0.3))
    fates = [nature.fate(f"s{n}") for n in range(4000)]
    good, bad, back = Outcome.SUCCEEDED, Outcome.ATTEMPTED, Outcome.GIVE_BACK
    for share, outcomes in ((0.1, (bad, bad, bad)), (0.2, (bad, bad, good)), (0.3, (back, good, good))):
        found = sum((one.first, one.crowded, one.alone) == outcomes for one in fates) / len(fates)
        assert abs(found - share) < 0.025
