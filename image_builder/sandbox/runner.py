"""Starts a command in its sandbox, listens to it, and sees to it that nothing of it is left."""

from __future__ import annotations

import fcntl
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from image_builder.errors import ConfigError, SurroundingsError
from image_builder.sandbox.mounts import skeleton
from image_builder.sandbox.namespaces import HOST_ENV, command_line, root_is_mount
from image_builder.sandbox.spec import Outcome, Sandbox
from image_builder.sandbox.terminal import Terminal, read, terminal, write_all

POLL_S = 0.1  # how late a cancel is seen; a threading.Event cannot wake a selector
KILLED = 128 + signal.SIGKILL


def execute(
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    log: Path,
    timeout_s: float | None = None,
    cancel: threading.Event | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Outcome:
    """Run argv as root in the sandbox, in its work tree; return when every process and mount of it is gone.

    Output and errors are appended to log as they come, and given to on_line line by line. Standard input is
    empty. After timeout_s seconds, or when cancel is set, everything is killed and the outcome says so; the
    same happens when an exception (Ctrl-C) interrupts the call, and when the calling process or thread dies.
    Raises SurroundingsError when the sandbox cannot be set up, ConfigError when two commands want one upper.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as log_file, _upper_for_one(sandbox), _started(sandbox, argv) as running:
        deadline = None if timeout_s is None else running.started + timeout_s
        output = _Output(log_file, on_line)
        outcome = running.listen(output.take, deadline=deadline, cancel=cancel)
        output.end()
        return outcome


def enter(sandbox: Sandbox, argv: Sequence[str]) -> int:
    """Run argv in the sandbox on the caller's terminal, as a shell wants it; return its exit status."""
    with terminal() as screen, _upper_for_one(sandbox), _started(sandbox, argv, screen) as running:

        def typed(data: bytes) -> None:
            write_all(screen.ours, data)

        def shown(data: bytes) -> None:
            write_all(sys.stdout.fileno(), data)

        return running.listen(shown, keys=(screen.keys, typed)).exit_status


class _Output:
    """What the command prints: into the log at once, to the listener by lines."""

    def __init__(self, log: IO[bytes], on_line: Callable[[str], None] | None) -> None:
        self.log, self.on_line, self.rest = log, on_line, b""

    def take(self, data: bytes) -> None:
        try:
            self.log.write(data)
        except OSError as e:
            raise SurroundingsError(f"cannot write: {e.strerror}", where=self.log.name) from e
        if self.on_line:
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                self.on_line(line.decode(errors="replace").rstrip("\r"))

    def end(self) -> None:
        if self.on_line and self.rest:
            self.on_line(self.rest.decode(errors="replace"))


@dataclass
class _Running:
    """One started sandbox. Its PID 1 takes everything with it; unshare, our child, ends when all of that is gone."""

    sandbox: Sandbox
    child: subprocess.Popen[bytes]
    control: socket.socket
    output: int  # our end of the pipe, or terminal, that is the command's stdout and stderr
    started: float
    complaints: IO[bytes]  # of the programs that set it up
    oom_kills: int  # the kernel's counter when it started
    init: int | None = None  # pidfd of PID 1
    ready: bool = False
    exit_status: int | None = None
    left: list[str] = field(default_factory=list)
    usage_bytes: int | None = None
    said: bytes = b""  # on the control socket, the beginning of a line

    def listen(
        self,
        hear: Callable[[bytes], None],
        *,
        deadline: float | None = None,
        cancel: threading.Event | None = None,
        keys: tuple[int, Callable[[bytes], None]] | None = None,
    ) -> Outcome:
        """Take in what it prints until it has ended. deadline: on the clock of time.monotonic()."""
        timed_out = cancelled = False
        readers: dict[int, Callable[[bytes], None]] = {self.control.fileno(): self._control, self.output: hear}
        with selectors.DefaultSelector() as selector:
            for descriptor in readers:
                selector.register(descriptor, selectors.EVENT_READ)
            if keys:
                readers[keys[0]] = keys[1]
                selector.register(keys[0], selectors.EVENT_READ)
            while selector.get_map().keys() & {self.control.fileno(), self.output}:
                now = time.monotonic()
                if self.init is not None and not (timed_out or cancelled):
                    timed_out = deadline is not None and now >= deadline
                    cancelled = cancel is not None and cancel.is_set()
                    if timed_out or cancelled:
                        self.kill()
                wait = POLL_S if cancel else None
                if deadline is not None and not timed_out:
                    wait = max(0.0, min(wait or deadline - now, deadline - now))
                for key, _ in selector.select(wait):
                    data = read(key.fd)
                    if data:
                        readers[key.fd](data)
                    else:
                        selector.unregister(key.fd)
        self.reap()
        if not self.ready and not (timed_out or cancelled):
            self.complaints.seek(0)
            what = self.complaints.read().decode(errors="replace").strip() or "it ended before it was set up"
            raise SurroundingsError(f"the sandbox could not be set up: {what}", where=self.sandbox.root)
        exit_status = KILLED if self.exit_status is None else self.exit_status
        return Outcome(
            exit_status=exit_status,
            seconds=time.monotonic() - self.started,
            timed_out=timed_out,
            cancelled=cancelled,
            max_rss_bytes=self.usage_bytes,
            left_running=tuple(self.left),
            out_of_memory=exit_status != 0 and not (timed_out or cancelled) and _oom_kills() > self.oom_kills,
        )

    def _control(self, data: bytes) -> None:
        *lines, self.said = (self.said + data).split(b"\n")
        for line in lines:
            self._heard(line.decode(errors="replace"))

    def _heard(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "pid":
            self.init = os.pidfd_open(int(rest))
        elif word == "ready":
            self.ready = True
            # Only now: PID 1 has been told by the kernel to die with unshare, and unshare to die with us. Had we
            # died before that, the script would read the end of this socket here, and end too.
            self.control.send(b"go\n")
        elif word == "left":
            # "17 (name) S …"; 1 is the script, Z is dead already.
            match = re.match(r"(\d+) \((.*)\) (\S)", rest)
            if match and match[1] != "1" and match[3] not in "ZX":
                self.left.append(match[2])
        elif word == "exit":
            self.exit_status = int(rest)

    def kill(self) -> None:
        """Kill every process of it."""
        with suppress(ProcessLookupError):
            if self.init is not None:
                # Not unshare: that one is to tell us, by ending, that the last process is gone.
                signal.pidfd_send_signal(self.init, signal.SIGKILL)
            else:
                self.child.kill()

    def reap(self) -> None:
        """Wait until it is gone."""
        if self.child.returncode is None:
            _, status, usage = os.wait4(self.child.pid, 0)
            self.child.returncode = os.waitstatus_to_exitcode(status)
            self.usage_bytes = usage.ru_maxrss * 1024

    def end(self) -> None:
        """Leave nothing, however far it came."""
        if self.child.returncode is None:
            self.kill()
            self.control.shutdown(socket.SHUT_WR)
            if self.init is None:
                # Killed while being set up: nothing there has left its parent yet, so the last one closes the socket.
                while self.control.recv(4096):
                    pass
            self.reap()
        if self.init is not None:
            os.close(self.init)
            self.init = None


@contextmanager
def _started(sandbox: Sandbox, argv: Sequence[str], screen: Terminal | None = None) -> Iterator[_Running]:
    _check_surroundings(sandbox)
    with ExitStack() as stack:
        if work := sandbox.work_directory:
            # overlayfs refuses a work directory that a volatile mount has used before.
            stack.callback(shutil.rmtree, work, ignore_errors=True)
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
        image, complaints = (
            stack.enter_context(os.fdopen(os.memfd_create(name), "r+b", buffering=0))
            for name in ("skeleton", "complaints")
        )
        image.write(skeleton(sandbox, _files(sandbox)))
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        if screen:
            output, write_end = screen.ours, screen.theirs
        else:
            output, other = os.pipe()
            stack.callback(os.close, output)
            write_end = os.fdopen(other, "wb", buffering=0)
        command = command_line(
            sandbox,
            argv,
            Path(f"/proc/{os.getpid()}/fd/{image.fileno()}"),
            root_is_mount=root_is_mount(),
            interactive=screen is not None,
        )
        started = time.monotonic()
        try:
            child = subprocess.Popen(
                command,
                env=HOST_ENV,
                stdin=write_end,
                stdout=theirs.fileno(),
                stderr=complaints.fileno(),
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        except OSError as e:
            raise SurroundingsError(str(e), where="the sandbox", hint="apt-get install util-linux mount") from e
        finally:
            write_end.close()
        theirs.close()
        running = _Running(sandbox, child, ours, output, started, complaints, _oom_kills())
        stack.callback(running.end)
        yield running


@contextmanager
def _upper_for_one(sandbox: Sandbox) -> Iterator[None]:
    """Hold the upper for one mount: the kernel does not refuse a second one, it lets both damage it."""
    if sandbox.upper is None:
        yield
        return
    descriptor = os.open(sandbox.upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError("another command is writing to this layer", where=sandbox.upper) from None
    try:
        yield
    finally:
        # Said, not left to close: a child that another thread is just starting has a copy until it calls exec.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _check_surroundings(sandbox: Sandbox) -> None:
    if os.geteuid() != 0:
        raise SurroundingsError("namespaces and mounts need root", where="the sandbox", hint="run it with sudo")
    if Path("/proc/self").readlink().name != str(os.getpid()):
        # The script reads its number there; a wrong one would have us kill a stranger.
        raise SurroundingsError("shows another PID namespace than ours", where="/proc", hint="mount -t proc proc /proc")
    for path in (sandbox.root, *sandbox.lower, *([sandbox.upper] if sandbox.upper else [])):
        if not path.is_dir():
            raise SurroundingsError("no such directory", where=path)
    if not (sandbox.root / "usr/bin/mount").exists():
        raise SurroundingsError("has no mount program", where=sandbox.root, hint="include the package 'mount' in it")
    for bind in sandbox.binds:
        if not bind.source.exists():
            raise SurroundingsError("no such file or directory", where=bind.source)


def _files(sandbox: Sandbox) -> dict[str, bytes]:
    """What the tool root's /etc needs of the host, as regular files: there it may be a dangling symlink."""
    files = {
        "etc/hosts": f"127.0.0.1 localhost {sandbox.hostname}\n::1 localhost\n".encode(),
        "etc/hostname": f"{sandbox.hostname}\n".encode(),
        "etc/resolv.conf": b"",
    }
    if sandbox.network != "none":
        for path in ("etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt"):
            with suppress(OSError):
                files[path] = Path("/", path).read_bytes()
    return files


def _oom_kills() -> int:
    match = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    return int(match[1]) if match else 0
