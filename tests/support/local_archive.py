"""A small Debian archive made on the spot: packages, indices, signed InRelease, served on the loopback interface."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import lzma
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path


class Key:
    """A signing key in a GnuPG home of its own; close() ends the agent that GnuPG starts."""

    def __init__(self, name: str = "Test Archive", expires: str = "never", at: str = "") -> None:
        """at: the time GnuPG believes it is, "20200101T000000"; empty: now."""
        self._at = ["--faked-system-time", f"{at}!"] if at else []
        self.home = Path(tempfile.mkdtemp(prefix="gpg-"))  # short: the agent's socket is in it
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
        shutil.rmtree(self.home, ignore_errors=True)

    def _gpg(self, *arguments: str, data: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--passphrase", "", *self._at, *arguments]
        return subprocess.run(command, input=data, check=True, capture_output=True).stdout


class LocalArchive:
    """A folder with pool/ and dists/; publish() writes what apt expects to find there."""

    def __init__(self, folder: Path, key: Key) -> None:
        self.folder, self.key = folder, key
        self._stanzas: list[str] = []

    def add(self, name: str, version: str = "1.0", *, architecture: str = "all", **fields: str) -> Path:
        """Make a real package. fields: of its control file, "_" for "-" (Depends="a, b", Pre_Depends="c")."""
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
            subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, deb], check=True, capture_output=True)
        data = deb.read_bytes()
        where = f"Filename: pool/{deb.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        self._stanzas.append(text + where)
        return deb

    def publish(
        self,
        suite: str = "stable",
        *,
        date: datetime,
        codename: str | None = None,
        valid_for: timedelta | None = None,
        architectures: Sequence[str] = ("amd64",),
        by_hash: bool = True,
        extra: str = "",
    ) -> Path:
        """Write the index of all packages added so far, and the InRelease of this suite; returns its path."""
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
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
