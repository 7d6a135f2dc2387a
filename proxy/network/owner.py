"""Where namespaces are not allowed: the whole machine's port 80 leads to the proxy, for as long as its owner lives."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from image_builder.errors import SurroundingsError
from image_builder.run import BASE_ENV
from proxy.network.gate import NFT_HINT, nft
from proxy.network.rules import Ports, for_owner

PORT = 8080  # as livecd-rootfs has it
GROUP = 65530  # a number Debian gives to nobody; the proxy runs in it
TABLE = f"snapshot_proxy_{PORT}"
LOCK = Path(f"/run/snapshot-proxy-{PORT}.lock")

# It outlives us by a moment: when we are gone, however, its standard input ends.
GUARD = f"read -r _; exec nft delete table inet {TABLE}"


@contextmanager
def claimed() -> Iterator[None]:
    """The right to redirect on this machine; what a killed owner left is removed first.

    Raises SurroundingsError when another build has it.
    """
    with _locked():
        remove()
        yield


@contextmanager
def redirected(ports: Ports) -> Iterator[None]:
    """Everybody's connections to these ports of others go to the proxy on PORT, but for those of GROUP.

    Within claimed(). The rules are gone when the block ends, or this process. Raises SurroundingsError.
    """
    with _guard() as guard:
        nft("-f", "-", stdin=for_owner(TABLE, proxy_port=PORT, group=GROUP, ports=ports))
        try:
            yield
        finally:
            assert guard.stdin is not None
            guard.stdin.close()
            guard.wait()
            remove()


def allowed() -> bool:
    """Can rules be made here at all?"""
    try:
        nft("--check", "-f", "-", stdin=for_owner(TABLE, proxy_port=PORT, group=GROUP, ports=Ports()))
    except SurroundingsError:
        return False
    return True


def remove() -> None:
    """Remove the rules, if there are any."""
    with suppress(SurroundingsError):  # there are none, which is what is wanted
        nft("delete", "table", "inet", TABLE)


@contextmanager
def _guard() -> Iterator[subprocess.Popen[bytes]]:
    try:
        guard = subprocess.Popen(
            ["sh", "-c", GUARD], env=BASE_ENV, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except OSError as e:
        raise SurroundingsError(str(e), where="sh", hint=NFT_HINT) from e
    with guard:
        yield guard


@contextmanager
def _locked() -> Iterator[None]:
    try:
        descriptor = os.open(LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise SurroundingsError(e.strerror or str(e), where=LOCK) from e
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise SurroundingsError(
                "another build redirects this machine's port 80", where=LOCK, hint="wait until it has ended"
            ) from e
        yield
        LOCK.unlink(missing_ok=True)  # it holds nothing
    finally:
        os.close(descriptor)
