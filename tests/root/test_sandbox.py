"""The sandbox for real: what a command sees, what it can leave (nothing), and how it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from image_builder.errors import ConfigError, SurroundingsError
from image_builder.sandbox import Bind, Outcome, Sandbox, execute

pytestmark = pytest.mark.root

HERE = Path("/")  # the machine's own root serves as tool root: it has sh, coreutils and mount
MARK = "sandbox-test-" + os.urandom(4).hex()  # in the arguments of what must be gone afterwards


def alive() -> list[str]:
    """Command lines of processes that carry our mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if MARK in line and path.parent.name != str(os.getpid()):
            found.append(line)
    return found


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def mounts(place: Path) -> set[str]:
    """Mount points; without those that others have in temporary folders at the same time."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {point for point in points if not point.startswith(("/tmp/", "/var/tmp/")) or str(place) in point}


@contextmanager
def nothing_is_left(place: Path) -> Iterator[None]:
    before = mounts(place)
    descriptors = set(Path("/proc/self/fd").iterdir())
    yield
    assert alive() == []
    assert mounts(place) == before
    # one that an earlier test has left to the garbage collector may go at any moment
    assert set(Path("/proc/self/fd").iterdir()) <= descriptors


class Place:
    """Directories for one test, and a shorthand to run a shell line over them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log"
        self.upper = path / "upper"
        self.upper.mkdir()

    def layer(self, name: str, **files: str) -> Path:
        diff = self.path / name
        diff.mkdir()
        for file, content in files.items():
            (diff / file).write_text(content)
        return diff

    def sh(self, line: str, sandbox: Sandbox | None = None, **options: object) -> tuple[Outcome, str]:
        self.log.unlink(missing_ok=True)
        with nothing_is_left(self.path):
            outcome = execute(sandbox or Sandbox(HERE), ["sh", "-c", line, MARK], log=self.log, **options)  # type: ignore[arg-type]
        return outcome, self.log.read_text(errors="replace")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_a_command_sees(place: Place) -> None:
    outcome, seen = place.sh(
        "env | sort; pwd; hostname; id -u; readlink /proc/1/exe >/dev/null && ps ax | wc -l; cat; ls -d /.host",
        Sandbox(HERE, environment={"SUITE": "a b"}),
    )
    assert outcome.exit_status == 2, "ls finds nothing of the host's root"
    assert seen.splitlines()[:9] == [
        "HOME=/root",
        "LC_ALL=C.UTF-8",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PWD=/build",
        "SUITE=a b",
        "TZ=UTC",
        "/build",
        "localhost",
        "0",
    ]


@pytest.mark.parametrize("status", [0, 1, 77, 255])
def test_exit_status(place: Place, status: int) -> None:
    assert place.sh(f"exit {status}")[0].exit_status == status


def test_a_signal_is_told_as_the_shell_does(place: Place) -> None:
    assert place.sh("kill -TERM $$")[0].exit_status == 128 + signal.SIGTERM


def test_a_program_that_is_not_there(place: Place) -> None:
    outcome = execute(Sandbox(HERE), ["no-such-program"], log=place.log)
    assert outcome.exit_status == 127
    assert "no-such-program" in place.log.read_text()


def test_layers_and_whiteouts(place: Place) -> None:
    low, high = place.layer("low", a="low", b="low"), place.layer("high", b="high")
    sandbox = Sandbox(HERE, lower=[low, high], upper=place.upper)
    outcome, seen = place.sh("cat a b; echo new >c; rm a; mkdir d; mv d e", sandbox)
    assert (outcome.exit_status, seen) == (0, "lowhigh")
    assert (place.upper / "c").read_text() == "new\n"
    assert (place.upper / "a").is_char_device()
    assert (low / "a").read_text() == "low"
    assert not (place.path / "upper.work").exists()
    assert place.sh("cat c; ls", sandbox)[1] == "new\nb\nc\ne\n", "the same upper goes on in the next command"


