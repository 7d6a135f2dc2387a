"""On a disk that is full: what was there stays, and the same call goes on when there is room."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import scheduler_program
from published import DATE, Rebuilt, broken

from image_builder.archive.database.open import open_database
from image_builder.archive.model import Outcome
from image_builder.archive.publish.folder import FolderPlace
from image_builder.archive.publish.signing import Signer
from image_builder.archive.states import State
from image_builder.errors import SurroundingsError

pytestmark = pytest.mark.root
TOP = Path(__file__).parents[2]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(4 << 20))
    return filler


def test_nothing_half_and_nothing_lost(disk: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as keys:
        rebuilt = Rebuilt(disk, Signer.own(Path(keys), DATE))
        place = FolderPlace(disk / "public")
        rebuilt.build("hello", {"hello": "amd64"})
        rebuilt.publish(place)
        before = rebuilt.results.read("stable", "amd64", "hello")

        filler = fill(disk)
        with pytest.raises(SurroundingsError, match="No space left on device"):
            rebuilt.build("hello", {"hello": "amd64"}, content="x" * 100_000)
        assert rebuilt.results.read("stable", "amd64", "hello") == before
        assert list((disk / "results/stable/.coming").iterdir()) == []
        assert broken(place.read, "stable") == []

        filler.unlink()
        rebuilt.build("hello", {"hello": "amd64"}, content="x" * 100_000)
        elsewhere = FolderPlace(tmp_path / "other disk")
        filler = fill(disk)
        with pytest.raises(SurroundingsError, match=r"No space|disk is full"):
            rebuilt.publish(place, DATE + 1)
        assert broken(place.read, "stable") == []
        filler.unlink()
        rebuilt.publish(place, DATE + 1)
        rebuilt.publish(elsewhere, DATE + 1)
        assert broken(place.read, "stable") == broken(elsewhere.read, "stable") == []
        assert rebuilt.repository.verify("stable") == []


def test_a_scheduler_whose_disk_fills_up_goes_on_when_there_is_room(tmp_path: Path) -> None:
    """Database, jobs and what was taken in on one small disk: it waits or ends with an error, and loses nothing."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], check=True)
    paths = os.pathsep.join(map(str, (TOP, TOP / "tests/support")))
    words = [sys.executable, scheduler_program.__file__, str(folder)]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.PIPE)

    try:
        first = start()
        until(lambda: len(list((folder / "taken").glob("*"))) >= 4, first)
        filler = folder / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with suppress(subprocess.TimeoutExpired):
            first.wait(5.0)
        taken = {path.name: path.read_text() for path in (folder / "taken").iterdir()}
        assert len({name.partition(".")[0] for name in taken}) < scheduler_program.PACKAGES, "it cannot have ended well"
        filler.unlink()
        if first.poll() is not None:
            assert first.returncode != 0
            assert first.stderr is not None
            assert b"is full" in (said := first.stderr.read()) or b"No space left" in said
            first = start()
        assert first.wait(120) == 0
        now = {path.name: path.read_text() for path in (folder / "taken").iterdir()}
        assert taken.items() <= now.items(), "what was taken in stays"
        with open_database(folder / "archive.sqlite") as database:
            (run,) = database.runs()
            rows = database.packages(run.identity)
            assert {row.state for row in rows} == {State.INSTALLED}
            assert len(rows) == scheduler_program.PACKAGES
            for row in rows:
                good = [one for one in database.attempts(run.identity, row.key) if one.outcome is Outcome.SUCCEEDED]
                assert len(good) == 1
                assert now[f"{row.key.source}.{good[0].attempt.identity}"] == f"{row.key.source}\n"
    finally:
        first.kill()
        first.wait()
        subprocess.run(["umount", folder], check=True)


def until(true: Callable[[], bool], program: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert program.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
