"""One started sandbox: listened to while it runs, killed as a whole, and seen to its end."""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from image_builder.errors import SurroundingsError
from image_builder.sandbox.spec import Outcome, Sandbox
from image_builder.sandbox.terminal import read

POLL_S = 0.1  # how late a cancel is seen; a threading.Event cannot wake a selector
KILLED = 128 + signal.SIGKILL


@dataclass
class Running:
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
    killed: bool = False
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
        watch: Callable[[], str] | None = None,
        keys: tuple[int, Callable[[bytes], None]] | None = None,
    ) -> Outcome:
        """Take in what it prints until it has ended.

        deadline: on the clock of time.monotonic(). watch: asked again and again why it has to end; "": it has not.
        """
        timed_out = cancelled = False
        stopped = ""
        readers: dict[int, Callable[[bytes], None]] = {self.control.fileno(): self._control, self.output: hear}
        with selectors.DefaultSelector() as selector:
            for descriptor in readers:
                selector.register(descriptor, selectors.EVENT_READ)
            if keys:
                readers[keys[0]] = keys[1]
                selector.register(keys[0], selectors.EVENT_READ)
            while selector.get_map().keys() & {self.control.fileno(), self.output}:
                now = time.monotonic()
                if not (timed_out or cancelled or stopped):
                    timed_out = deadline is not None and now >= deadline
                    cancelled = cancel is not None and cancel.is_set()
                    stopped = watch() if watch else ""
                    if timed_out or cancelled or stopped:
                        self.kill()
                wait = POLL_S if cancel or watch else None
                if deadline is not None and not timed_out:
                    wait = max(0.0, min(wait or deadline - now, deadline - now))
                for key, _ in selector.select(wait):
                    data = read(key.fd)
                    if data:
                        readers[key.fd](data)
                    else:
                        selector.unregister(key.fd)
        self.reap()
        if not self.ready and not (timed_out or cancelled or stopped):
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
            out_of_memory=exit_status != 0 and not (timed_out or cancelled) and oom_kills() > self.oom_kills,
            stopped=stopped,
        )

    def _control(self, data: bytes) -> None:
        *lines, self.said = (self.said + data).split(b"\n")
        for line in lines:
            self._heard(line.decode(errors="replace"))

    def _heard(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "pid":
            with suppress(ProcessLookupError):  # dead already: its complaint says why
                self.init = os.pidfd_open(int(rest))
            if self.killed:  # unshare, before it could tell the kernel that PID 1 is to die with it
                self.kill()
        elif word == "ready":
            self.ready = True
            # Only now: PID 1 has been told by the kernel to die with unshare, and unshare to die with us. Had we
            # died before that, the script would read the end of this socket here, and end too.
            with suppress(BrokenPipeError, ConnectionResetError):  # killed meanwhile
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
        self.killed = True
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
            with suppress(OSError):  # not connected any more
                self.control.shutdown(socket.SHUT_WR)
            if self.init is None:
                # Killed while being set up: nothing there has left its parent yet, so the last one closes the socket.
                while read(self.control.fileno()):
                    pass
            self.reap()
        if self.init is not None:
            os.close(self.init)
            self.init = None


def oom_kills() -> int:
    match = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
    return int(match[1]) if match else 0
