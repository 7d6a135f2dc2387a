"""Says how a command gets into namespaces of its own: the programs to start and the script of its PID 1."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from image_builder.run import BASE_ENV
from image_builder.sandbox.mounts import HOST, STAGE
from image_builder.sandbox.spec import Sandbox

# The host's mount of Debian 13 speaks the newer mount API, which takes 255 bytes for lowerdir; mount(2) takes 4095.
HOST_ENV = {**BASE_ENV, "LIBMOUNT_FORCE_MOUNT2": "always"}

# SIOCSIFFLAGS, IFF_UP. perl-base is essential in Debian, iproute2 is not.
LOOPBACK_UP = 'perl -e \'socket(S,2,2,0)&&ioctl(S,0x8914,pack("a16s@40","lo",1))or die"lo: $!\\n"\''

# What root could do to the whole machine, since no namespace has it apart: set the clock, load modules, restart, reach
# ports and memory, read the kernel's log, make files that nobody can remove from a layer.
NOT_FOR_STEPS = (
    "sys_time", "wake_alarm", "sys_module", "sys_boot", "sys_rawio", "syslog", "mac_override", "linux_immutable",
    "block_suspend",
)  # fmt: skip

# /proc is a mount in any chroot one can work in. What is mounted onto it, once it is private here, reaches no peer of
# the mount that holds the chroot, which cannot be named from within.
ROOT_TO_MOUNT = 'mount --make-private /proc && mount --rbind --make-rprivate / /proc && exec chroot /proc "$@"'


def command_line(
    sandbox: Sandbox,
    argv: Sequence[str],
    skeleton: Path,
    *,
    root_is_mount: bool,
    interactive: bool = False,
    join: Sequence[Path] = (),
) -> list[str]:
    """Return what to start on the host so that argv runs in the sandbox.

    skeleton: the archive of mounts.skeleton(), as a path that can be opened on the host. Descriptor 0 is what argv
    prints to (interactive: its terminal), 2 takes the complaints of the set-up, 1 is a socket. On it the script says
    "pid N" (PID 1 as the host sees it), "ready" when all is mounted, then waits for a line; when argv ended, "left
    STAT" for each process still there (a line of /proc/PID/stat) and "exit N".
    root_is_mount: False where the caller lives in a chroot that is no mount point, which pivot_root refuses.
    join: files by which a process gets into the sandbox's control groups.
    """
    script = ["sh", "-c", _script(sandbox, skeleton, interactive, join), "sandbox", *_program(sandbox, argv)]
    # A session of its own: else a hook's `kill 0` would hit unshare, which is in the same group but outside.
    # With a terminal, that is the session's, and who sits there can stop what runs.
    session = ["setsid", "--ctty"] if interactive else ["setsid"]
    unshare = ["--pid", "--ipc", "--uts", "--fork", "--kill-child"]
    if sandbox.network == "none":
        unshare.append("--net")
    enter = ["nsenter", f"--net={sandbox.network}"] if isinstance(sandbox.network, Path) else []
    private = private_mounts([*session, *script], root_is_mount=root_is_mount, also=unshare)
    return ["setpriv", "--pdeathsig", "KILL", *enter, *private]


def private_mounts(argv: Sequence[str], *, root_is_mount: bool, also: Sequence[str] = ()) -> list[str]:
    """Return how to run argv in a mount namespace of its own, from which no mount reaches the host.

    also: further options of unshare(1).
    """
    if root_is_mount:
        return ["unshare", "--mount", "--propagation", "private", *also, *argv]
    made_one = ["sh", "-c", ROOT_TO_MOUNT, "sandbox", *argv]
    return ["unshare", "--mount", "--propagation", "unchanged", *also, *made_one]


def root_is_mount() -> bool:
    """Say whether / is a mount point; it is not in a chroot to a plain directory."""
    return any(line.split(" ", 5)[4] == "/" for line in Path("/proc/self/mountinfo").read_text().splitlines())


def _program(sandbox: Sandbox, argv: Sequence[str]) -> list[str]:
    environment = {**BASE_ENV, **sandbox.environment}
    fewer = ["setpriv", f"--bounding-set={','.join(f'-{name}' for name in NOT_FOR_STEPS)}"]
    return [*fewer, "env", "-i", *(f"{name}={value}" for name, value in environment.items()), *argv]


def _script(sandbox: Sandbox, skeleton: Path, interactive: bool, join: Sequence[Path] = ()) -> str:
    directories = [*sandbox.tmpfs, *(b.target for b in sandbox.binds if not b.source.is_file())]
    files = [b.target for b in sandbox.binds if b.source.is_file()]
    lines = [
        "set -eu; umask 022",
        # Of the host's /proc still, so this is the number the host knows us by.
        'read -r pid rest </proc/self/stat; echo "pid $pid"',
        *(f"echo 0 >{shlex.quote(str(file))}" for file in join),  # 0: who writes
        f"echo {shlex.quote(sandbox.hostname)} >/proc/sys/kernel/hostname",
        "echo '(none)' >/proc/sys/kernel/domainname",
        "echo 300 >/proc/self/oom_score_adj",  # better a hook than the pipeline
        f"exec 3<{skeleton}",
    ]
    if sandbox.network == "none":
        lines.append(LOOPBACK_UP)
    lines += [
        f"mount -t tmpfs -o mode=0755 tmpfs {STAGE}; cd {STAGE}; tar -xf - <&3",
        "mount -a -T before >&2",
        f"exec 3<after; pivot_root r r/{HOST}; cd /",
    ]
    if directories:
        lines.append(shlex.join(["mkdir", "-p", "--", *directories]))
    for path in files:
        quoted = shlex.quote(path)
        lines.append(f"[ -e {quoted} ] || {{ mkdir -p -- {shlex.quote(str(Path(path).parent))}; : >{quoted}; }}")
    if directories or files:
        lines.append("mount -a -T /proc/self/fd/3 >&2")
    lines += [
        f"exec 3<&-; umount -l /{HOST}; rmdir /{HOST}; cd {shlex.quote(sandbox.work_tree)}",
        "echo ready; read -r go <&1",
        "set +e",
        '"$@" >&0 2>&0' + ("" if interactive else " </dev/null"),
        "status=$?",
        # One that is just ending is not left running: look again before saying so.
        "set -- /proc/[0-9]*/stat; [ $# -lt 2 ] || sleep 0.05",
        'for p in /proc/[0-9]*/stat; do read -r stat <"$p" && echo "left $stat"; done',
        'echo "exit $status"',
    ]
    return "\n".join(lines)
