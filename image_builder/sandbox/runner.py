"""Starts a command in its sandbox, listens to it, and sees to it that nothing of it is left."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from image_builder.errors import ConfigError, SurroundingsError
from image_builder.sandbox import limits, surroundings
from image_builder.sandbox.mounts import skeleton
from image_builder.sandbox.namespaces import HOST_ENV, command_line, root_is_mount
from image_builder.sandbox.running import Running, oom_kills
from image_builder.sandbox.spec import Outcome, Sandbox
from image_builder.sandbox.terminal import Terminal, terminal, write_all


def execute(
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    log: Path,
    timeout_s: float | None = None,
    cancel: threading.Event | None = None,
    on_line: Callable[[str], None] | None = None,
    watch: Callable[[], str] | None = None,
) -> Outcome:
    """Run argv as root in the sandbox, in its work tree; return when every process and mount of it is gone.

    Output and errors are appended to log as they come, and given to on_line line by line. Standard input is
    empty. After timeout_s seconds, or when cancel is set, everything is killed and the outcome says so; the
    same happens when an exception (Ctrl-C) interrupts the call, and when the calling process or thread dies.
    watch is asked several times a second whether to go on: what it says, if anything, is why all was ended.
    Raises SurroundingsError when the sandbox cannot be set up, ConfigError when two commands want one upper.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as log_file, _upper_for_one(sandbox), _started(sandbox, argv) as running:
        deadline = None if timeout_s is None else running.started + timeout_s
        output = _Output(log_file, on_line)
        outcome = running.listen(output.take, deadline=deadline, cancel=cancel, watch=watch)
        output.end()
        return outcome


def enter(sandbox: Sandbox, argv: Sequence[str]) -> int:
    """Run argv in the sandbox on the caller's terminal, as a shell wants it; return its exit status."""
    with terminal() as screen, _upper_for_one(sandbox), _started(sandbox, argv, screen) as running:

        def typed(data: bytes) -> None:
            with suppress(OSError):  # nobody is left to read it
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


@contextmanager
def _started(sandbox: Sandbox, argv: Sequence[str], screen: Terminal | None = None) -> Iterator[Running]:
    surroundings.check(sandbox)
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
        covered = () if sandbox.nests else surroundings.of_the_machine()
        image.write(skeleton(sandbox, surroundings.files(sandbox), covered))
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        if screen:
            output, write_end = screen.ours, screen.theirs
        else:
            output, other = os.pipe()
            stack.callback(os.close, output)
            write_end = os.fdopen(other, "wb", buffering=0)
        join = stack.enter_context(limits.group(sandbox.memory_bytes, sandbox.processes))
        command = command_line(
            sandbox,
            argv,
            Path(f"/proc/{os.getpid()}/fd/{image.fileno()}"),
            root_is_mount=root_is_mount(),
            interactive=screen is not None,
            join=join,
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
        running = Running(sandbox, child, ours, output, started, complaints, oom_kills())
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
