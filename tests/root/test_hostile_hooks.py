"""What a hook may try against the machine it is built on, as root in a sandbox: refused, or gone with it, and said."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from image_builder.build.diagnose import diagnose
from image_builder.build.perform import judged
from image_builder.live_build.recipe import Work
from image_builder.sandbox import Bind, Outcome, Sandbox, execute, limits

pytestmark = pytest.mark.root

HERE = Path("/")
MIB = 1 << 20


class Hostile:
    """A sandbox as a step has it: a layer below, an upper, its own files read-only. Beside it, a file of others."""

    def __init__(self, path: Path) -> None:
        self.path, self.log = path, path / "log"
        for name in ("low", "upper", "hooks.d", "store"):
            (path / name).mkdir()
        (path / "low/file").write_text("of the layer below")
        (path / "hooks.d/hook").write_text("#!/bin/sh\n")
        (path / "store/precious").write_text("somebody else's")

    def try_to(self, line: str, **more: object) -> tuple[Outcome, str]:
        self.log.unlink(missing_ok=True)
        sandbox = Sandbox(
            HERE, lower=[self.path / "low"], upper=self.path / "upper",
            binds=[Bind(self.path / "hooks.d", "/build/hooks.d")], network="none", **more,
        )  # type: ignore[arg-type]  # fmt: skip
        outcome = execute(sandbox, ["sh", "-c", line], log=self.log, timeout_s=60)
        assert (self.path / "store/precious").read_text() == "somebody else's"
        assert (self.path / "low/file").read_text() == "of the layer below"
        assert left_groups() == []
        return outcome, self.log.read_text(errors="replace")


def left_groups() -> list[Path]:
    return [found for place in limits.places() if place for found in place.glob(f"{limits.PREFIX}{os.getpid()}.*")]


@pytest.fixture
def hostile(tmp_path: Path) -> Hostile:
    return Hostile(tmp_path)


# ---- outside of its tree


def test_the_hosts_files_are_not_there(hostile: Hostile) -> None:
    there = f"{hostile.path}/store/precious"
    # these tests' tool root is the host's root: that path is there, as a copy in memory; try_to looks at the real one
    _, said = hostile.try_to(
        f"""
        for to in {there} /.host{there} /proc/1/root{there} /proc/self/root/../..{there} ../../../..{there}; do
            echo gone >"$to"; rm -f "$to"
        done
        ls -d /.host; grep -c {hostile.path.name}/store /proc/1/mountinfo
        """
    )
    assert "cannot access '/.host'" in said
    assert said.endswith("\n0\n"), "its path is not even told"


def test_what_it_writes_beside_its_tree_is_lost(hostile: Hostile) -> None:
    name = f"hostile-{os.urandom(4).hex()}"
    _, said = hostile.try_to(f"for at in /etc /usr/bin /var/lib /root ..; do touch $at/{name} && echo done; done")
    assert said == 5 * "done\n"
    assert not [at for at in ("/etc", "/usr/bin", "/var/lib", "/root", "/") if Path(at, name).exists()]


def test_its_own_source_is_read_only(hostile: Hostile) -> None:
    _, said = hostile.try_to("chmod 777 hooks.d/hook; echo x >>hooks.d/hook; rm hooks.d/hook; mv hooks.d away")
    assert said.count("Read-only file system") == 3
    assert (hostile.path / "hooks.d/hook").read_text() == "#!/bin/sh\n"
    assert (hostile.path / "hooks.d/hook").stat().st_mode & 0o111 == 0


def test_a_file_nobody_can_remove_is_not_made(hostile: Hostile) -> None:
    _, said = hostile.try_to("touch forever; chattr +i forever || echo refused")
    assert "refused" in said
    (hostile.path / "upper/forever").unlink()


# ---- the machine itself


@pytest.mark.parametrize(
    ("attempt", "refusal"),
    [
        ("date -s 2001-01-01", "Operation not permitted"),
        ("echo /bin/false >/proc/sys/kernel/core_pattern", "Read-only file system"),
        ("sysctl -w vm.swappiness=1 2>&1 || echo 1 >/proc/sys/vm/swappiness", "Read-only file system"),
        ("echo 1 >/sys/kernel/mm/ksm/run || echo mem >/sys/power/state", "Read-only file system"),
        ("dmesg --clear || dmesg", "Operation not permitted"),
    ],
    ids=["clock", "core pattern", "sysctl", "sysfs", "kernel log"],
)
def test_what_is_the_whole_machines_is_refused(hostile: Hostile, attempt: str, refusal: str) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text(), Path("/proc/sys/vm/swappiness").read_text()
    year = time.gmtime().tm_year
    _, said = hostile.try_to(attempt)
    assert refusal in said
    assert time.gmtime().tm_year == year
    assert (Path("/proc/sys/kernel/core_pattern").read_text(), Path("/proc/sys/vm/swappiness").read_text()) == before


# as linux/capability.h counts them
@pytest.mark.parametrize(
    ("name", "bit"),
    [("sys_module", 16), ("sys_rawio", 17), ("sys_boot", 22), ("sys_time", 25), ("linux_immutable", 9), ("syslog", 34)],
)
def test_it_cannot_get_the_right_to(hostile: Hostile, name: str, bit: int) -> None:
    _, said = hostile.try_to("sed -n 's/^CapBnd:\\s*//p; s/^CapEff:\\s*//p' /proc/self/status")
    found = [int(line, 16) for line in said.split()]
    assert len(found) == 2
    assert not any(rights >> bit & 1 for rights in found), name


def test_the_magic_key_cannot_be_pressed(hostile: Hostile) -> None:
    outcome, said = hostile.try_to("echo h >/proc/sysrq-trigger")
    assert outcome.exit_status != 0
    assert ("Read-only file system" in said) is Path("/proc/sysrq-trigger").exists()


def test_its_name_is_its_own(hostile: Hostile) -> None:
    before = os.uname().nodename
    assert hostile.try_to("hostname other && hostname")[1] == "other\n"
    assert os.uname().nodename == before


def test_what_it_mounts_is_gone_with_it(hostile: Hostile) -> None:
    before = Path("/proc/self/mountinfo").read_text().count("hostile-mount")
    outcome, said = hostile.try_to(
        "mkdir at; mount -t tmpfs hostile-mount at && mount --make-shared at && mount --bind at /mnt && echo mounted"
    )
    assert (outcome.exit_status, said) == (0, "mounted\n")
    assert Path("/proc/self/mountinfo").read_text().count("hostile-mount") == before


@pytest.mark.parametrize("kind", ["node", "devtmpfs"])
def test_the_hosts_disk_cannot_be_opened(hostile: Hostile, kind: str) -> None:
    assert limits.missing() == [], "this host lets control groups be made, so all of this holds"
    disks = [path for path in Path("/sys/block").iterdir() if not path.name.startswith(("loop", "ram"))]
    assert disks, "no disk to try it on"
    major, minor = (disks[0] / "dev").read_text().strip().split(":")
    make = {
        "node": f"mknod disk b {major} {minor}",
        "devtmpfs": f"mkdir dev && mount -t devtmpfs dev dev && ln -s dev/{disks[0].name} disk",
    }[kind]
    _, said = hostile.try_to(f"{make} && head -c 1 disk | wc -c; : >>disk")
    assert "disk' for reading: Operation not permitted" in said
    assert "cannot create disk: Operation not permitted" in said


@pytest.mark.parametrize(("name", "major", "minor"), [("mem", 1, 1), ("kmsg", 1, 11), ("loop-control", 10, 237)])
def test_devices_that_are_the_hosts_cannot_be_opened(hostile: Hostile, name: str, major: int, minor: int) -> None:
    _, said = hostile.try_to(f"mknod {name} c {major} {minor} && head -c 1 {name}")
    assert "Operation not permitted" in said


def test_the_devices_every_root_has_can_be_made_and_used(hostile: Hostile) -> None:
    _, said = hostile.try_to(
        """
        mknod null c 1 3; mknod zero c 1 5; mknod urandom c 1 9; mknod tty c 5 0; mknod console c 5 1; mknod ptmx c 5 2
        echo x >null && head -c 3 zero | wc -c && head -c 3 urandom | wc -c && cp -a null copied && echo copied
        """
    )
    assert said == "3\n3\ncopied\n"


# ---- processes


def test_daemons_that_hide_are_ended_and_named(hostile: Hostile) -> None:
    mark = f"123{os.getpid()}"
    outcome, _ = hostile.try_to(
        f"(setsid sh -c 'trap : TERM HUP INT; (sleep {mark}; :) & sleep {mark}; :' >/dev/null 2>&1 &) ; sleep 0.2"
    )
    assert outcome.exit_status == 0
    assert "sleep" in outcome.left_running
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if _words(p) == f"sleep {mark}"]


def _words(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def test_killing_everybody_kills_its_own(hostile: Hostile) -> None:
    mark = f"123{os.getpid()}"
    outcome, _ = hostile.try_to(f"sleep {mark} & kill -9 -1; kill -9 1; wait; exit 7")
    assert (outcome.exit_status, outcome.left_running) == (7, ())
    assert outcome.seconds < 30


def test_a_fork_bomb_is_bounded_and_told(hostile: Hostile) -> None:
    # grows by the double as long as it can, then ends: so the test does, should there be no bound
    bomb = "bomb() { [ $1 -gt 12 ] && sleep 5 && return; bomb $(($1 + 1)) & bomb $(($1 + 1)) & wait; }; bomb 0; exit 1"
    outcome, said = hostile.try_to(bomb, processes=100)
    assert outcome.exit_status != 0
    found = diagnose(said[-4000:], exit_status=outcome.exit_status, timed_out=False, timeout_s=60)
    assert found.reason == "too many processes"


@pytest.mark.parametrize(
    "eat",
    [
        "perl -e '$x .= \"x\" x 1000000 while 1'",
        "head -c 1G /dev/zero >/tmp/hoard",
        "head -c 1G /dev/zero >/dev/shm/hoard",
    ],
    ids=["in a process", "in files", "in shared memory"],
)
def test_eating_memory_ends_it_and_nobody_else(hostile: Hostile, eat: str) -> None:
    outcome, said = hostile.try_to(eat, memory_bytes=100 * MIB)
    found = judged(Work("", {}, {}), outcome, said, timeout_s=60)
    assert found is not None
    assert found.reason in ("out of memory", "killed, most likely because memory ran out")


def test_it_is_ended_when_the_disk_runs_short(hostile: Hostile) -> None:
    outcome = execute(
        Sandbox(HERE, upper=hostile.path / "upper"), ["sh", "-c", "sleep 50"], log=hostile.log,
        watch=lambda: "no space left" if hostile.log.exists() else "",
    )  # fmt: skip
    assert (outcome.stopped, outcome.seconds < 10) == ("no space left", True)
    found = judged(Work("", {}, {}), outcome, "", timeout_s=60)
    assert found is not None and (found.reason, found.surroundings) == ("no space left", True)


def test_control_groups_of_the_killed_are_cleared_and_no_others() -> None:
    program = """
        from image_builder.sandbox import limits
        with limits.group(None, None) as files:
            print(*[file.parent for file in files], flush=True)
            input()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        made = [Path(word) for word in child.stdout.readline().split()]
        limits.clear()
        assert made and all(directory.is_dir() for directory in made), "its maker lives"
        child.kill()
    limits.clear()
    assert not [directory for directory in made if directory.exists()]
