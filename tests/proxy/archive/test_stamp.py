from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.errors import ConfigError
from proxy.archive.stamp import CLOCK_SKEW, Stamp, agreed, asked, parse, text

NOW = datetime(2026, 3, 2, 0, 0, 0, tzinfo=UTC)
AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SECONDS = "1772366400"


@pytest.mark.parametrize(
    ("word", "stamp"),
    [
        pytest.param(SECONDS, Stamp(AT), id="POSIX seconds"),
        pytest.param("20260301T120000Z", Stamp(AT), id="as snapshot services write it"),
        pytest.param("2026-03-01T12:00:00Z", Stamp(AT), id="as the lock writes it"),
        pytest.param(" 20260301T120000Z\n", Stamp(AT), id="blanks around it"),
        pytest.param("now", Stamp(NOW, is_now=True), id="now"),
        pytest.param("0", Stamp(datetime(1970, 1, 1, tzinfo=UTC)), id="the beginning"),
    ],
)
def test_forms(word: str, stamp: Stamp) -> None:
    assert parse(word, now=NOW, where="--snapshot") == stamp


@pytest.mark.parametrize(
    ("word", "said"),
    [
        pytest.param("", "no instant", id="nothing"),
        pytest.param("yesterday", "no instant", id="words"),
        pytest.param("-1", "no instant", id="negative"),
        pytest.param("1772366400.5", "no instant", id="parts of a second"),
        pytest.param("١٧٧٢٣٦٦٤٠٠", "no instant", id="other digits"),
        pytest.param("20260301T120000", "no instant", id="no zone"),
        pytest.param("20260230T120000Z", "no instant", id="a day that is none"),
        pytest.param("20260301T246000Z", "no instant", id="a time that is none"),
        pytest.param("1772366400000", "no instant", id="milliseconds"),
        pytest.param("99999999999", "future", id="far away"),
        pytest.param("20260303T000000Z", "future", id="tomorrow"),
    ],
)
def test_what_is_no_instant(word: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse(word, now=NOW, where="--snapshot")
    assert caught.value.exit_status == 2


def test_a_clock_that_is_a_little_behind() -> None:
    assert parse(text(NOW + CLOCK_SKEW), now=NOW, where="x").at == NOW + CLOCK_SKEW


@pytest.mark.parametrize(
    ("environ", "option", "stamp"),
    [
        pytest.param({}, None, None, id="nobody asks"),
        pytest.param({"REPO_SNAPSHOT_STAMP": "", "SNAPSHOT_SERVICE_TIMESTAMP": " "}, None, None, id="set, and empty"),
        pytest.param({"REPO_SNAPSHOT_STAMP": SECONDS}, None, Stamp(AT), id="seconds"),
        pytest.param({"SNAPSHOT_SERVICE_TIMESTAMP": "20260301T120000Z"}, None, Stamp(AT), id="service"),
        pytest.param(
            {"REPO_SNAPSHOT_STAMP": SECONDS, "SNAPSHOT_SERVICE_TIMESTAMP": "20260301T120000Z"},
            None,
            Stamp(AT),
            id="both the same",
        ),
        pytest.param({"REPO_SNAPSHOT_STAMP": "now"}, None, Stamp(NOW, True), id="now"),
        pytest.param({"REPO_SNAPSHOT_STAMP": "now"}, SECONDS, Stamp(AT), id="the option wins"),
        pytest.param({"REPO_SNAPSHOT_STAMP": "junk"}, "now", Stamp(NOW, True), id="what is overridden is not read"),
    ],
)
def test_who_is_heard(environ: dict[str, str], option: str | None, stamp: Stamp | None) -> None:
    assert asked(environ, now=NOW, option=option) == stamp


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        pytest.param(
            {"REPO_SNAPSHOT_STAMP": "1772366401", "SNAPSHOT_SERVICE_TIMESTAMP": "20260301T120000Z"},
            "REPO_SNAPSHOT_STAMP=1772366401 and SNAPSHOT_SERVICE_TIMESTAMP=20260301T120000Z are different",
            id="a second apart",
        ),
        pytest.param(
            {"REPO_SNAPSHOT_STAMP": "now", "SNAPSHOT_SERVICE_TIMESTAMP": "20260302T000000Z"},
            "different instants",
            id="now is not the instant that is now",
        ),
        pytest.param({"REPO_SNAPSHOT_STAMP": "20260301T120000Z"}, "REPO_SNAPSHOT_STAMP: .* no instant", id="form"),
        pytest.param({"SNAPSHOT_SERVICE_TIMESTAMP": SECONDS}, "SNAPSHOT_SERVICE_TIMESTAMP: .* no instant", id="form 2"),
    ],
)
def test_contradictions(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        asked(environ, now=NOW)


def test_words_that_agree() -> None:
    assert agreed([SECONDS, "20260301T120000Z"], now=NOW, where="x") == Stamp(AT)
    assert agreed(["", " "], now=NOW, where="x") is None
    with pytest.raises(ConfigError, match="different instants"):
        agreed([SECONDS, "now"], now=NOW, where="x")


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))
def test_every_instant_is_read_back(at: datetime) -> None:
    at = at.replace(microsecond=0, tzinfo=UTC)
    elsewhere = at.astimezone(timezone(timedelta(hours=5, minutes=45)))
    later = at + timedelta(days=1)
    assert parse(text(elsewhere), now=later, where="x").at == at
    assert parse(str(int(at.timestamp())), now=later, where="x").at == at


@given(st.text(max_size=20))
def test_any_word_is_an_instant_or_refused(word: str) -> None:
    try:
        assert parse(word, now=NOW, where="x").at <= NOW + CLOCK_SKEW
    except ConfigError as e:
        assert "x" in str(e)
