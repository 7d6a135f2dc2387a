"""The chart and the page of a build."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.build.chart import lanes, svg
from image_builder.build.record import ArtefactRecord, BuildRecord, LayerRecord, TargetRecord
from image_builder.build.report import CHART_NAME, REPORT_NAME, write
from image_builder.config import BuildConfig
from image_builder.lock import Lock

AT = datetime(2026, 9, 12, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


def layer(name: str, began: float | None, seconds: float, **more: object) -> LayerRecord:
    return LayerRecord.model_validate(
        {"key": name, "name": name, "kind": "binary", "below": None, "targets": ("one",), "action": "built",
         "reason": "never built", "began_s": began, "seconds": seconds, **more}
    )  # fmt: skip


def record(*layers: LayerRecord, **more: object) -> BuildRecord:
    return BuildRecord.model_validate(
        {
            "started": "2026-09-12T08:00:00Z", "seconds": 12.5, "status": "done", "lock": Lock(created=AT),
            "asked": BuildConfig(architecture="amd64").model_dump(mode="json"), "source_date_epoch": 1,
            "tools": {"live-build": "1:2025"}, "targets": (), "layers": layers, **more,
        }
    )  # fmt: skip


def test_steps_that_ran_at_once_are_in_rows_of_their_own() -> None:
    steps = [layer("a", 0, 5), layer("b", 5, 2), layer("c", 5, 4), layer("d", 7, 1), layer("reused", None, 0)]
    assert [[x.name for x in row] for row in lanes(steps)] == [["a", "b", "d"], ["c"]]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), max_size=12))
def test_no_two_steps_of_a_row_overlap(times: list[tuple[float, float]]) -> None:
    rows = lanes([layer(str(number), began, seconds) for number, (began, seconds) in enumerate(times)])
    assert sum(map(len, rows)) == len(times)
    for row in rows:
        for one, two in pairwise(row):
            assert (two.began_s or 0) >= (one.began_s or 0) + one.seconds - 0.01


def test_the_chart_is_well_formed_and_has_a_bar_for_each_step_in_its_place() -> None:
    steps = [layer("binary base/<evil>&.binary", 0, 6.25), layer("binary base/two.binary", 6.25, 6.25)]
    tree = ET.fromstring(svg(record(*steps)))
    bars = [g.find(f"{SVG}rect") for g in tree.iter(f"{SVG}g")]
    places = [(float(b.attrib["x"]), float(b.attrib["width"])) for b in bars if b is not None]
    assert places == [(12.0, 468.0), (480.0, 468.0)]
    assert next(t.text for t in tree.iter(f"{SVG}title")) == "binary base/<evil>&.binary: 6.2 s, one"


def test_a_build_in_which_nothing_ran() -> None:
    assert "no step ran" in svg(record(layer("reused", None, 0)))


def test_a_failed_step_is_seen() -> None:
    assert 'fill="#e6550d"' in svg(record(layer("x", 0, 1, action="failed")))


class Links(HTMLParser):
    """What a page refers to, and the tags it opens and does not close."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in ("meta", "br", "rect", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line"):
            assert self.open.pop() == tag


@pytest.fixture
def target() -> TargetRecord:
    return TargetRecord(
        name="one", status="failed", layers=(), seconds=3, error="<script>alert(1)</script>", manifest="one.manifest",
        artefacts=(ArtefactRecord(file="livecd.debian.<b>", size_bytes=2048, sha256="ab" * 32),),
    )  # fmt: skip


def test_the_page_shows_targets_and_steps_and_escapes_what_others_wrote(tmp_path: Path, target: TargetRecord) -> None:
    (tmp_path / "one.manifest").write_text("apt\t3\nbash\t5\n")
    write(record(layer("x", 0, 1, log="logs/x.log"), targets=(target,), warnings=("<i>",)), tmp_path)
    text = (tmp_path / REPORT_NAME).read_text()
    page = Links()
    page.feed(text)
    assert page.open == []
    assert set(page.links) == {"livecd.debian.%3Cb%3E", "one.manifest", "logs/x.log"}
    assert "<script" not in text
    assert "<i>" not in text
    assert '<td class="n">2.0 kB</td><td class="n">2</td>' in text
    assert (tmp_path / CHART_NAME).read_text() in text
