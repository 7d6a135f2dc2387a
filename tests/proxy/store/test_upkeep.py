from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from frozen_archive import Frozen, frozen_archive

from image_builder.errors import SurroundingsError
from proxy.archive.frozen import Entry, FrozenSet
from proxy.blobs import Blobs
from proxy.store.upkeep import busy, in_use, prune, verify


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


def package(frozen: Frozen, name: str) -> str:
    """The SHA-256 of a package of the archive."""
    opened = FrozenSet(frozen.path, frozen.cache)
    found = opened.find(f"{frozen.uri}/pool/{name}_1.0_all.deb")
    opened.close()
    assert isinstance(found, Entry)
    return found.sha256


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


def test_what_is_in_use_stays(store: Blobs, served: str, key: Any) -> None:
    """What somebody has used since he began, and all that his frozen set names, used by him or not."""
    frozen = frozen_archive(served, key, store.folder.parent)
    named = {path.name for path in store.folder.iterdir()}
    program = store.fetch(f"{served}/pool/program_1.0_all.deb", package(frozen, "program"), None)
    for path in store.folder.iterdir():
        os.utime(path, (4000, 1000))
    unused, used = kept(store, 5000, 6000)
    with in_use(store, frozen.path):
        store.use(used)
        assert busy(store)
        assert prune(store, 0, dry_run=True).removed == (unused,)
        assert prune(store, 0).removed == (unused,)
        assert program.exists()
    assert not busy(store)
    assert set(prune(store, 0).removed) == {used, program.name, *named}


def test_nothing_goes_before_a_user_has_said_what_it_uses(store: Blobs, served: str, key: Any) -> None:
    """A build that is about to read its lock: what that names is not known yet."""
    frozen = frozen_archive(served, key, store.folder.parent)
    (unused,) = kept(store, 5000)
    with in_use(store, frozen.path), in_use(store) as use:
        assert prune(store, 0).removed == ()
        use.of(frozen.path)
        assert unused in prune(store, 0).removed


def test_in_doubt_nothing_goes(store: Blobs, tmp_path: Path) -> None:
    kept(store, 5000)
    (tmp_path / "frozen").write_text("not a frozen set")
    with in_use(store, tmp_path / "frozen"):
        with pytest.raises(SurroundingsError, match="no frozen set"):
            prune(store, 0)
        assert prune(store, 8192).removed == (), "small enough: nobody is asked"
    assert len(list(store.folder.iterdir())) == 1


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SurroundingsError, match="the store cannot be written"), in_use(Blobs(tmp_path / "file/sha256")):
        pass


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