def test_a_directory_of_a_layer_below_can_be_renamed(place: Place) -> None:
    low = place.layer("low")
    (low / "directory").mkdir()
    program = [sys.executable, "-c", "import os; os.rename('directory', 'moved')"]
    sandbox = Sandbox(HERE, lower=[low], upper=place.upper, binds=[Bind(Path(sys.prefix), "/venv")])
    program[0] = os.path.realpath(sys.executable)
    assert execute(sandbox, program, log=place.log).exit_status == 0, place.log.read_text()
    assert place.sh("ls", Sandbox(HERE, lower=[low, place.upper]))[1] == "moved\n"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_without_an_upper_the_work_tree_is_read_only(place: Place, count: int) -> None:
    lower = [place.layer(f"layer{n}", **{f"file{n}": "x"}) for n in range(count)]
    outcome, seen = place.sh("ls; touch new", Sandbox(HERE, lower=lower))
    assert seen.splitlines()[:count] == [f"file{n}" for n in range(count)]
    assert (outcome.exit_status == 0) is (count == 0), "in memory when there is nothing below"


def test_an_upper_alone(place: Place) -> None:
    assert (
        place.sh("echo x >file; mknod null c 1 3 && echo y >null", Sandbox(HERE, upper=place.upper))[0].exit_status == 0
    )
    assert (place.upper / "file").read_text() == "x\n"


def test_two_hundred_layers_at_a_long_path(place: Place) -> None:
    deep = place.path / ("d" * 200) / "with, a: comma\\"
    deep.mkdir(parents=True)
    lower = []
    for number in range(200):
        layer = deep / f"{number:064x}"
        layer.mkdir()
        (layer / f"{number}").touch()
        lower.append(layer)
    assert place.sh("ls | wc -l; touch new", Sandbox(HERE, lower=lower, upper=place.upper))[1] == "200\n"
    assert (place.upper / "new").exists()


def test_binds(place: Place) -> None:
    source = place.layer("a source", file="content")
    sandbox = Sandbox(
        HERE,
        lower=[place.layer("low")],
        upper=place.upper,
        binds=[
            Bind(source, "/build/config"),
            Bind(source, "/build/chroot/var/cache", read_only=False),
            Bind(source / "file", "/build/some/file"),
        ],
        tmpfs=["/build/scratch"],
    )
    outcome, seen = place.sh(
        "cat config/file some/file; touch chroot/var/cache/new scratch/x; touch config/no 2>&1 || echo read-only",
        sandbox,
    )
    assert (outcome.exit_status, seen) == (
        0,
        "contentcontenttouch: cannot touch 'config/no': Read-only file system\nread-only\n",
    )
    assert (source / "new").exists()
    assert not (place.upper / "scratch/x").exists()


def test_a_symlink_in_the_work_tree_does_not_lead_a_bind_to_the_host(place: Place) -> None:
    low = place.layer("low")
    (low / "cache").symlink_to("/srv")
    sandbox = Sandbox(
        HERE, lower=[low], upper=place.upper, binds=[Bind(place.layer("source", file="x"), f"/build/cache/{MARK}")]
    )
    assert place.sh(f"cat /srv/{MARK}/file", sandbox)[1] == "x"
    assert not Path("/srv", MARK).exists()


def test_writes_to_the_tool_root_are_lost(place: Place) -> None:
    name = f"/usr/{MARK}"
    assert place.sh(f"touch {name} /etc/{MARK} /tmp/{MARK} && ls {name}")[1].strip() == name
    assert not any(Path(path).exists() for path in (name, f"/etc/{MARK}", f"/tmp/{MARK}"))


def test_devices_are_not_the_hosts(place: Place) -> None:
    _, seen = place.sh(
        "ls /dev; echo x >/dev/null; head -c 3 /dev/zero | od -An -tx1; echo fd >/dev/fd/1; : >/dev/shm/x"
    )
    assert seen.split("\n")[:14] == [
        *("core", "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty"),
        *("urandom", "zero"),
    ]
    assert seen.splitlines()[14:] == [" 00 00 00", "fd"]


