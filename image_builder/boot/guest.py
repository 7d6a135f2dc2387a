"""A running QEMU: started so that it cannot outlive us, watched on all its channels at once."""

from __future__ import annotations

import json
import logging
import os
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from image_builder.boot import qemu
from image_builder.errors import SurroundingsError
from image_builder.run import BASE_ENV

log = logging.getLogger(__name__)

SCREEN_PORT = (0x2F8).to_bytes(2, "little")

STOPPED = {
    "internal-error": "KVM internal error: this machine's KVM cannot run the guest",
    "shutdown": "the guest switched itself off",
    "paused": "the guest is stopped (paused)",
    "io-error": "the guest is stopped: reading or writing its disk failed",
    "guest-panicked": "kernel panic, told by the guest to QEMU",
}

SHUTDOWN = {
    "guest-shutdown": "the guest switched itself off",
    "guest-reset": "the guest reset itself (a reboot, or a triple fault)",
    "guest-panic": "kernel panic, told by the guest to QEMU",
}


class Guest:
    """One QEMU. end is None while it runs as it should, else why it does not, in words."""

    def __init__(self, process: subprocess.Popen[bytes], qmp: socket.socket, screen: socket.socket | None) -> None:
        self.process, self.qmp = process, qmp
        self.end: str | None = None
        self.errors = ""  # QEMU's own stderr
        self._replies = b""
        self._selector = selectors.PollSelector()  # epoll refuses plain files and /dev/null as stdin
        assert process.stdout is not None and process.stderr is not None
        self.watch(process.stdout.fileno(), "serial")
        self.watch(process.stderr.fileno(), "stderr")
        self.watch(qmp.fileno(), "qmp")
        if screen is not None:
            self.watch(screen.fileno(), "screen")
        self._command("qmp_capabilities")

    def watch(self, fd: int, channel: str) -> None:
        """Have wait() report what arrives at one more descriptor."""
        self._selector.register(fd, selectors.EVENT_READ, channel)

    def close(self) -> None:
        """Stop watching; the process is its starter's to end."""
        self._selector.close()

    def send(self, data: bytes) -> None:
        """Type on the serial console. A guest that is gone is not an error here: wait() tells."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def wait(self, timeout_s: float) -> list[tuple[str, bytes]]:
        """Return what came within the time, as (channel, bytes); the channels serial, screen and own ones.

        A watched channel of the caller that has ended gives empty bytes once. Sets end when the guest has
        stopped or QEMU is gone.
        """
        arrived: list[tuple[str, bytes]] = []
        ready = self._selector.select(max(timeout_s, 0))
        for key, _ in ready:
            try:
                data = os.read(key.fd, 65536)
            except OSError:  # a socket whose other side was killed; a terminal that hung up
                data = b""
            if not data:
                self._selector.unregister(key.fd)
            if key.data == "qmp":
                self._listen(data)
            elif key.data == "stderr":
                self._complain(data)
            elif data or key.data != "serial":
                arrived.append((key.data, data))
        channels = {key.data for key in self._selector.get_map().values()}
        if not channels & {"serial", "qmp", "stderr"}:
            status = self.process.wait()
            said = " ".join(self.errors.split())[-500:] or "no message"
            self.end = self.end or f"QEMU ended with status {status}: {said}"
        return arrived

    def _complain(self, data: bytes) -> None:
        for line in data.decode(errors="replace").splitlines(keepends=True):
            if "fw_cfg item names should be prefixed" not in line:  # the screen's port has SeaBIOS's name, not ours
                log.debug("qemu: %s", line.rstrip())
                self.errors += line
        if "KVM internal error" in self.errors:
            self.end = self.end or STOPPED["internal-error"]

    def _command(self, name: str) -> None:
        with suppress(OSError):
            self.qmp.sendall(json.dumps({"execute": name}).encode() + b"\n")

    def _listen(self, data: bytes) -> None:
        *lines, self._replies = (self._replies + data).split(b"\n")
        for line in filter(None, lines):
            message: dict[str, Any] = json.loads(line)
            if message.get("event") == "STOP":
                self._command("query-status")  # the event does not say why
            elif message.get("event") == "SHUTDOWN":
                reason = message.get("data", {}).get("reason", "unknown")
                self.end = self.end or SHUTDOWN.get(reason, f"QEMU was ended ({reason})")
            status = message.get("return", {}).get("status")
            if status is not None and status != "running":
                self.end = self.end or STOPPED.get(status, f"the guest is stopped ({status})")


@contextmanager
def started(program: str, argv: Sequence[str], *, files: Sequence[int] = (), screen: bool = False) -> Iterator[Guest]:
    """Start QEMU, and end it with the block or with this process, also when that is killed.

    files: descriptors QEMU inherits under the same numbers. screen: follow SeaBIOS's text screen too.
    Nothing has a name in the file system, so there is nothing to tidy up after a kill. Keep to the thread
    that entered: the kernel takes its end for the parent's.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise SurroundingsError("the program is missing", where="setpriv", hint="apt-get install util-linux")
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        passed = [theirs.fileno(), *files]
        screen_ours, screen_option = None, None
        if screen:
            screen_ours, screen_theirs = (stack.enter_context(end) for end in socket.socketpair())
            port = stack.enter_context(tempfile.TemporaryFile())
            port.write(SCREEN_PORT)
            port.flush()
            passed += [screen_theirs.fileno(), port.fileno()]
            screen_option = (screen_theirs.fileno(), f"/proc/self/fd/{port.fileno()}")
        command = [setpriv, "--pdeathsig", "KILL", program, *argv, *qemu.consoles(theirs.fileno(), screen_option)]
        log.debug("+ %s", shlex.join(command))
        process = stack.enter_context(
            subprocess.Popen(
                command,
                env=BASE_ENV,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=passed,
                process_group=0,  # Ctrl-C on our terminal is ours to handle
            )
        )
        stack.callback(_kill, process)
        theirs.close()
        if screen:
            screen_theirs.close()
        guest = Guest(process, ours, screen_ours)
        stack.callback(guest.close)
        yield guest


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Images and variables are copies: there is nothing QEMU would have to write at its end.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # closing flushes what the guest never took
        process.stdin.close()
