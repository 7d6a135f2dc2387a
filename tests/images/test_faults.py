"""What goes wrong around a build: a full disk, a store that cannot be one or lost something, clocks, another build."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from building import COMMAND, Project, built, copy_without_layers, left_behind
from killing import verify

from image_builder.build.resources import RESERVE_DISK
from image_builder.layers import Layer, Store

pytestmark = pytest.mark.root
Make = Callable[[], Project]
GIB = 1 << 30
ROOM = 1400  # MiB: what a store needs to begin, and a base


def marking(make: Make, what: str = "marked") -> Project:
    """A project whose one hook in the root is nobody else's, and a hook beside it that hands out what it did."""
    project = make()
    project.hook("base/mark.chroot", f"echo {what} {project.folder} >/etc/marked")
    project.hook("base/out.binary", "[ -d chroot ] || cd ..\ncp chroot/etc/marked livecd.$PROJECT.out")
    project.series("out", "base/mark.chroot\nbase/out.binary\nprovides livecd.$PROJECT.out\n")
    return project


def layer_of(project: Project, name: str) -> Layer:
    key = next(layer["key"] for layer in project.record()["layers"] if layer["name"] == name)
    with Store(project.store) as store:
        found = store.get(key)
    assert found is not None
    return found


# ---- a full disk


@pytest.fixture
def on_a_small_disk(small: Make, tmp_path: Path) -> Iterator[Project]:
    """A project with a store on a disk of its own, on which there is room for a base and little more."""
    project = marking(small)
    lent = tmp_path / "lent"
    copy_without_layers(project.store, lent)
    used_mib = int(subprocess.run(["du", "-sm", lent], capture_output=True, text=True, check=True).stdout.split()[0])
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={used_mib + ROOM}m", "tmpfs", disk], check=True)
    try:
        subprocess.run(["cp", "-a", lent, disk / "store"], check=True)
        shutil.rmtree(lent)
        yield Project(project.folder, disk / "store")
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize(
    ("greed", "reason"),
    [
        ("head -c 100G /dev/zero >hoard", "no space left on the disk but"),
        ("fallocate -l 100G hoard", "no space left on the disk"),
    ],
    ids=["by and by", "at once"],
)
def test_a_step_that_fills_the_disk(on_a_small_disk: Project, greed: str, reason: str) -> None:
    project = on_a_small_disk
    good = project.folder / "hooks.d/base/out.binary"
    before = good.read_text()
    project.hook("base/out.binary", f"[ -d chroot ] || cd ..\n{greed}")
    said = project.run("build", "out", status=3).stderr
    assert f"binary base/out.binary (of out): {reason}" in said
    assert "image-builder store prune" in said
    assert shutil.disk_usage(project.store).free > RESERVE_DISK, "what it had written is gone"
    assert left_behind(project.store) == []
    verify(project)
    good.write_text(before)
    assert built(project.build("out")) == ["binary base/out.binary"]
    assert project.artefact("livecd.debian.out").read_text() == f"marked {project.folder}\n"


def test_a_step_does_not_begin_where_it_had_no_room_to_end(small: Make) -> None:
    project = marking(small)
    project.build("out")
    name = "binary base/out.binary"
    with Store(project.store) as store:
        record = project.record()
        place = hashlib.sha256(" / ".join(layer["name"] for layer in record["layers"]).encode()).hexdigest()
        used = store.recall("usage", place)
        assert used["written"] == layer_of(project, name).size_bytes
        store.remember("usage", place, {**used, "written": 1 << 50})
        try:
            project.hook("base/out.binary", "[ -d chroot ] || cd ..\ncp chroot/etc/marked livecd.$PROJECT.out; : again")
            said = project.run("build", "out", status=3).stderr
        finally:
            store.remember("usage", place, used)
    assert re.search(r"no space: \d+ MiB left, a step needs 1342177536 MiB", said)
    assert built(project.build("out")) == [name]


# ---- a store that cannot be one


def test_a_store_that_keeps_no_attributes_is_refused(small: Make, tmp_path: Path) -> None:
    """NFS is one; the kernel's simplest file system in memory lacks the same."""
    project = marking(small)
    place = tmp_path / "ram"
    place.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "ramfs", place], check=True)
    try:
        said = Project(project.folder, place / "store").run("build", "out", status=3).stderr
    finally:
        subprocess.run(["umount", place], check=True)
    assert "this file system (ramfs) keeps no trusted.* attributes" in said
    assert "choose another directory by --store: one on ext4, xfs or btrfs" in said


