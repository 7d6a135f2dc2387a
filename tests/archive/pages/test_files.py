"""A folder that is brought up to date: only what changed, nothing half, nothing of others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from image_builder.archive.pages import files
from image_builder.archive.pages.files import BOOK, File, Written, write_files
from image_builder.errors import ConfigError, PipelineError, SurroundingsError


def wanted(texts: Mapping[str, str]) -> list[File]:
    return [File(path, text, text.encode) for path, text in texts.items()]


def there(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != BOOK
    }


def test_only_what_has_changed_is_made_and_written(tmp_path: Path) -> None:
    folder = tmp_path / "new/site"
    assert write_files(folder, wanted({"a": "1", "b/c": "2", "b/d/e": "3"})) == Written(3, 0, 0)
    before = {path: (folder / path).stat().st_mtime_ns for path in ("a", "b/c")}

    def never() -> bytes:
        raise AssertionError

    now = [File("a", "1", never), File("b/c", "2", never), File("f", "4", "4".encode)]
    assert write_files(folder, now) == Written(1, 2, 1)
    assert set(there(folder)) == {"a", "b/c", "f"}
    assert not (folder / "b/d").exists()
    assert {path: (folder / path).stat().st_mtime_ns for path in before} == before


def test_anew_and_what_somebody_deleted(tmp_path: Path) -> None:
    texts = {"a": "1", "b": "2"}
    write_files(tmp_path, wanted(texts))
    (tmp_path / "a").unlink()
    assert write_files(tmp_path, wanted(texts)) == Written(1, 1, 0)
    (tmp_path / "b").write_text("something else")
    assert write_files(tmp_path, wanted(texts), anew=True) == Written(2, 0, 0)
    assert there(tmp_path) == texts


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ConfigError, match="holds something else"):
        write_files(tmp_path, wanted({"a": "1"}))
    assert there(tmp_path) == {"mine": "x"}


def test_files_of_others_among_ours_stay(tmp_path: Path) -> None:
    write_files(tmp_path, wanted({"a": "1", "b/c": "2"}))
    (tmp_path / "b/mine").write_text("x")
    (tmp_path / BOOK).write_text((tmp_path / BOOK).read_text() + "0 ../outside\n0 /etc/x\n0 cut")
    write_files(tmp_path, [])
    assert there(tmp_path) == {"b/mine": "x"}


def test_one_at_a_time(tmp_path: Path) -> None:
    def within() -> bytes:
        with pytest.raises(PipelineError, match="somebody else"):
            write_files(tmp_path, [])
        return b""

    assert write_files(tmp_path, [File("a", "1", within)]) == Written(1, 0, 0)


def test_a_page_that_cannot_be_made_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there before is there still, and the next one ends the work."""
    monkeypatch.setattr(files, "TOGETHER", 2)
    write_files(tmp_path, wanted({"a": "1", "b": "1", "c": "1"}))

    def fail() -> bytes:
        raise SurroundingsError("gone", where="database")

    with pytest.raises(SurroundingsError):
        write_files(tmp_path, [*wanted({"a": "2", "b": "2"}), File("c", "2", fail)])
    assert there(tmp_path) == {"a": "2", "b": "2", "c": "1"}
    assert write_files(tmp_path, wanted({"a": "2", "b": "1", "c": "1"})) == Written(1, 2, 0)
    assert there(tmp_path) == {"a": "2", "b": "1", "c": "1"}


def test_stopped_in_the_middle_of_a_batch_old_stamps_stand_for_nothing(tmp_path: Path) -> None:
    write_files(tmp_path, wanted({"a": "1"}))
    (tmp_path / "b").write_text("somebody else's, where a folder is to be")
    with pytest.raises(SurroundingsError):
        write_files(tmp_path, wanted({"a": "2", "b/c": "2"}))
    assert (tmp_path / "a").read_text() == "2"
    write_files(tmp_path, wanted({"a": "1"}))
    assert (tmp_path / "a").read_text() == "1"


KILLED = """
import sys
from pathlib import Path
from image_builder.archive.pages import files
files.TOGETHER = 7
version = sys.argv[2]
files.write_files(
    Path(sys.argv[1]), [files.File(f"d{n % 9}/{n}", version, lambda: version.encode() * 5000) for n in range(3000)]
)
"""


def test_killed_at_any_moment_every_file_is_whole_and_the_next_one_ends_it(tmp_path: Path) -> None:
    for number, version in enumerate("abcab"):
        program = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), version])
        time.sleep(0.2 + 0.05 * number)
        os.kill(program.pid, signal.SIGKILL)
        program.wait()
        assert {text for path, text in there(tmp_path).items() if not path.startswith(".")} <= {
            one * 5000 for one in "abc"
        }
    texts = {f"d{n % 9}/{n}": "b" for n in range(3000)}
    write_files(tmp_path, [File(path, text, (text * 5000).encode) for path, text in texts.items()])
    assert there(tmp_path) == {path: text * 5000 for path, text in texts.items()}
