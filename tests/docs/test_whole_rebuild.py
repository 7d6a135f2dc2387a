"""The script of a full run: it says what it needs, and what it writes is a configuration."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from image_builder.archive.configuration import load_archive_config
from image_builder.archive.model import Base

SCRIPT = Path(__file__).parents[2] / "docs/archive-whole.sh"
FORECAST = """\
{
 "sources": 34288,
 "borrowed": 2,
 "bounds": [
  {
   "slots": 1,
   "work_seconds": 12182400,
   "critical_seconds": 158400
  },
  {
   "slots": 4,
   "work_seconds": 3045600.0,
   "critical_seconds": 158400.0
  }
 ],
 "source_bytes": %d,
 "result_bytes": 95563022336,
 "build_bytes": 8589934592,
 "memory_bytes": 4294967296
}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A command that answers as image-builder does, beside an id that says root; its log is `said`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    forecast = tmp_path / "forecast"
    forecast.write_text(FORECAST % 1)
    (folder / "image-builder").write_text(
        f'#!/bin/sh\necho "$@" >>{tmp_path}/said\n'
        f'case "$2" in simulate) cat {forecast};; plan) echo planned;; run) exit "${{STATUS:-1}}";; esac\n'
    )
    (folder / "id").write_text("#!/bin/sh\necho 0\n")
    (folder / "df").write_text("#!/bin/sh\nprintf 'Avail\\n%s\\n' 200000000\n")  # 190 GiB
    for program in folder.iterdir():
        program.chmod(0o755)
    return folder


def call(path: Path, *, status: int = 0, **environment: str) -> str:
    """Run it; return what it says."""
    done = subprocess.run(
        ["sh", SCRIPT, path.parent / "rebuild", "bookworm"], check=False, capture_output=True, text=True,
        env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}", "SLOTS": "4", **environment},
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stderr


def test_all_steps_in_their_order(path: Path) -> None:
    said = call(path)
    assert "disk: 129 GiB; 190 GiB are there" in said
    assert "time: 35.2 days at least" in said
    commands = [line.split()[1] for line in (path.parent / "said").read_text().splitlines()]
    assert commands == ["simulate", "plan", "run", "status", "publish"]
    config = load_archive_config(path.parent / "rebuild/archive.yaml", environ={})
    assert (config.suite, config.schedule.slots) == ("bookworm", 4)
    assert [(one.base, one.packages) for one in config.passes] == [(Base.OLD, "base-system"), (Base.BOTH, "all")]
    call(path)
    again = [line.split()[1] for line in (path.parent / "said").read_text().splitlines()][len(commands) :]
    assert again == ["simulate", "run", "status", "publish"], "the plan is there"


def test_what_is_no_answer_ends_it(path: Path) -> None:
    call(path, status=3, STATUS="3")
    assert "publish" not in (path.parent / "said").read_text()


def test_no_room_is_said_before_anything_is_built(path: Path) -> None:
    (path.parent / "forecast").write_text(FORECAST % (200 << 30))
    assert "not enough room on this disk" in call(path, status=1)
    assert "run" not in (path.parent / "said").read_text().split()
    call(path, FORCE="1")
    assert "run" in (path.parent / "said").read_text().split()
