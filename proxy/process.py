"""A proxy as a process of its own: started, watched, ended, and never left behind."""

from __future__ import annotations

import json
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from image_builder.errors import SurroundingsError
from proxy import environment, upstream
from proxy.archive.frozen import FrozenSet
from proxy.journal import Counters, Reader

log = logging.getLogger(__name__)

READY_S = 60.0
END_S = 12.0  # for what came to get onto the disk


def start(
    frozen: Path,
    store: Path,
    folder: Path,
    *,
    listen: Sequence[str] = ("127.0.0.1:0",),
    python: Path | None = None,
    offline: bool = False,
    in_namespace: Path | None = None,
    group: int | None = None,
) -> Running:
    """Start a proxy for one frozen set and wait until it answers.

    frozen: from proxy.archive.assemble. store: the content store's folder. folder: of this run; gets requests.log,
    proxy.log and ca.pem. listen: "host:port", port 0 for any. python: one that has mitmproxy; None: the environment
    made for it. in_namespace: file of the network namespace to listen in. group: what it runs as, by which a rule may
    tell its connections from others. Raises SurroundingsError.
    """
    python = python or environment.ensure()
    folder.mkdir(parents=True, exist_ok=True)
    secret = folder / "mitmproxy"
    shutil.rmtree(secret, ignore_errors=True)
    secret.mkdir(mode=0o700)
    journal, said = folder / "requests.log", folder / "proxy.log"
    settings = {
        "frozen": str(frozen.resolve()), "store": str(store.resolve()), "listen": list(listen), "python": str(python),
        "offline": offline, "namespace": str(in_namespace) if in_namespace else None, "journal": str(journal.resolve()),
        "mitmproxy_folder": str(secret.resolve()), "upstream": _upstream(), "lifeline": True,
    }  # fmt: skip
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    with said.open("ab") as errors:
        # A group of its own: Ctrl-C ends the build, which ends the proxy when nobody needs it any more.
        child = subprocess.Popen(
            [sys.executable, "-m", "proxy.serving.main"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environ, process_group=0,
            group=group,
        )  # fmt: skip
    try:
        assert child.stdin is not None
        with suppress(BrokenPipeError):  # _ready() says why
            child.stdin.write(json.dumps(settings).encode() + b"\n")
            child.stdin.flush()
        ready = _ready(child, said)
        ca = folder / "ca.pem"
        ca.write_text(ready["ca"])
        ca.chmod(0o644)
    except BaseException:
        _end(child)
        shutil.rmtree(secret, ignore_errors=True)
        raise
    stamp = _stamp(frozen, store)
    return Running(child, folder, stamp, [(host, port) for host, port in ready["addresses"]], ready["mitmproxy"])


class Running:
    """A proxy that is there. It ends with stop(), or when this process is gone, however that ended."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        folder: Path,
        stamp: str,
        addresses: list[tuple[str, int]],
        mitmproxy: str,
    ) -> None:
        self.stamp, self.addresses, self.mitmproxy = stamp, addresses, mitmproxy
        self.ca, self.journal, self.log = folder / "ca.pem", folder / "requests.log", folder / "proxy.log"
        self.died = threading.Event()  # it ended, and nobody had asked it to
        self._child, self._folder, self._stopping = child, folder, False
        self._reader = Reader(self.journal)
        self._lock = threading.Lock()
        self._began = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def port(self) -> int:
        return self.addresses[0][1]

    @property
    def pid(self) -> int:
        return self._child.pid

    def check(self) -> None:
        """Raises SurroundingsError if it is not there any more."""
        if self._child.poll() is not None and not self._stopping:
            raise SurroundingsError(
                f"the snapshot proxy ended ({_status(self._child.returncode)}); nothing unpinned got in: without it"
                f" the build has no network{_tail(self.log)}",
                where=self.log,
                hint="run the same again: finished steps are kept",
            )

    def counters(self) -> Counters:
        """What it did up to now."""
        with self._lock:
            return self._reader.read()

    def summary(self) -> dict[str, Any]:
        """For the build record. Right also for a proxy that was killed: it is made from the journal."""
        return {**self.counters().summary(self.stamp), "mitmproxy": self.mitmproxy}

    def stop(self) -> dict[str, Any]:
        """End it, and say what it did. A second call does no harm."""
        self._stopping = True
        _end(self._child)
        shutil.rmtree(self._folder / "mitmproxy", ignore_errors=True)
        return self.summary()

    def _watch(self) -> None:
        self._child.wait()
        if not self._stopping:
            self.died.set()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _ready(child: subprocess.Popen[bytes], said: Path) -> dict[str, Any]:
    assert child.stdout is not None
    until, data = time.monotonic() + READY_S, b""
    while not data.endswith(b"\n"):
        left = until - time.monotonic()
        if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
            raise SurroundingsError(f"not ready after {READY_S:.0f} s{_tail(said)}", where="snapshot proxy")
        if not (more := os.read(child.stdout.fileno(), 1 << 16)):
            raise SurroundingsError(f"did not start ({_status(child.wait())}){_tail(said)}", where="snapshot proxy")
        data += more
    found: dict[str, Any] = json.loads(data)
    if said_no := found.get("error"):
        child.wait()
        raise SurroundingsError(said_no["what"], where=said_no["where"], hint=said_no["hint"])
    return found


def _upstream() -> dict[str, Any]:
    """How this process reaches archives, for that one. May hold a password: goes to it by a pipe, not by arguments."""
    found = asdict(upstream.settings())
    files = found["auth_files"]
    return {**found, "auth_files": None if files is None else [str(path) for path in files]}


def _stamp(frozen: Path, store: Path) -> str:
    opened = FrozenSet(frozen, store.parent)
    try:
        return opened.stamp
    finally:
        opened.close()


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()


def _status(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"


def _tail(path: Path) -> str:
    try:
        text = path.read_bytes()[-1500:].decode("utf-8", "replace").strip()
    except OSError:
        return ""
    return f":\n{text}" if text else ""