# ---- a store that has lost something


def lose_diff(layer: Layer) -> None:
    shutil.rmtree(layer.diff)


def lose_listing(layer: Layer) -> None:
    (layer.directory / "listing").unlink()


def lose_meta(layer: Layer) -> None:
    (layer.directory / "meta.json").unlink()


def cut_meta(layer: Layer) -> None:
    (layer.directory / "meta.json").write_text((layer.directory / "meta.json").read_text()[:40])


def change_a_file(layer: Layer) -> None:
    (layer.diff / "chroot/etc/marked").write_text("damaged\n")


def lose_a_file(layer: Layer) -> None:
    (layer.diff / "chroot/etc/marked").unlink()


def add_a_file(layer: Layer) -> None:
    (layer.diff / "chroot/etc/not-ours").write_text("added\n")


Damages = Sequence[tuple[Callable[[Layer], None], str]]
SOME: Damages = [
    (lose_meta, "meta.json or used is missing or damaged"),
    (lose_listing, "its listing cannot be read"),
    (change_a_file, "chroot/etc/marked: was"),
]
OTHERS: Damages = [
    (lose_diff, "diff is missing"),
    (cut_meta, "meta.json or used is missing or damaged"),
    (lose_a_file, "chroot/etc/marked: missing"),
    (add_a_file, "chroot/etc/not-ours: not there at commit"),
]


@pytest.mark.parametrize("damages", [SOME, pytest.param(OTHERS, marks=pytest.mark.full)], ids=["some", "others"])
def test_a_damaged_layer_is_said_and_made_anew(small: Make, damages: Damages) -> None:
    project = marking(small)
    project.build("out")
    good = project.artefact("SHA256SUMS").read_text()
    for damage, said in damages:
        damage(layer_of(project, "chroot base/mark.chroot"))
        assert said in verify(project, status=1)
        # what stands on it has to be made again, so that the layer is needed
        for name in ("finish", "binary base/out.binary"):
            shutil.rmtree(layer_of(project, name).directory)
        assert said in project.run("build", "out").stderr
        assert built(project.record()) == ["chroot base/mark.chroot", "finish", "binary base/out.binary"]
        assert project.artefact("SHA256SUMS").read_text() == good
        verify(project)


def test_a_damaged_artefact_in_the_store_is_not_handed_over(small: Make) -> None:
    project = marking(small)
    project.build("out")
    good = project.artefact("SHA256SUMS").read_text()
    (layer_of(project, "binary base/out.binary").diff / "livecd.debian.out").write_text("damaged\n")
    shutil.rmtree(project.folder / "builds")
    assert "livecd.debian.out: was" in project.run("build", "out").stderr
    assert project.artefact("SHA256SUMS").read_text() == good
    assert project.artefact("livecd.debian.out").read_text() == f"marked {project.folder}\n"


# ---- the clock


def test_a_clock_that_was_set_back(small: Make) -> None:
    """All that earlier builds have left is of the future then."""
    project = marking(small)
    project.build("out")
    good = project.artefact("SHA256SUMS").read_text()
    ahead = time.time() + 3 * 365 * 86400
    for name in ("chroot base/mark.chroot", "finish", "binary base/out.binary"):
        directory = layer_of(project, name).directory
        about = json.loads((directory / "meta.json").read_text())
        (directory / "meta.json").write_text(json.dumps({**about, "created": ahead}))
        for path in directory.iterdir():
            if path.name != "diff":
                os.utime(path, (ahead, ahead))
    for path in (project.store / "values").glob("*/*.json"):
        os.utime(path, (ahead, ahead))
    lock = project.folder / "image-builder.lock"
    lock.write_text(lock.read_text().replace('"created": "20', '"created": "21'))
    assert "nothing to do" in project.run("build", "out").stderr
    project.hook("base/out.binary", "[ -d chroot ] || cd ..\ncp chroot/etc/marked livecd.$PROJECT.out; : again")
    assert built(project.build("out")) == ["binary base/out.binary"]
    assert project.artefact("SHA256SUMS").read_text() == good
    verify(project)


# libfaketime makes nonsense of a sleep until an instant, which Python's is; a sleep by select() it leaves alone.
SLEEPS = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"


