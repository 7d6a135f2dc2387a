"""Does for finished layers, while the build goes on, what none of its steps should wait for."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from image_builder.errors import CommandError
from image_builder.layers.layer import boot_id, read
from image_builder.run import run

log = logging.getLogger(__name__)

DIGESTS_S = 2.0  # what the end of a build waits for digests; 2 s are about 1 GB in small files


class Keeper:
    """A thread that writes finished layers out to the disk, then computes their digests with idle processor time.

    A layer is usable at once: kill -9 cannot take from it what the kernel has. Only a machine that goes down can;
    so one that is not marked durable is trusted for as long as this kernel runs, and not after.
    """

    def __init__(self, store: Path) -> None:
        self.store = store
        self.wake = threading.Event()
        self.closing = False
        self.digester: subprocess.Popen[bytes] | None = None
        self.thread = threading.Thread(target=self._work, name="layer-keeper", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Write out what is left, wait a little for digests still missing, and stop. A later build makes the rest."""
        self.closing = True
        self.wake.set()
        self.thread.join()
        write_out(self.store)

    def _work(self) -> None:
        while not self.closing:
            self.wake.wait()
            self.wake.clear()
            try:
                write_out(self.store)
            except (OSError, CommandError) as e:
                log.warning("layers are not written out yet: %s", e)  # close will raise it
            self._start_digester()
        if self.digester:
            try:
                self.digester.wait(DIGESTS_S)
            except subprocess.TimeoutExpired:
                self.digester.kill()
                self.digester.wait()

    def _start_digester(self) -> None:
        # A process, not this thread: at idle priority that would hold the interpreter's lock and keep the build
        # waiting. It ends with this thread. One under way looks again before it ends.
        if self.digester and self.digester.poll() is None and not self.closing:
            return
        if self.digester:
            self.digester.kill()
            self.digester.wait()
        idle = ["setpriv", "--pdeathsig", "KILL", "chrt", "--idle", "0"]
        command = [*idle, sys.executable, "-m", "image_builder.layers.digest", str(self.store)]
        null = subprocess.DEVNULL
        self.digester = subprocess.Popen(command, stdin=null, stdout=null, stderr=null, process_group=0)


def write_out(store: Path) -> int:
    """See that all finished layers are on the disk, and mark them; returns how many were not. Waits for the disk."""
    pending = [
        place
        for place in (store / "layers").iterdir()
        if not (place / "durable").exists() and read(place)[0]  # a layer of an earlier boot has no claim to the mark
    ]
    if pending:
        run(["sync", "--file-system", store], hint="the disk failed while layers were written")
        for place in pending:
            with suppress(FileNotFoundError):  # pruned meanwhile
                (place / "durable").write_text(boot_id())
    return len(pending)
