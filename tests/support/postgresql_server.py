"""A PostgreSQL server for tests: Debian's own programs, a folder of its own, a socket and no port."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import quote

from image_builder.scratch import scratch

PROGRAMS = Path("/usr/lib/postgresql")  # Debian keeps them by version, outside PATH
PLACE = Path(f"/tmp/image-builder-postgresql-{os.geteuid()}")  # the path of a socket has 107 bytes at most
USER = "postgres"  # of Debian's package; the server refuses to run as root


class Server:
    """A running server."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._number = 0
        self._server: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """A server in a new folder; both are gone after the block."""
        found = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
        assert found, "these tests need Debian's package postgresql"
        with scratch(PLACE) as folder:
            server = cls(found[-1].parent, folder)
            if os.geteuid() == 0:
                shutil.chown(folder, USER)
            data = folder / "data"
            server._run("initdb", "-D", data, "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
            try:
                server.start()
                yield server
            finally:
                server.stop()

    def new_database(self) -> str:
        """Make what serves as an empty database, and return its address: a schema, since a database takes a second."""
        self._number += 1
        name = f"test{self._number}"
        self._run("psql", "-q", "-h", self._folder, "-U", USER, "-c", f"CREATE SCHEMA {name}")
        return f"postgresql://{USER}@/{USER}?host={quote(str(self._folder), safe='')}&options=-csearch_path%3D{name}"

    def start(self) -> None:
        """Start it with the data it has. It ends with this process, however that ends."""
        options = ["-k", self._folder, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50"]
        command = self._command("postgres", "-D", self._folder / "data", *options)
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")
        for _ in range(600):
            if subprocess.run(self._command("pg_isready", "-q", "-h", self._folder), check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError((self._folder / "log").read_text())

    def stop(self) -> None:
        """End it as a power failure would."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(timeout=60)
            self._server = None

    def _run(self, name: str, *arguments: str | Path) -> None:
        command = self._command(name, *arguments)
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", timeout=60)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"

    def _command(self, name: str, *arguments: str | Path) -> list[str | Path]:
        as_user = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", "--pdeathsig", "QUIT", *as_user, self._programs / name, *arguments]
