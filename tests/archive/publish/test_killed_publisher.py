"""SIGKILL of a publisher, as a process, at moments nobody chose, while builds deliver."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import publisher_program
from published import DATE, Rebuilt, broken
from rebuilt import tree

from image_builder.archive.publish.folder import FolderPlace
from image_builder.archive.publish.signing import Signer

TOP = Path(__file__).parents[3]
KILLS = 6
PATIENCE = 60.0


def start(folder: Path, first: int) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(map(str, (TOP, TOP / "tests/support")))
    words = [sys.executable, publisher_program.__file__, str(folder), str(first)]
    return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": paths})


def dated(place: FolderPlace) -> int:
    """How many seconds after DATE the publication is that readers see; -1: there is none yet."""
    release = (place.read("dists/stable/InRelease") or b"").decode()
    line = next((line for line in release.splitlines() if line.startswith("Date: ")), "")
    if not line:
        return -1
    at = time.strptime(line, "Date: %a, %d %b %Y %H:%M:%S UTC")
    return int(time.mktime(at) - time.timezone) - DATE


def test_readers_have_a_whole_publication_and_the_next_one_goes_on(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    folder = tmp_path / "rebuilt"
    rebuilt = Rebuilt(folder, Signer.own(folder / "keys", DATE))
    place = FolderPlace(folder / "public")
    rebuilt.build("hello", {"hello": "amd64", "hello-doc": "all"})
    rebuilt.source("hello", "1")
    number, published = 0, -1
    for kill in range(KILLS):
        program = start(folder, number)
        deadline = time.monotonic() + PATIENCE
        while dated(place) <= published and kill in (1, 3) and time.monotonic() < deadline:
            time.sleep(0.02)  # it has begun for sure, and is in the middle of one of the next
        until = time.monotonic() + chance.uniform(0.0, 1.5)
        while time.monotonic() < until:
            rebuilt.build("hello", {"hello": "amd64", "hello-doc": "all"}, content=f"{kill} {chance.random()}")
        program.kill()
        program.wait()
        assert broken(place.read, "stable") == []
        assert dated(place) >= published, "what was published stays"
        published = dated(place)
        number = max(number, published) + 1
    assert published > 0
    rebuilt.publish(place, DATE + number)
    other = FolderPlace(tmp_path / "other")
    rebuilt.publish(other, DATE + number)
    assert place.read("dists/stable/InRelease") == other.read("dists/stable/InRelease")
    assert broken(place.read, "stable") == broken(other.read, "stable") == []
    assert rebuilt.repository.verify("stable") == []
    # What the killed ones brought is in lists of theirs, and goes like any older publication.
    rebuilt.publish(place, DATE + number + 1, keep=1)
    rebuilt.publish(other, DATE + number + 1, keep=1)
    ours, theirs = (set(tree(one.folder / "pool")) for one in (place, other))
    assert ours == theirs
    assert list(place.folder.rglob("*.part*")) == []