def test_a_clock_that_is_set_back_while_builds_go_on(small: Make, tmp_path: Path) -> None:
    """For image-builder itself; the steps and other programs it starts keep the machine's clock."""
    project = marking(small)
    (tmp_path / "python").mkdir()
    (tmp_path / "python/sitecustomize.py").write_text(SLEEPS)
    path = os.pathsep.join([str(tmp_path / "python"), *filter(None, [os.environ.get("PYTHONPATH")])])
    project.build("out")
    good = project.artefact("SHA256SUMS").read_text()

    def build(*, days: int) -> str:
        words = ["faketime", "--exclude-monotonic", "-f", f"{days:+}d"]
        done = subprocess.run(
            [*words, COMMAND, "build", "out", "--store", project.store], cwd=project.folder,
            env={**os.environ, "CI": "1", "PYTHONPATH": path}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr

    name = "binary base/out.binary"
    assert "nothing to do" in build(days=-700)
    project.hook("base/out.binary", "[ -d chroot ] || cd ..\ncp chroot/etc/marked livecd.$PROJECT.out; : then")
    assert "newer than this machine's clock" in build(days=-700)
    record = project.record()
    assert datetime.fromisoformat(record["started"]) < datetime.now(UTC) - timedelta(days=600)
    assert built(record) == [name]
    assert project.artefact("SHA256SUMS").read_text() == good
    assert left_behind(project.store) == []
    verify(project)
    # and forward again: what was made in the past holds
    assert "nothing to do" in project.run("build", "out").stderr
    project.hook("base/out.binary", "[ -d chroot ] || cd ..\ncp chroot/etc/marked livecd.$PROJECT.out; : now")
    assert built(project.build("out")) == [name]


# ---- another build


def test_two_builds_at_once_and_one_is_killed(small: Make) -> None:
    first, second = marking(small), marking(small)
    for project in (first, second):
        project.hook("base/mark.chroot", f"echo {first.folder} >/etc/marked; sleep 4")
    with first.start("build", "out") as killed:
        log = first.folder / "builds"
        while not [*log.glob("*/logs/chroot-base-mark*")]:
            assert killed.poll() is None
            time.sleep(0.05)
        with second.start("build", "out") as other:
            time.sleep(2.5)  # until it waits for the first one's layer
            os.kill(killed.pid, signal.SIGKILL)
            killed.communicate()
            said = other.communicate()[1]
    assert other.returncode == 0, said
    assert f"waits for pid {killed.pid}" in said
    assert "chroot base/mark.chroot" in built(second.record())
    assert second.artefact("livecd.debian.out").read_text() == f"{first.folder}\n"
    assert built(first.build("out")) == []
    assert first.artefact("SHA256SUMS").read_text() == second.artefact("SHA256SUMS").read_text()


# ---- hooks that go for the machine


def test_a_hook_is_kept_from_the_machine_it_is_built_on(small: Make) -> None:
    """In a whole build; what a sandbox refuses, try by try: tests/root/test_hostile_hooks.py."""
    project = marking(small)
    project.hook(
        "base/mark.chroot",
        """
        refused() { if "$@" 2>/tmp/why; then echo "done: $*"; else echo "refused: $(cat /tmp/why)"; fi >>/etc/marked; }
        refused date -s 2001-01-01
        refused sh -c 'echo 1 >/proc/sys/vm/swappiness'
        refused sh -c 'echo mem >/sys/power/state'
        refused sh -c 'mknod /disk b $(tr : " " </sys/block/*/dev | tail -1) && head -c 1 /disk'
        rm -f /disk /tmp/why
        hostname elsewhere
        mount -t tmpfs mine /mnt
        setsid sleep 500 >/dev/null 2>&1 &
        """,
    )
    project.hook(
        "base/out.binary",
        """
        [ -d chroot ] || cd ..
        for path in "$0" hooks.d/base/out.binary; do chmod 777 "$path" && echo x >>"$path"; done >/dev/null 2>&1 || :
        cp chroot/etc/marked livecd.$PROJECT.out
        """,
    )
    source, before = project.folder / "hooks.d/base/out.binary", time.gmtime().tm_year
    text = source.read_text()
    record = project.build("out")
    said = project.artefact("livecd.debian.out").read_text()
    assert said.count("refused: ") == 4, said
    assert (time.gmtime().tm_year, source.read_text()) == (before, text)
    assert any("left a process running" in warning for warning in record["warnings"])
    (log,) = project.artefact("logs").glob("chroot-base-mark*")
    assert "left mounted, unmounted now: /mnt" in log.read_text()
