"""A small Debian archive made on the spot: packages, indices, signed InRelease, served on the loopback interface."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import lzma
import os
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path


class Key:
    """A signing key in a GnuPG home of its own, with an agent that ends in close(), and when the tests are killed."""

    def __init__(self, name: str = "Test Archive", expires: str = "never", at: str = "") -> None:
        """at: the time GnuPG believes it is, "20200101T000000"; empty: now."""
        self._at = ["--faked-system-time", f"{at}!"] if at else []
        self.home = Path(tempfile.mkdtemp(prefix="gpg-"))  # short: the agent's socket is in it
        # The agent ends with the program it is started for, and that one with the tests, also when they are killed.
        agent = ["gpg-agent", "--homedir", self.home, "--quiet", "--daemon", "--", "sleep", "infinity"]
        self._alive = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *agent])
        self._agent = os.pidfd_open(self._pid_of_agent())
        self.keyring = self.home / "public.gpg"
        self.armoured = self.home / "public.asc"
        self._gpg("--quick-gen-key", f"{name} <test@localhost>", "ed25519", "sign", expires)
        self.keyring.write_bytes(self._gpg("--export"))
        self.armoured.write_bytes(self._gpg("--export", "--armor"))
        listed = self._gpg("--list-keys", "--with-colons").decode().splitlines()
        self.fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))

    def sign(self, text: str) -> bytes:
        return self._gpg("--clearsign", "--digest-algo", "SHA512", data=text.encode())

    def live_on(self, at: str) -> None:
        """At this time the owner prolongs the key; the keyring exported before does not know of it."""
        self._at = ["--faked-system-time", f"{at}!"]
        self._gpg("--quick-set-expire", self.fingerprint, "0")

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=True)
        select.select([self._agent], [], [], 10)  # until it has ended: it answers first
        os.close(self._agent)
        self._alive.terminate()
        self._alive.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def _pid_of_agent(self) -> int:
        ask = ["gpg-connect-agent", "--homedir", self.home, "--no-autostart", "--quiet", "getinfo pid", "/bye"]
        for _ in range(5000):
            said = subprocess.run(ask, check=False, capture_output=True, text=True).stdout
            if said.startswith("D "):
                return int(said.split()[1])
            time.sleep(0.01)  # it has not yet begun to listen
        self._alive.kill()
        raise RuntimeError("gpg-agent does not answer")

    def _gpg(self, *arguments: str, data: bytes = b"") -> bytes:
        command = [
            "gpg", "--homedir", str(self.home), "--batch", "--quiet", "--no-autostart", "--passphrase", "", *self._at,
            *arguments,
        ]  # fmt: skip
        return subprocess.run(command, input=data, check=True, capture_output=True).stdout


class LocalArchive:
    """A folder with pool/ and dists/; publish() writes what apt expects to find there."""

    def __init__(self, folder: Path, key: Key) -> None:
        self.folder, self.key = folder, key
        self._stanzas: list[str] = []

    def add(
        self, name: str, version: str = "1.0", *, architecture: str = "all", content: bytes = b"", **fields: str
    ) -> Path:
        """Make a real package. fields: of its control file, "_" for "-" (Depends="a, b", Pre_Depends="c").

        content: of a file in it, not compressed.
        """
        control = {
            "Package": name,
            "Version": version,
            "Architecture": architecture,
            "Maintainer": "Test <test@localhost>",
            "Priority": "optional",
            "Description": "made for a test",
            **{field.replace("_", "-"): value for field, value in fields.items()},
        }
        text = "".join(f"{field}: {value}\n" for field, value in control.items())
        pool = self.folder / "pool"
        pool.mkdir(parents=True, exist_ok=True)
        deb = pool / f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"
        with tempfile.TemporaryDirectory() as tree:
            (Path(tree) / "DEBIAN").mkdir(mode=0o755)
            (Path(tree) / "DEBIAN/control").write_text(text)
            Path(tree).chmod(0o755)
            if content:
                (Path(tree) / f"usr/share/{name}").mkdir(parents=True)
                (Path(tree) / f"usr/share/{name}/content").write_bytes(content)
            words = ["dpkg-deb", "--root-owner-group", *(["-Znone"] if content else []), "-b", tree, deb]
            subprocess.run(words, check=True, capture_output=True)
        data = deb.read_bytes()
        where = f"Filename: pool/{deb.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        self._stanzas.append(text + where)
        return deb

    def changed(self, name: str) -> None:
        """The package's file in the pool is another one now: say its size and hash anew."""
        for number, stanza in enumerate(self._stanzas):
            if not stanza.startswith(f"Package: {name}\n"):
                continue
            path = self.folder / stanza.partition("Filename: ")[2].partition("\n")[0]
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            head = stanza.partition("Size: ")[0]
            self._stanzas[number] = f"{head}Size: {path.stat().st_size}\nSHA256: {digest}\n"

    def remove(self, name: str, *, from_pool: bool = True) -> None:
        """The next publish() no longer has this package, in any version."""
        for stanza in [stanza for stanza in self._stanzas if stanza.startswith(f"Package: {name}\n")]:
            self._stanzas.remove(stanza)
            if from_pool:
                (self.folder / stanza.partition("\nFilename: ")[2].partition("\n")[0]).unlink(missing_ok=True)

    def prune(self, suite: str = "stable", *, keep: Sequence[str] = ()) -> None:
        """Remove from by-hash what the suite's InRelease does not name, as archives do after a day or so.

        keep: SHA-256 of files whose day is not over.
        """
        top = self.folder / "dists" / suite
        inrelease = (top / "InRelease").read_bytes()
        current = {*keep, hashlib.sha256(inrelease).hexdigest()}
        for path in top.rglob("by-hash/SHA256/*"):
            if path.name not in current and path.name.encode() not in inrelease:
                path.unlink()

    def publish(
        self,
        suite: str = "stable",
        *,
        date: datetime,
        codename: str | None = None,
        valid_for: timedelta | None = None,
        architectures: Sequence[str] = ("amd64",),
        by_hash: bool = True,
        history: bool = False,
        extra: str = "",
    ) -> Path:
        """Write the index of all packages added so far, and the InRelease of this suite; returns its path.

        history: put the InRelease into by-hash as well, and Release, as Ubuntu does; Debian does not.
        """
        top = self.folder / "dists" / suite
        index = "\n".join(self._stanzas).encode()
        lines = []
        for architecture in architectures:
            for suffix, data in (("", index), (".gz", gzip.compress(index, mtime=0)), (".xz", lzma.compress(index))):
                name = f"main/binary-{architecture}/Packages{suffix}"
                digest = hashlib.sha256(data).hexdigest()
                lines.append(f" {digest} {len(data)} {name}\n")
                target = top / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if suffix:  # as in Debian's archive: the plain one is listed and not there
                    target.write_bytes(data)
                if suffix and by_hash:
                    (target.parent / "by-hash/SHA256").mkdir(parents=True, exist_ok=True)
                    (target.parent / "by-hash/SHA256" / digest).write_bytes(data)
        fields = {
            "Origin": "Test",
            "Suite": suite,
            "Codename": suite if codename is None else codename,
            "Date": format_datetime(date).replace("+0000", "UTC"),
            **({"Valid-Until": format_datetime(date + valid_for).replace("+0000", "UTC")} if valid_for else {}),
            **({"Acquire-By-Hash": "yes"} if by_hash else {}),
            "Architectures": " ".join(architectures),
            "Components": "main",
        }
        text = "".join(f"{name}: {value}\n" for name, value in fields.items()) + extra + "SHA256:\n" + "".join(lines)
        inrelease = top / "InRelease"
        inrelease.write_bytes(self.key.sign(text))
        if history:
            (top / "by-hash/SHA256").mkdir(parents=True, exist_ok=True)
            for data in (inrelease.read_bytes(), text.encode()):
                (top / "by-hash/SHA256" / hashlib.sha256(data).hexdigest()).write_bytes(data)
        return inrelease


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address under which a folder is served for the length of the block."""
    handler = functools.partial(_Quiet, directory=os.fspath(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
