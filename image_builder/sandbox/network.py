"""Network namespaces without a way out: nothing on the host leads in, and nothing of one stays behind.

There is no link to the host, so there is no device, address or rule on the host to forget. What listens for those
inside has its sockets opened in the namespace. It is held by a descriptor of this process and by whoever runs in it:
when the last of them is gone, however it ended, the kernel takes it away.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from image_builder.errors import CommandError, SurroundingsError
from image_builder.run import run
from proxy.network.entering import OWN, unshare

# Every address is the namespace's own: a connection to any of them arrives here, or is refused here.
SET_UP = ("link set lo up", "route add local default dev lo")
SET_UP_IPV6 = "route add local ::/0 dev lo"


@contextmanager
def network_namespace() -> Iterator[Path]:
    """A new namespace for the length of the block, as a handle for Sandbox.network and nsenter(1).

    Raises SurroundingsError where namespaces are not allowed.
    """
    descriptor = _made()
    try:
        handle = Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        _ip(handle, *SET_UP)
        with suppress(SurroundingsError):  # a kernel without IPv6: then there is no way out to be refused either
            _ip(handle, SET_UP_IPV6)
        yield handle
    finally:
        os.close(descriptor)


def _made() -> int:
    """The descriptor of a namespace made by a thread that has ended, and with it its place there."""
    made: list[int] = []
    failed: list[Exception] = []

    def make() -> None:
        try:
            unshare()
            made.append(os.open(OWN, os.O_RDONLY | os.O_CLOEXEC))
        except (OSError, SurroundingsError) as e:
            failed.append(e)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def _ip(handle: Path, *lines: str) -> None:
    try:
        run(["nsenter", f"--net={handle}", "ip", "-batch", "-"], stdin="\n".join(lines) + "\n", timeout_s=30)
    except CommandError as e:
        raise SurroundingsError(e.what, where=e.where, hint="apt-get install iproute2") from e
