"""Rebuilds with the real sbuild: Debian's own sources from its archive, and small ones that go wrong in a known way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from local_archive import Key, LocalArchive, served
from published import DATE
from real_rebuild import DEBIAN, QUICK, STAGE_0, SUITE, Rebuild, log_of, running, short_log_of, source_tree
from rebuilt import deb

from image_builder.archive.builder.assignment import Assignment
from image_builder.archive.model import Outcome
from image_builder.archive.outcome import Ended, judge
from image_builder.archive.states import Cause, State
from image_builder.layers import Store
from image_builder.lock import Lock
from image_builder.run import run
from image_builder.sandbox.emulation import runs

pytestmark = pytest.mark.full

# Of Debian 13, a few kilobytes each, with nothing but debhelper to build them.
PROGRAM, OTHER = "untex", "sysvbanner"
FLAG = "-frecord-gcc-switches"
AT_ONCE = {**QUICK, "delay_seconds": {"builder-fault": 0, "give-back": 0, "chroot-problem": 0}}

Make = Callable[..., Rebuild]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, so that the builder's root and the chroot are made once."""
    return tmp_path_factory.mktemp(f"sbuild-{os.urandom(4).hex()}") / "store"


@pytest.fixture(scope="module")
def lock(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Rebuild(tmp_path_factory.mktemp("lock"), store, {"packages": {"include": [PROGRAM]}})
    made.run("plan")
    return made.folder / "image-builder.lock"


@pytest.fixture
def rebuild(store: Path, lock: Path, tmp_path: Path) -> Iterator[Make]:
    """Makes rebuilds of one state of the archive; keywords are keys of archive.yaml."""

    def make(**config: object) -> Rebuild:
        made = Rebuild(tmp_path / f"rebuild{len(list(tmp_path.glob('rebuild*')))}", store, dict(config))
        shutil.copy2(lock, made.folder)
        return made

    yield make
    assert mounts_of(tmp_path) == mounts_of(store) == []


def mounts_of(folder: Path) -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]


def local(make: Make, *trees: Path, **config: object) -> Rebuild:
    """A rebuild of nothing but local source trees."""
    return make(local=[str(tree) for tree in trees], packages={"include": [tree.name for tree in trees]}, **config)


def test_another_compiler_flag_is_seen_in_the_binaries_and_is_a_reason_to_build_again(
    rebuild: Make, tmp_path: Path
) -> None:
    def flags() -> str:
        program = made.unpacked(PROGRAM, PROGRAM, tmp_path / "unpacked") / f"usr/bin/{PROGRAM}"
        return run(["readelf", "--string-dump=.GCC.command.line", program])

    made = rebuild(packages={"include": [PROGRAM]}, toolchain={"flags": {"CFLAGS": {"append": f"{FLAG} -O1"}}})
    made.run("run")
    assert "-O1" in flags().split()
    first = made.result(PROGRAM)
    # What it took is known, too.
    assert first.outcome is Outcome.SUCCEEDED
    assert first.seconds > 1
    assert first.memory_bytes > 1 << 20
    assert first.disk_bytes > 1 << 16
    assert first.toolchain == json.loads((made.place(PROGRAM) / "result.json").read_text())["toolchain"] != ""
    assert f"DEB_CFLAGS_APPEND={FLAG} -O1" in log_of(made.attempts(PROGRAM)[-1])

    assert "built again" not in made.run("run").stderr
    assert made.result(PROGRAM) == first, "the same toolchain is no reason"

    made.configure(toolchain={"flags": {"CFLAGS": {"append": f"{FLAG} -O3"}}})
    assert "the toolchain is another one, so 1 packages are built again" in made.run("run").stderr
    second = made.result(PROGRAM)
    assert (second.attempt > first.attempt, second.toolchain != first.toolchain) == (True, True)
    assert "-O3" in flags().split()
    assert "-O1" not in flags().split()


def test_one_for_another_architecture(store: Path, tmp_path: Path) -> None:
    made = Rebuild(tmp_path / "arm", store, {"packages": {"include": [PROGRAM]}}, architecture="arm64")
    said = made.run("run").stderr
    assert "warning: arm64 is emulated by QEMU on this amd64 machine" in said
    program = made.unpacked(PROGRAM, PROGRAM, tmp_path / "unpacked") / f"usr/bin/{PROGRAM}"
    assert "AArch64" in run(["readelf", "--file-header", program])
    assert made.result(PROGRAM).architecture == "arm64"
    assert not runs("arm64"), "the kernel is told no longer than needed"
    assert mounts_of(tmp_path) == mounts_of(store) == []


