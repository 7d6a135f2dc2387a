"""The command line and the script that lead into a sandbox."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from image_builder.sandbox.namespaces import command_line
from image_builder.sandbox.spec import Bind, Sandbox

ROOT = Path("/nonexistent/root")
SKELETON = Path("/proc/1/fd/3")


def line(sandbox: Sandbox, *argv: str, root_is_mount: bool = True) -> list[str]:
    return command_line(sandbox, argv, SKELETON, root_is_mount=root_is_mount)


def test_the_program_sees_the_environment_given_and_no_other() -> None:
    command = line(Sandbox(ROOT, environment={"A": "b c", "PATH": "/bin"}), "lb", "chroot hooks")
    assert command[command.index("env") :] == [
        *("env", "-i", "PATH=/bin", "HOME=/root", "LC_ALL=C.UTF-8", "TZ=UTC", "A=b c", "lb", "chroot hooks")
    ]


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("host", {"nsenter": False, "--net": False}),
        ("none", {"nsenter": False, "--net": True}),
        (Path("/run/netns/build"), {"nsenter": True, "--net": False, "--net=/run/netns/build": True}),
    ],
)
def test_network(network: Path, expected: dict[str, bool]) -> None:
    command = line(Sandbox(ROOT, network=network), "true")
    assert {word: word in command for word in expected} == expected


def test_all_dies_with_the_caller() -> None:
    command = line(Sandbox(ROOT), "true")
    assert command[:3] == ["setpriv", "--pdeathsig", "KILL"]
    assert "--kill-child" in command


def test_a_chroot_that_is_no_mount_point_is_made_one_without_a_trace_outside() -> None:
    command = line(Sandbox(ROOT), "true", root_is_mount=False)
    assert command[command.index("--propagation") + 1] == "unchanged"
    assert any("--make-private /proc && mount --rbind" in word for word in command)


@pytest.mark.parametrize(
    "sandbox",
    [
        Sandbox(ROOT),
        Sandbox(ROOT, network="none", hostname="it's", work_tree="/a b"),
        Sandbox(ROOT, tmpfs=["/x;y"], binds=[Bind(Path("/etc/passwd"), "/a'b"), Bind(Path("/etc"), "/$(c)")]),
    ],
)
def test_the_script_is_a_shell_script_whatever_the_names(sandbox: Sandbox) -> None:
    command = line(sandbox, "true")
    script = command[command.index("-c") + 1]
    subprocess.run(["sh", "-n", "-c", script], check=True)


def test_the_program_may_not_change_the_machine() -> None:
    command = line(Sandbox(ROOT), "lb")
    (taken,) = (word for word in command if word.startswith("--bounding-set="))
    assert {"-sys_time", "-sys_module", "-sys_boot", "-sys_rawio", "-linux_immutable"} <= set(
        taken.split("=")[1].split(",")
    )
    assert command.index(taken) < command.index("env"), "of the program alone: the set-up needs them"
    assert "-mknod" not in taken, "a base has devices"


def test_it_joins_its_control_groups_before_anything_else_of_it_runs() -> None:
    files = [Path("/sys/fs/cgroup/a b/cgroup.procs"), Path("/sys/fs/cgroup/pids/c/cgroup.procs")]
    command = command_line(Sandbox(ROOT), ["true"], SKELETON, root_is_mount=True, join=files)
    script = next(word for word in command if "pivot_root" in word)
    assert "echo 0 >'/sys/fs/cgroup/a b/cgroup.procs'\necho 0 >/sys/fs/cgroup/pids/c/cgroup.procs" in script
    assert script.index("cgroup.procs") < script.index("mount")