def test_a_hook_can_mount_what_live_build_does_and_it_goes(place: Place) -> None:
    outcome, seen = place.sh(
        "mkdir -p c/proc c/sys c/pts; mount -t proc p c/proc && mount -t sysfs s c/sys && mount -t devpts d c/pts &&"
        " mount -t tmpfs t /mnt && ls c/sys/kernel >/dev/null && echo mounted",
        Sandbox(HERE, upper=place.upper),
    )
    assert (outcome.exit_status, seen) == (0, "mounted\n")


def test_network_none_has_a_loopback_and_nothing_else(place: Place) -> None:
    _, seen = place.sh(
        "ls /sys/class/net; cat /sys/class/net/lo/flags; cat /etc/resolv.conf", Sandbox(HERE, network="none")
    )
    lines = seen.splitlines()
    assert lines[:1] == ["lo"]
    assert int(lines[-1], 16) & 1, "it is up"


def test_network_of_a_handle(place: Place) -> None:
    child = subprocess.Popen(["unshare", "--net", "sleep", "100"])
    try:
        handle = Path(f"/proc/{child.pid}/ns/net")
        wait_until(lambda: handle.readlink() != Path("/proc/self/ns/net").readlink())
        _, seen = place.sh("readlink /proc/self/ns/net; hostname", Sandbox(HERE, network=handle, hostname="build"))
        assert seen.splitlines() == [str(handle.readlink()), "build"]
    finally:
        child.kill()
        child.wait()


def test_the_log_grows_and_lines_are_told_as_they_come(place: Place) -> None:
    lines: list[str] = []
    log_at_first_line: list[str] = []

    def hear(line: str) -> None:
        if not lines:
            log_at_first_line.append(place.log.read_text())
        lines.append(line)

    place.sh("echo one; echo two >&2; sleep 0.2; printf 'three\\r\\n\\377 last'", on_line=hear)
    assert log_at_first_line[0].startswith("one\n")
    assert lines == ["one", "two", "three", "\N{REPLACEMENT CHARACTER} last"]


def test_daemons_end_with_the_command_and_are_named(place: Place) -> None:
    outcome, _ = place.sh(
        f"setsid sleep 1000 </dev/null >/dev/null 2>&1 & setsid sh -c 'trap : TERM; sleep 999' {MARK} & sleep 0.2"
    )
    assert outcome.exit_status == 0
    assert "sleep" in outcome.left_running
    assert outcome.seconds < 60


def test_nothing_left_running_is_nothing_named(place: Place) -> None:
    assert place.sh("sleep 0.01 & true | cat; wait")[0].left_running == ()


def test_kill_0_stays_inside(place: Place) -> None:
    assert place.sh("trap '' TERM; kill 0; kill -- -1; echo still here")[1].endswith("still here\n")


def test_timeout(place: Place) -> None:
    outcome, seen = place.sh(
        "setsid sleep 1000 & trap '' TERM INT; echo begun; while :; do sleep 1; done", timeout_s=1.5
    )
    assert outcome.timed_out
    assert outcome.exit_status == 137
    assert 1.5 <= outcome.seconds < 60
    assert seen == "begun\n"


@pytest.mark.parametrize("step", range(12))
def test_a_timeout_at_any_moment_of_the_set_up(place: Place, step: int) -> None:
    sandbox = Sandbox(HERE, lower=[place.layer("low")], upper=place.upper)
    outcome, _ = place.sh("sleep 1000", sandbox, timeout_s=step * 0.003)
    assert (outcome.timed_out, outcome.exit_status) == (True, 137)
    assert not (place.path / "upper.work").exists()


def test_cancel(place: Place) -> None:
    cancel = threading.Event()
    outcome, _ = place.sh("echo begun; setsid sleep 1000", cancel=cancel, on_line=lambda _: cancel.set())
    assert outcome.cancelled
    assert outcome.seconds < 60