def test_local_packages_supersede_newer_ones_of_the_archive(rebuild: Make, tmp_path: Path) -> None:
    """One as a tree in a git checkout, one as a .dsc, one as a finished package; builds are given all of them."""
    older = {PROGRAM: "1:1.0~mine", OTHER: "1:0.9"}
    tree = source_tree(
        tmp_path, PROGRAM, "true", version=older[PROGRAM], install=f"echo tree >$R/usr/share/{PROGRAM}/x"
    )
    (tree / ".git").mkdir()
    (tree / ".git/HEAD").write_text("ref: refs/heads/main\n")
    described = source_tree(tmp_path, OTHER, "true", version=older[OTHER], install=f"echo dsc >$R/usr/share/{OTHER}/x")
    subprocess.run(["dpkg-source", "--build", OTHER], cwd=tmp_path, check=True, capture_output=True)
    shutil.rmtree(described)
    dsc = tmp_path / f"{OTHER}_0.9.dsc"
    finished = deb(tmp_path, "sic", "0.1-1", content="finished")  # the archive's is 1.1
    names = f"{PROGRAM} {OTHER} sic"
    look = f"dpkg-query -W {names} | tee seen; cat /usr/share/{PROGRAM}/x /usr/share/{OTHER}/x /usr/share/sic/content"
    user = source_tree(
        tmp_path, "user", f"{look} >>seen || :", build_depends=names.replace(" ", ", "),
        install="cp seen $R/usr/share/user",
    )  # fmt: skip
    made = rebuild(
        local=[str(path) for path in (tree, dsc, finished, user)], packages={"include": [PROGRAM, OTHER, "user"]},
        passes=[STAGE_0, {"stage": 1, "base": "both", "packages": ["user"]}],
    )  # fmt: skip
    made.run("run")
    seen = made.unpacked("user", "user", tmp_path / "unpacked", stage=1) / "usr/share/user/seen"
    versions = {PROGRAM: older[PROGRAM], OTHER: older[OTHER], "sic": "0.1-1"}
    assert seen.read_text().splitlines()[:3] == [f"{name}\t{version}" for name, version in sorted(versions.items())]
    assert seen.read_text().splitlines()[3:] == ["tree", "dsc", "finished"]
    # Stage 0 builds with the old archive's; a finished package is the user's word in all stages.
    seen = made.unpacked("user", "user", tmp_path / "unpacked") / "usr/share/user/seen"
    assert "sic\t0.1-1" in seen.read_text()
    assert older[PROGRAM] not in seen.read_text()


def test_a_toolchain_from_a_repository_of_its_own(rebuild: Make, tmp_path: Path) -> None:
    key = Key("Toolchain")
    extra = LocalArchive(tmp_path / "extra", key)
    extra.add("better-compiler", "15.1", content=b"better\n")
    extra.publish(date=datetime.fromtimestamp(DATE, UTC))
    tree = source_tree(
        tmp_path, "user", "cp /usr/share/better-compiler/content seen", install="cp seen $R/usr/share/user"
    )
    try:
        with served(extra.folder) as address:
            made = local(rebuild, tree, toolchain={
                "sources": [f"deb [signed-by={key.keyring}] {address} stable main"], "packages": ["better-compiler"],
            })  # fmt: skip
            made.run("run")
    finally:
        key.close()
    assert (made.unpacked("user", "user", tmp_path / "unpacked") / "usr/share/user/seen").read_text() == "better\n"
    pinned = Lock.read(made.folder / "image-builder.lock")
    assert pinned is not None
    assert address in {pin.uri for pin in pinned.archives}


