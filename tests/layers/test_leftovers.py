"""A build killed at any moment leaves a store that is whole, and what it began is cleared."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from image_builder.layers import Construction, Layer, Store
from image_builder.layers.files import draft

Key = Callable[[int], str]

UNFINISHED = ("building", "trash", "drafts")

# Goes on for ever: makes layers and values, prunes some, fails some.
BUILD = """
    import sys
    from pathlib import Path
    from image_builder.layers import Construction, Store
    store = Store(Path(sys.argv[1]))
    print("begun", flush=True)
    for number in range(100000):
        key = f"{number % 7:04x}" * 16
        with store.building(key) as got:
            if isinstance(got, Construction):
                for name in range(20):
                    (got.diff / str(name)).write_text(f"{key} {name}")
                if number % 5 == 3:
                    got.abandon()
                else:
                    got.commit({"number": number})
        store.remember("solution", key, [key] * 100)
        if number % 3 == 2:
            with Store(store.root) as other:
                other.prune(0)
            store.close()
            with Store(store.root) as other:
                other.prune(100_000)
"""


def start(store: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BUILD), str(store)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    assert child.stdout.readline() == "begun\n"
    return child


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment(tmp_path: Path, key: Key, seed: int) -> None:
    children = [start(tmp_path / "store") for _ in range(2)]
    time.sleep(random.Random(seed).uniform(0.02, 0.4))
    for child in children:
        child.send_signal(signal.SIGKILL)
    for child in children:
        child.communicate()
    with Store(tmp_path / "store") as store:
        # A program that a killed build was just starting has copies of the locks until it calls exec.
        deadline = time.monotonic() + 60
        while left := [path for folder in UNFINISHED for path in (store.root / folder).glob("*")]:
            assert time.monotonic() < deadline, left
            store.clear_leftovers()
        assert store.verify(deep=True) == []
        for layer in store.list():
            assert {path.name: path.read_text() for path in layer.diff.iterdir()} == {
                str(name): f"{layer.key} {name}" for name in range(20)
            }
        for number in range(7):
            assert store.recall("solution", key(number)) in (None, [key(number)] * 100)
            with store.building(key(number)) as got:
                assert isinstance(got, Construction | Layer), "no lock is left"


def test_what_lives_is_not_cleared(store: Store, key: Key) -> None:
    with store.building(key(1)) as construction:
        assert isinstance(construction, Construction)
        (construction.diff / "half").touch()
        with draft(store.root, store.root / "values/file") as file:
            file.write(b"half")
            with Store(store.root) as other:
                assert other.clear_leftovers() == []
        assert construction.commit({}).diff.joinpath("half").exists()
    assert (store.root / "values/file").read_bytes() == b"half"


def test_what_was_left_is_said(store: Store, key: Key, put: Callable[..., Layer]) -> None:
    put(3)
    (store.root / "building" / f"{key(1)[:16]}.0123456789abcdef" / "diff").mkdir(parents=True)
    (store.root / "drafts/draft.0123456789abcdef").touch()
    (store.root / "trash/anything").mkdir()
    (put(2).directory / "meta.json").unlink()
    assert sorted(store.clear_leftovers()) == [
        f"{key(1)[:16]}: a layer whose build was killed",
        f"{key(2)[:16]}: meta.json or used is missing or damaged",
        "draft.0123456789abcdef: an unfinished file",
    ]
    assert store.clear_leftovers() == []
    assert list((store.root / "trash").iterdir()) == []


def test_a_new_owner_clears_what_the_dead_one_began(store: Store, key: Key) -> None:
    remains = store.root / "building" / f"{key(1)[:16]}.0123456789abcdef"
    remains.mkdir(parents=True)
    for name in ("layers", "failed", "trash"):
        (store.root / name).mkdir(exist_ok=True)
    with store.building(key(1)) as construction:
        assert isinstance(construction, Construction)
        assert not remains.exists()
