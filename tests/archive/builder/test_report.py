"""What a builder leaves beside the packages."""

from __future__ import annotations

import lzma
from pathlib import Path

from assignments import assignment

from image_builder.archive.builder.report import in_short, tidy


def test_the_short_log_is_around_what_failed(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(100)]
    lines[50] = "foo.c:3:1: error: expected ';'"
    (tmp_path / "log").write_text("\n".join(lines))
    said = in_short(tmp_path / "log").splitlines()
    assert lines[50] in said
    assert (said[0], said[-1]) == ("line 38", "line 62")


def test_without_a_known_failure_it_is_the_end(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("\n".join(f"line {number}" for number in range(100)))
    assert in_short(tmp_path / "log").splitlines() == [f"line {number}" for number in range(60, 100)]


def test_the_whole_log_is_kept_once(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (tmp_path / "log").write_text("chroot made\n")
    (results / "lzop_1.04-2_amd64-2026-01-01T00:00:00Z.build").write_text("built\n")
    (results / "lzop_1.04-2_amd64.build").symlink_to("lzop_1.04-2_amd64-2026-01-01T00:00:00Z.build")
    (results / "lzop_1.04-2_amd64.deb").write_bytes(b"x")
    tidy(tmp_path, assignment())
    assert {path.name for path in results.iterdir()} == {
        "lzop_1.04-2_amd64.deb",
        "lzop_1.04-2_amd64.log.xz",
        "lzop_1.04-2_amd64.short.log",
    }
    with lzma.open(results / "lzop_1.04-2_amd64.log.xz", "rt") as log:
        assert log.read() == "chroot made\nbuilt\n"