def test_what_does_not_compile_is_tried_alone_before_it_is_called_a_failure(rebuild: Make, tmp_path: Path) -> None:
    broken = source_tree(tmp_path, "broken", "echo 'int main(void) { return x; }' >x.c; gcc -o x x.c")
    sound = source_tree(tmp_path, "sound", "echo fine")
    made = local(rebuild, broken, sound)
    assert "Build-Attempted" in made.run("run", status=1).stdout
    first, second = made.attempts("broken")
    assert [one.outcome for one in (first, second)] == [Outcome.ATTEMPTED, Outcome.ATTEMPTED]
    assert [one.alone for one in (first, second)] == [False, True]
    assert made.package("broken").state is State.BUILD_ATTEMPTED
    assert "the compiler refused the source" in second.reason
    assert "x.c:1:" in short_log_of(second)
    assert "Fail-Stage: build" in log_of(second)
    assert made.package("sound").state is State.INSTALLED


def test_time_is_limited_and_nothing_of_a_build_outlives_it(rebuild: Make, tmp_path: Path) -> None:
    """A build that hangs, with a daemon that has left its session; and one that ends well and leaves a daemon."""
    seconds = {"hangs": "43211", "leaves": "43212"}
    daemon = "setsid sh -c 'trap \"\" TERM HUP; sleep {0} & sleep {0}' </dev/null >/dev/null 2>&1 &"
    hangs = source_tree(tmp_path, "hangs", f"{daemon.format(seconds['hangs'])} echo begun; sleep {seconds['hangs']}")
    leaves = source_tree(tmp_path, "leaves", f"{daemon.format(seconds['leaves'])} echo fine")
    made = local(rebuild, leaves)  # which makes the chroot, too
    made.run("run")
    assert made.package("leaves").state is State.INSTALLED
    assert running(seconds["leaves"]) == []
    made = local(rebuild, hangs, schedule={**AT_ONCE, "time_limit_seconds": 60, "alone": False})
    made.run("run", status=1)
    (only,) = made.attempts("hangs")
    assert only.outcome is Outcome.TIMEOUT
    assert only.seconds >= 60
    assert "begun" in log_of(only), "its log is kept"
    assert (made.package("hangs").state, made.package("hangs").cause) == (State.BUILD_ATTEMPTED, Cause.TIMEOUT)
    assert running(seconds["hangs"]) == []


def test_a_killed_run_takes_its_builds_with_it_or_finds_them_again(rebuild: Make, tmp_path: Path) -> None:
    made = local(rebuild, source_tree(tmp_path, "slow", "sleep 20.5"), schedule={**AT_ONCE, "lease_seconds": 600})
    with made.start("run") as child:
        until(lambda: bool(running("20.5")))
        child.send_signal(signal.SIGKILL)
    assert running("20.5"), "the build goes on for the length of the lease"
    made.run("run")
    assert [one.outcome for one in made.attempts("slow")] == [Outcome.SUCCEEDED], "the one that was under way"
    # Asked to end, it waits for nothing and leaves nothing.
    again = local(rebuild, source_tree(tmp_path / "other", "slow", "sleep 43213"))
    with again.start("run") as child:
        until(lambda: bool(running("43213")))
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    until(lambda: not running("43213"))


def test_a_build_that_eats_memory_is_the_machines_problem_and_only_its_own(rebuild: Make, tmp_path: Path) -> None:
    eater = source_tree(tmp_path, "eater", "perl -e '$x = \"a\" x 1_500_000_000; sleep 5; print length $x'")
    modest = source_tree(tmp_path, "modest", "echo fine")
    made = local(rebuild, eater, modest, schedule={**AT_ONCE, "memory": "700M", "tries": {"builder-fault": 2}})
    made.run("run", status=1)
    outcomes = [(one.outcome, "memory" in one.reason) for one in made.attempts("eater")]
    assert outcomes == [(Outcome.BUILDER_FAULT, True)] * 2
    assert made.package("eater").cause is Cause.BUILDER_FAULT
    assert made.package("modest").state is State.INSTALLED


