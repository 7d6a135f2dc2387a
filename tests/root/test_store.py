"""The store on real file systems, under real overlays."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_builder.errors import SurroundingsError
from image_builder.layers import Construction, Layer, Store
from image_builder.layers.digest import digest
from image_builder.run import run
from image_builder.sandbox import Sandbox, execute

pytestmark = pytest.mark.root

KEY, NEXT = "1" * 64, "2" * 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as store:
        yield store


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place])
    yield place
    run(["umount", place])


def step(store: Store, key: str, line: str, lower: list[Path]) -> Layer:
    with store.building(key) as construction:
        assert isinstance(construction, Construction)
        sandbox = Sandbox(Path("/"), lower=lower, upper=construction.diff)
        log = store.root.parent / "log"
        assert execute(sandbox, ["sh", "-ec", line], log=log).exit_status == 0, log.read_text()
        return construction.commit({})


def test_a_place_that_can_hold_layers(store: Store) -> None:
    store.probe()
    began = time.perf_counter()
    store.probe()
    assert time.perf_counter() - began < 0.05, "remembered"
    assert (list((store.root / "building").iterdir()), store.clear_leftovers()) == ([], [])


def test_an_overlay_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """As in a container whose disk is an overlay."""
    for name in ("lower", "upper", "work", "seen"):
        (tmp_path / name).mkdir()
    script = f"""
        mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work seen
        exec {sys.executable} -c 'from pathlib import Path; from image_builder.layers import Store
        Store(Path("seen/store")).probe()'
    """
    command = ["unshare", "--mount", "sh", "-ec", textwrap.dedent(script).replace("\n        Store", "\nStore")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "(overlayfs) cannot be the upper of an overlay" in done.stderr
    assert "--store" in done.stderr


def test_a_full_disk_is_refused(small_disk: Path) -> None:
    with pytest.raises(SurroundingsError, match="no space: 1 MiB are free"):
        Store(small_disk).probe()


def test_a_disk_that_fills_up_at_commit_makes_no_layer(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    with store.building(KEY) as construction:
        assert isinstance(construction, Construction)
        for number in range(200):
            (construction.diff / f"{number:0200d}").touch()
        with pytest.raises(OSError, match="No space left"), (construction.diff / "large").open("wb") as file:
            while True:
                file.write(b"x" * 4096)
                file.flush()
        with pytest.raises(SurroundingsError, match="no space left"):
            construction.commit({})
    assert store.get(KEY) is None
    assert store.clear_leftovers() == []
    with store.building(KEY) as construction:
        assert isinstance(construction, Construction)
        assert construction.commit({})
    store.close()


def test_whiteouts_devices_owners_and_attributes_are_kept_and_checked(store: Store) -> None:
    low = step(store, KEY, "mkdir gone; touch gone/x old; mknod null c 1 3; chown 33:33 old", [])
    high = step(
        store, NEXT, "rm -r gone; mkdir gone; rm old; setfattr -n user.x -v 1 null 2>/dev/null || :", [low.diff]
    )
    assert (high.diff / "old").is_char_device()
    assert os.getxattr(high.diff / "gone", "trusted.overlay.opaque") == b"y"
    store.close()
    assert store.verify(deep=True) == []
    os.removexattr(high.diff / "gone", "trusted.overlay.opaque")
    assert [problem.key for problem in store.verify(deep=True)] == [NEXT]
    (low.diff / "null").unlink()
    os.mknod(low.diff / "null", 0o20644, os.makedev(1, 5))
    os.utime(low.diff / "null", ns=(1, 1))
    assert {problem.key for problem in store.verify(deep=True)} == {KEY, NEXT}


def test_the_same_step_made_twice_has_the_same_digest(store: Store) -> None:
    low = step(store, KEY, "mkdir d; echo x >d/f", [])
    made = [step(store, key, "mv d e; echo y >>e/f; chmod 700 e", [low.diff]) for key in (NEXT, "3" * 64)]
    assert digest(made[0].diff) == digest(made[1].diff)
    assert os.listxattr(made[0].diff / "e/f") == ["trusted.overlay.origin"], "what the digest leaves out"


def test_a_layer_goes_on_over_several_commands(store: Store, tmp_path: Path) -> None:
    low = step(store, KEY, "touch low", [])
    with store.building(NEXT) as construction:
        assert isinstance(construction, Construction)
        for number in range(3):
            sandbox = Sandbox(Path("/"), lower=[low.diff], upper=construction.diff)
            assert execute(sandbox, ["sh", "-c", f"touch {number}; ls"], log=tmp_path / "log").exit_status == 0
        layer = construction.commit({})
    assert sorted(path.name for path in layer.diff.iterdir()) == ["0", "1", "2"]
    assert sorted(path.name for path in layer.directory.iterdir() if path.is_dir()) == ["diff"]


def test_two_builds_make_a_layer_once(store: Store) -> None:
    program = """
        import sys, time
        from pathlib import Path
        from image_builder.layers import Construction, Store
        with Store(Path(sys.argv[1])) as store:
            for number in range(20):
                with store.building(f"{number:02x}" * 32) as got:
                    if isinstance(got, Construction):
                        (got.diff / "maker").write_text("x")
                        time.sleep(0.005)
                        got.commit({})
                        print("made", number)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(store.root)]
    builds = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    made = [line for build in builds for line in build.communicate()[0].splitlines()]
    assert [build.returncode for build in builds] == [0, 0, 0]
    assert sorted(made) == sorted(f"made {number}" for number in range(20))


def test_the_cost_of_a_commit(store: Store) -> None:
    with store.building(KEY) as construction:
        assert isinstance(construction, Construction)
        for directory in range(50):
            (construction.diff / str(directory)).mkdir()
            for number in range(100):
                os.mknod(construction.diff / str(directory) / str(number))
        began = time.perf_counter()
        construction.commit({})
        seconds = time.perf_counter() - began
    assert seconds < 1, "5,000 files take 0.03 s where nothing else runs"