def test_an_exception_in_the_caller_ends_it(place: Place) -> None:
    def refuse(line: str) -> None:
        raise ZeroDivisionError(line)

    with pytest.raises(ZeroDivisionError, match="begun"):
        place.sh("echo begun; sleep 1000", on_line=refuse)
    wait_until(lambda: not alive(), seconds=5)


def test_two_commands_do_not_get_one_upper(place: Place) -> None:
    sandbox = Sandbox(HERE, lower=[place.layer("low")], upper=place.upper)

    def intrude(_: str) -> None:
        with pytest.raises(ConfigError, match="another command is writing"):
            execute(sandbox, ["true"], log=place.path / "second.log")

    assert place.sh("echo begun; sleep 0.2", sandbox, on_line=intrude)[0].exit_status == 0


def test_many_threads_at_once(place: Place) -> None:
    low = place.layer("low", file="shared")
    outcomes: list[tuple[int, str]] = []

    def step(number: int) -> None:
        upper, log = place.path / f"up{number}", place.path / f"log{number}"
        upper.mkdir()
        sandbox = Sandbox(HERE, lower=[low], upper=upper)
        status = execute(sandbox, ["sh", "-c", f"cat file; echo {number} >mine; cat mine"], log=log).exit_status
        outcomes.append((status, log.read_text()))

    threads = [threading.Thread(target=step, args=[number]) for number in range(8)]
    with nothing_is_left(place.path):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(outcomes) == [(0, f"shared{number}\n") for number in range(8)]


@pytest.mark.parametrize(
    ("sandbox", "words"),
    [
        pytest.param(Sandbox(Path("/nonexistent")), "/nonexistent: no such directory", id="no tool root"),
        pytest.param(Sandbox(Path("/proc")), "has no mount program", id="an empty tool root"),
        pytest.param(Sandbox(HERE, binds=[Bind(Path("/nonexistent"), "/build/x")]), "no such file", id="no source"),
        pytest.param(
            Sandbox(HERE, network=Path("/nonexistent")), "could not be set up: .*nonexistent", id="no network"
        ),
        pytest.param(
            Sandbox(HERE, lower=[Path("/usr/share")], binds=[Bind(Path("/etc"), "/build/none")]),
            "could not be set up: .*none",
            id="a target that cannot be made",
        ),
    ],
)
def test_what_cannot_be_set_up_is_said(place: Place, sandbox: Sandbox, words: str) -> None:
    with nothing_is_left(place.path), pytest.raises(SurroundingsError, match=words):
        execute(sandbox, ["true"], log=place.log)


