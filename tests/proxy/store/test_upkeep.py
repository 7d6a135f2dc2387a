from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.blobs import Blobs
from proxy.store.upkeep import in_use, prune, verify


@pytest.fixture
def store(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "sha256", shared=())


def kept(store: Blobs, *uses: int) -> list[str]:
    """Files of 8 KiB that were used at these times, in seconds."""
    found = []
    for used in uses:
        sha256 = store.add(f"{used:8d}".encode() * 1024)
        os.utime(store.path(sha256), (used, 1000))
        found.append(sha256)
    return found


def test_what_was_not_used_for_longest_goes_first(store: Blobs) -> None:
    middle, old, new = kept(store, 6000, 5000, 7000)
    assert prune(store, 3 * 8192).removed == ()
    gone = prune(store, 8192)
    assert gone.removed == (old, middle)
    assert (gone.freed_bytes, gone.left_bytes) == (2 * 8192, 8192)
    assert [path.name for path in store.folder.iterdir()] == [new]


def test_dry_run(store: Blobs) -> None:
    kept(store, 5000, 6000)
    assert len(prune(store, 0, dry_run=True).removed) == 2
    assert len(list(store.folder.iterdir())) == 2


def test_what_a_lock_names_stays(store: Blobs) -> None:
    old, new = kept(store, 5000, 6000)
    assert prune(store, 0, keep={old}).removed == (new,)


def test_what_lies_elsewhere_too_stays(store: Blobs, tmp_path: Path) -> None:
    (linked,) = kept(store, 5000)
    os.link(store.path(linked), tmp_path / "in a mirror")
    assert prune(store, 0).removed == ()
    (tmp_path / "in a mirror").unlink()
    assert prune(store, 0).removed == (linked,)


def test_what_is_in_use_stays(store: Blobs) -> None:
    unused, used = kept(store, 5000, 6000)
    with in_use(store):
        store.use(used)
        assert prune(store, 0).removed == (unused,)
    assert prune(store, 0).removed == (used,)


def test_a_killed_process_uses_nothing(store: Blobs) -> None:
    (file,) = kept(store, 5000)
    script = (
        "import os, signal, sys; from pathlib import Path; from proxy.blobs import Blobs; "
        "from proxy.store.upkeep import in_use\n"
        "store = Blobs(Path(sys.argv[1]))\n"
        "with in_use(store):\n    store.use(sys.argv[2]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    arguments = [sys.executable, "-c", script, str(store.folder), file]
    assert subprocess.run(arguments, check=False, cwd=Path(__file__).parents[3]).returncode == -9
    assert len(list((store.folder.parent / "users").iterdir())) == 1
    assert prune(store, 0).removed == (file,)
    assert list((store.folder.parent / "users").iterdir()) == []


def test_parts_nobody_brings_go(store: Blobs) -> None:
    with store.claim("a" * 64, 5) as part:
        assert part is not None
        part.write(b"abc")
    with store.claim("b" * 64, 5) as coming:
        assert coming is not None
        coming.write(b"abc")
        prune(store, 0)
        assert [path.name for path in store.folder.parent.glob("coming/*.part")] == ["b" * 64 + ".part"]


def test_verify(store: Blobs) -> None:
    good, bad = kept(store, 5000, 6000)
    seen = []
    assert verify(store, progress=lambda done, total: seen.append((done, total))) == []
    assert max(seen) == (2 * 8192, 2 * 8192)
    store.path(bad).write_bytes(b"x")
    (damaged,) = verify(store)
    assert damaged.path == store.path(bad)
    assert [path.name for path in store.folder.iterdir()] == [good]
