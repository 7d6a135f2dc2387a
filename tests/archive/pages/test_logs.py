"""Logs as they are kept: read as far as anybody reads, whatever they are."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from image_builder.archive.pages import logs
from image_builder.archive.pages.logs import Log, blocks, in_short, read
from image_builder.errors import PipelineError


def kept(folder: Path, text: bytes) -> Log:
    path = folder / "x.log.xz"
    path.write_bytes(lzma.compress(text, preset=1))
    return Log(path, None, ("", 0, 0))


def test_a_log_that_is_no_utf8_is_read_all_the_same(tmp_path: Path) -> None:
    text = read(kept(tmp_path, b"one\ntwo\xff\nlast"))
    assert (text.head, text.tail, text.gap, text.bytes, text.cut) == ([], ["one", "two\ufffd", "last"], 0, 13, False)


def test_of_a_large_one_begin_and_end_are_kept_and_the_lines_between_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "BLOCK", 4096)
    monkeypatch.setattr(logs, "LOOKED_AT", 20_000)
    lines = [f"line {number}" for number in range(1, 20_001)]
    text = read(kept(tmp_path, "\n".join(lines).encode() + b"\n"))
    assert list(text.head) == lines[: len(text.head)]
    assert list(text.tail) == lines[len(text.head) + text.gap :]
    assert 20_000 - 4096 < sum(len(line) + 1 for line in text.tail) < 20_000 + 4096


def test_an_endless_one_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LONGEST", 3 << 20)
    log = kept(tmp_path, bytes(64 << 20))
    assert log.path.stat().st_size < 100_000
    assert sum(map(len, blocks(log))) == 3 << 20
    assert read(log).cut


def test_a_damaged_one_is_said_to_be(tmp_path: Path) -> None:
    log = kept(tmp_path, b"x" * 100_000)
    log.path.write_bytes(log.path.read_bytes()[:-30])
    with pytest.raises(PipelineError, match="cannot be read"):
        read(log)
    log.path.unlink()
    with pytest.raises(PipelineError, match="cannot be read"):
        read(log)
    assert in_short(Log(log.path, tmp_path / "gone", ("", 0, 0))) == ""