PARENT = """
    import os, sys, threading
    from pathlib import Path
    from image_builder.sandbox import Sandbox, execute
    def say(line):  # in one write: three threads say the same
        os.write(1, line.encode() + b"\\n")
    def step(number):
        up = Path(sys.argv[1]) / f"up{number}"
        up.mkdir()
        sandbox = Sandbox(Path("/"), lower=[Path(sys.argv[1]) / "low"], upper=up)
        execute(sandbox, ["sh", "-c", "setsid sleep 1000 & trap '' TERM INT HUP; echo begun; sleep 1000", sys.argv[2]],
                log=Path(sys.argv[1]) / f"log{number}", on_line=say)
    threads = [threading.Thread(target=step, args=[number]) for number in range(2)]
    [thread.start() for thread in threads]
    step(9)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_the_death_of_the_caller_ends_everything(place: Place, number: signal.Signals) -> None:
    place.layer("low")
    command = [sys.executable, "-c", textwrap.dedent(PARENT), str(place.path), MARK]
    with nothing_is_left(place.path):
        parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert parent.stdout
        try:
            assert [parent.stdout.readline() for _ in range(3)] == ["begun\n"] * 3
            parent.send_signal(number)
            parent.wait(60)
        finally:
            parent.kill()
            parent.wait()
            parent.stdout.close()
        wait_until(lambda: not alive())


def test_the_death_of_the_caller_at_any_moment_of_the_set_up(place: Place) -> None:
    place.layer("low")
    for step in range(25):
        for up in place.path.glob("up[0-9]*"):
            subprocess.run(["rm", "-rf", up], check=True)
        parent = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PARENT), str(place.path), MARK], stdout=subprocess.DEVNULL
        )
        wait_until((place.path / "up9").exists)
        time.sleep(step * 0.0015)
        parent.kill()
        parent.wait()
        wait_until(lambda: not alive())


def test_control_c_in_the_main_thread(place: Place) -> None:
    place.layer("low")
    program = PARENT.replace("range(2)", "range(0)")
    with nothing_is_left(place.path):
        parent = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(place.path), MARK],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert parent.stdout and parent.stderr
        try:
            assert parent.stdout.readline() == "begun\n"
            parent.send_signal(signal.SIGINT)
            _, errors = parent.communicate(timeout=60)
        finally:
            parent.kill()
            parent.communicate()
        assert "KeyboardInterrupt" in errors
        assert alive() == [], "all was gone before the program ended"
    assert not (place.path / "up9.work").exists()


def test_in_a_chroot_that_is_no_mount_point(place: Place) -> None:
    """As in a root made by mmdebstrap and entered by chroot: pivot_root alone refuses there."""
    new = place.path / "new"
    new.mkdir()
    # Shared, as systemd has it: what is mounted in the chroot would be seen outside. But not on this machine.
    script = """
        set -e; mount --make-rshared /; cd "$1"; shift
        for d in /*; do
            if [ -L "$d" ]; then cp -P "$d" .; elif [ -d "$d" ]; then mkdir ".$d"; mount --rbind "$d" ".$d"; fi
        done
        mkdir host; mount --bind / host
        before=$(cat /proc/self/mountinfo)
        chroot . "$@"
        [ "$before" = "$(cat /proc/self/mountinfo)" ] && echo same mounts
    """
    program = """
        import sys
        from pathlib import Path
        from image_builder.layers import Store
        from image_builder.sandbox import Sandbox, execute
        print(execute(Sandbox(Path("/host")), ["sh", "-c", "ls -d /host /.host; pwd"], log=Path(sys.argv[1])))
        Store(Path(sys.argv[1] + "-store")).probe()
    """
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", str(new)]
    command += [sys.executable, "-c", textwrap.dedent(program), str(place.log)]
    with nothing_is_left(place.path):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert "exit_status=" in done.stdout, done.stderr
    assert done.stdout.endswith("same mounts\n"), done.stderr
    assert place.log.read_text().splitlines()[-1] == "/build"


def test_a_shell_on_the_terminal(place: Place) -> None:
    """What `image-builder shell` does: script(1) gives it a terminal to type on."""
    program = """
        import sys
        from pathlib import Path
        from image_builder.sandbox import Sandbox, enter
        sys.exit(enter(Sandbox(Path("/"), upper=Path(sys.argv[1])), ["sh"]))
    """
    run = place.path / "run.py"
    run.write_text(textwrap.dedent(program))
    command = ["script", "--quiet", "--return", "--command", f"{sys.executable} {run} {place.upper}", "/dev/null"]
    with nothing_is_left(place.path):
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdin
        try:
            for keys, sign in (
                ("test -t 0 && test -t 2 && pwd >one; sleep 100\n", "one"),
                ("\x03echo $? >two\n", "two"),
            ):
                child.stdin.write(keys)
                child.stdin.flush()
                wait_until((place.upper / sign).exists)
                time.sleep(0.1)
            done, _ = child.communicate("exit 7\n", timeout=60)
        finally:
            child.kill()
            child.communicate()
    assert child.returncode == 7, done
    assert (place.upper / "one").read_text() == "/build\n"
    assert (place.upper / "two").read_text() == "130\n"


def test_start_up_cost(place: Place) -> None:
    """A step is a fifth of a second: its sandbox must not be a large part of it. A busy machine gets many tries."""
    tries = (execute(Sandbox(HERE, upper=place.upper), ["true"], log=place.log).seconds for _ in range(100))
    assert any(seconds < 0.1 for seconds in tries)
