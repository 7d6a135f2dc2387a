from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from image_builder.errors import SurroundingsError
from image_builder.scratch import clear, scratch

HOLD = """
import sys, time
from pathlib import Path
from image_builder.scratch import scratch
with scratch(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def another_process(cache: Path) -> tuple[subprocess.Popen[str], Path]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, cache], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, Path(child.stdout.readline().strip())


def test_a_folder_lasts_as_long_as_its_block(tmp_path: Path) -> None:
    with scratch(tmp_path) as one, scratch(tmp_path) as other:
        assert one != other
        assert one.stat().st_dev == tmp_path.stat().st_dev
        (one / "file").touch()
    assert not one.exists()
    with pytest.raises(ZeroDivisionError), scratch(tmp_path) as one:
        raise ZeroDivisionError
    assert not one.exists()


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    child, left = another_process(tmp_path)
    living, kept = another_process(tmp_path)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert (left / "half").exists()
    (tmp_path / "tmp/123-made-not-held").mkdir()
    with scratch(tmp_path):
        assert not left.exists()
        assert not (tmp_path / "tmp/123-made-not-held").exists()
        assert (kept / "half").exists()  # its process lives
    living.communicate()
    assert living.returncode == 0
    assert not kept.parent.exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "tmp").touch()
    with pytest.raises(SurroundingsError, match="no temporary folder"), scratch(tmp_path):
        pass


def test_what_a_killed_process_left_goes_without_a_new_folder(tmp_path: Path) -> None:
    with scratch(tmp_path) as ours:
        dead = tmp_path / "tmp/9-dead"
        dead.mkdir(parents=True)
        (dead / ".held").touch()
        clear(tmp_path)
        assert ours.is_dir(), "its process lives"
        assert not dead.exists()
    clear(tmp_path / "nothing was ever made here")