def test_a_build_dependency_that_is_missing_is_read_from_the_log(rebuild: Make, tmp_path: Path) -> None:
    """The check beforehand would have kept it from being built; here the builder is asked directly."""
    there = source_tree(tmp_path, "there", "true")
    made = local(rebuild, there)
    made.run("run")
    lacks = source_tree(tmp_path, "lacks", "true", build_depends="no-such-thing-dev (>= 2)")
    told = Assignment.read(next((made.folder / "work/assignments").iterdir()))
    path = tmp_path / "assignment.json"
    told.model_copy(update={"source": "lacks", "tree": lacks, "reference": "1-x"}).write(path)
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, "-m", "image_builder.archive.builder", path]
    done = subprocess.run(
        command, cwd=work, check=False, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    )
    log = (work / "log").read_text(errors="replace")
    judged = judge(Ended(done.returncode), log, direct=["no-such-thing-dev"], available={})
    assert (judged.outcome, judged.dependency) == (Outcome.DEP_WAIT, "no-such-thing-dev (>= 2)")
    # And the whole run says so beforehand, in words.
    waits = local(rebuild, lacks)
    waits.run("run", status=1)
    assert waits.package("lacks").state is State.BD_UNINSTALLABLE
    assert "no-such-thing-dev (>= 2)" in waits.package("lacks").bd_problem
    assert waits.attempts("lacks") == []


def test_a_rebuild_is_made_again_from_its_lock_alone_and_offline(rebuild: Make, store: Path, tmp_path: Path) -> None:
    """In a second store that has what was fetched and no layer, in a network namespace without a way out."""
    first = rebuild(packages={"include": [PROGRAM]})
    first.run("run")
    pinned = Lock.read(first.folder / "image-builder.lock")
    assert pinned is not None
    assert [(pin.uri, pin.suite) for pin in pinned.tool_archives] == [("http://deb.debian.org/debian", SUITE)]
    chosen = {"packages": {"include": [PROGRAM]}, "schedule": {**AT_ONCE, "tries": {"give-back": 1}}}
    second = Rebuild(tmp_path / "again", tmp_path / "store", chosen)
    with Store(store) as kept:
        (tmp_path / "store").mkdir()
        subprocess.run(["cp", "-a", "--link", kept.downloads(), tmp_path / "store"], check=True)
    shutil.copy2(first.folder / "image-builder.lock", second.folder)
    second.run("run", before=("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"))
    one, two = (
        next(made.place(PROGRAM).glob("*.buildinfo")).read_text().partition("Installed-Build-Depends:")[2]
        for made in (first, second)
    )
    assert one.partition("Environment:")[0] == two.partition("Environment:")[0], "the same packages in its chroot"
    with Store(store) as old, Store(tmp_path / "store") as new:
        digests = [{layer.meta["packages_digest"] for layer in s.list() if "sbuild" in layer.meta} for s in (old, new)]
    assert len(digests[1]) == 1
    assert digests[1] <= digests[0]


def test_a_rebuild_that_reads_from_what_was_imported(rebuild: Make, tmp_path: Path) -> None:
    """Killed half-way, the copy is finished by the same command; then its place is all a rebuild reads sources from."""
    made = rebuild(packages={"include": [PROGRAM]})
    target = tmp_path / "copy"
    with made.start("import", "--to", str(target)) as child:
        until(lambda: len(list(target.rglob("*.deb"))) > 5 or child.poll() is not None)
        child.kill()
    half = len(list(target.rglob("*.deb")))
    done = made.run("import", "--to", str(target), "--json")
    report = json.loads(done.stdout)
    assert report["missing"] == report["failed"] == []
    packages = list(target.rglob("*.deb"))
    assert 5 < half <= len(packages)  # all of them, where the store has them and they need no more than links
    assert {path.name for path in target.rglob(f"{PROGRAM}_*")} >= {f"{PROGRAM}_1.2-10.dsc"}
    before = {path: path.stat().st_mtime_ns for path in packages}
    made.run("import", "--to", str(target))
    assert {path: path.stat().st_mtime_ns for path in packages} == before, "nothing is fetched twice"

    with served(target / "deb.debian.org/debian") as address:
        reader = Rebuild(tmp_path / "reader", tmp_path / "store", {
            "sources": [f"deb {address} {SUITE} main"], "packages": {"include": [PROGRAM]},
        })  # fmt: skip
        reader.run("run")
    assert reader.result(PROGRAM).outcome is Outcome.SUCCEEDED
    pinned = Lock.read(reader.folder / "image-builder.lock")
    assert pinned is not None
    assert {pin.uri for pin in pinned.archives} == {address}
    assert DEBIAN.split()[1] not in log_of(reader.attempts(PROGRAM)[-1])


def until(true: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
