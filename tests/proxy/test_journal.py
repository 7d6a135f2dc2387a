"""Lines of the journal, and what they add up to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.journal import REFUSED_SHOWN, Journal, Line, Reader, parse_line, summarise

AT = datetime(2026, 3, 1, 12, 0, 0, 7000, tzinfo=UTC)
HASH = "ab" * 32


def test_a_line_is_read_as_it_was_written() -> None:
    line = Line("GET", "http://deb.debian.org/debian/a%20b.deb", 200, HASH, "fetched:deb.debian.org", 1234, 56)
    assert line.text(AT) == (
        f"2026-03-01T12:00:00.007Z 200 56ms 1234 {HASH} fetched:deb.debian.org GET http://deb.debian.org/debian/a%20b.deb\n"
    )
    assert parse_line(line.text(AT)) == line


@given(st.text(), st.text(), st.text())
def test_whatever_a_client_asks_for_is_one_line(method: str, url: str, reason: str) -> None:
    text = Line(method, url, 404, reason=reason).text(AT)
    assert text.count("\n") == 1
    assert len(text.splitlines()) == 1
    parsed = parse_line(text)
    assert parsed is not None
    assert (parsed.status, parsed.sha256, parsed.source) == (404, "-", "-")


@pytest.mark.parametrize("text", ["", "2026-03-01T12:00:00.007Z 200 5", "nothing\n", "2026 200 5ms 6 - - GET /x"])
def test_what_is_no_whole_line_does_not_count(text: str) -> None:
    assert parse_line(text) is None


def test_the_sum() -> None:
    lines = [
        Line("GET", "http://a/1", 200, HASH, "store", 10),
        Line("GET", "http://a/2", 206, HASH, "fetched:a", 20),
        Line("GET", "http://a/3", 200, HASH, "other", 30),
        Line("GET", "http://b/4", 403, reason="b is not frozen"),
        Line("GET", "http://a/5", 503, reason="a is gone"),
        Line("GET", "http://a/6", 0, HASH, "fetched:a", 5),
    ]
    found = summarise(line.text(AT) for line in lines)
    assert (found.requests, found.sent_bytes, found.refused, found.failed) == (6, 65, 1, 2)
    assert (found.from_store, found.fetched, found.from_other_builds, found.fetched_bytes) == (1, 1, 1, 20)
    summary = found.summary("20260301T120000Z")
    assert summary["refusals"] == {"http://b/4": "403 b is not frozen"}
    assert summary["failures"] == {"http://a/5": "a is gone", "http://a/6": "the client did not get all of it"}
    assert found.text() == "6 requests, 0.0 MB: 1 from the store, 1 fetched, 1 by other builds, 1 refused, 2 failed"


def test_a_summary_has_an_end() -> None:
    lines = [Line("GET", f"http://b/{n}", 403, reason="no").text(AT) for n in range(REFUSED_SHOWN + 50)]
    found = summarise(lines)
    assert (found.refused, len(found.refusals)) == (REFUSED_SHOWN + 50, REFUSED_SHOWN)


def test_counting_along_waits_for_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "requests.log"
    reader = Reader(path)
    assert reader.read().requests == 0
    journal = Journal(path)
    journal.write(Line("GET", "http://a/1", 200, HASH, "store", 10))
    with path.open("a") as file:
        file.write(Line("GET", "http://a/2", 200, HASH, "store", 10).text(AT)[:30])
    assert reader.read().requests == 1
    with path.open("a") as file:
        file.write(Line("GET", "http://a/2", 200, HASH, "store", 10).text(AT)[30:])
    assert reader.read().requests == 2
    assert reader.read().requests == 2
    journal.close()
