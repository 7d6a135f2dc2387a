"""An archive of Ubuntu's shape, and Launchpad beside it: Ubuntu's own are out of the tests' reach.

What is real: the format (pockets that share a code name, components, by-hash, NotAutomatic), made by apt-ftparchive and
signed by a key of its own; and Debian's packages, of which the base system is. What is not: the packages' contents are
Debian's. Where Ubuntu has another name (kernels, agents), a package of that name asks for Debian's; shim-signed is
Debian's shim as Ubuntu lays it out. What only Ubuntu's own packages have (casper, snapd's seeds, kernels) is not tried.
"""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from local_archive import Key

COMPONENTS = ("main", "universe")


# Ubuntu's name -> what is Debian's for it
CALLED = {
    "linux-image-virtual": "linux-image-cloud-amd64",
    "linux-image-generic": "linux-image-amd64",
    "linux-cloud-tools-virtual": "hyperv-daemons",
}


def make_deb(
    folder: Path, name: str, version: str, *, files: Mapping[str, bytes] = {}, postinst: str = "", **fields: str
) -> Path:
    """A real package of architecture all. fields: of its control file, "_" for "-". postinst: a shell script."""
    control = {
        "Package": name, "Version": version, "Architecture": "all", "Maintainer": "Test <test@localhost>",
        "Priority": "optional", "Description": "made for a test",
        **{field.replace("_", "-"): value for field, value in fields.items()},
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    deb = folder / f"{name}_{version}_all.deb"
    with tempfile.TemporaryDirectory() as work:
        tree = Path(work)
        tree.chmod(0o755)
        (tree / "DEBIAN").mkdir(mode=0o755)
        (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
        if postinst:
            (tree / "DEBIAN/postinst").write_text(f"#!/bin/sh\nset -e\n{postinst}\n")
            (tree / "DEBIAN/postinst").chmod(0o755)
        for path, data in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, deb], check=True, capture_output=True)
    return deb


def ubuntus_shim(pool: Path) -> None:
    """Put shim-signed as Ubuntu has it in the place of Debian's: two versions behind update-alternatives."""
    with tempfile.TemporaryDirectory() as work:
        for name in ("shim-signed", "shim-helpers-amd64-signed"):
            (deb,) = pool.glob(f"{name}_*.deb")
            subprocess.run(["dpkg-deb", "-x", deb, work], check=True)
            if name == "shim-signed":
                deb.unlink()
        theirs = Path(work, "usr/lib/shim")
        loader, manager = (theirs / f"{name}x64.efi.signed" for name in ("shim", "mm"))
        files = {"shimx64.efi.signed.latest": loader, "shimx64.efi.signed.previous": loader, "mmx64.efi": manager}
        link = "/usr/lib/shim/shimx64.efi.signed"
        make_deb(
            pool, "shim-signed", "1.58+15.8-0ubuntu2", Depends="grub-efi-amd64-signed, grub2-common",
            files={f"usr/lib/shim/{name}": path.read_bytes() for name, path in files.items()},
            postinst=f"update-alternatives --install {link} shimx64.efi.signed {link}.latest 100\n"
                     f"update-alternatives --install {link} shimx64.efi.signed {link}.previous 50",
        )  # fmt: skip


@dataclass
class UbuntuArchive:
    """Folder with pool/ and dists/. Packages are put into pool(POCKET, COMPONENT), then publish() is called."""

    folder: Path
    key: Key
    suite: str = "noble"
    architecture: str = "amd64"
    origin: str = "Ubuntu"
    components: tuple[str, ...] = COMPONENTS
    pockets: tuple[str, ...] = ("", "-updates", "-security", "-proposed")
    asked: list[str] = field(default_factory=list)  # paths that somebody has fetched

    def pool(self, pocket: str = "", component: str = "main") -> Path:
        place = self.folder / "pool" / (pocket.strip("-") or "release") / component
        place.mkdir(parents=True, exist_ok=True)
        return place

    def keyring_package(self) -> Path:
        """What Ubuntu's apt depends on: the keys of the archive, where apt looks for them."""
        return make_deb(
            self.pool(), "ubuntu-keyring", "2023.11.28.1", Priority="required", Multi_Arch="foreign",
            files={"etc/apt/trusted.gpg.d/ubuntu-keyring-test.gpg": self.key.keyring.read_bytes()},
        )  # fmt: skip

    def publish(self, date: datetime) -> None:
        """Write the indices and the InRelease of every pocket."""
        for pocket in self.pockets:
            suite = f"{self.suite}{pocket}"
            top = self.folder / "dists" / suite
            for component in self.components:
                pool = self.pool(pocket, component).relative_to(self.folder)
                index = self._ftparchive("packages", str(pool))
                target = top / component / f"binary-{self.architecture}"
                target.mkdir(parents=True, exist_ok=True)
                (target / "Packages").write_bytes(index)
                for tool in ("gzip", "xz"):
                    subprocess.run([tool, "--keep", "--force", target / "Packages"], check=True)
            fields = {
                "Origin": self.origin, "Label": self.origin, "Suite": suite, "Codename": self.suite,
                "Architectures": self.architecture, "Components": " ".join(self.components),
                "Date": format_datetime(date.astimezone(UTC)).replace("+0000", "UTC"), "Acquire-By-Hash": "yes",
                **({"NotAutomatic": "yes", "ButAutomaticUpgrades": "yes"} if pocket == "-proposed" else {}),
            }  # fmt: skip
            (top / "InRelease").unlink(missing_ok=True)
            sums = self._ftparchive("release", str(top.relative_to(self.folder))).decode()
            sums = sums[sums.index("SHA256:") :].partition("SHA512:")[0]
            text = "".join(f"{name}: {value}\n" for name, value in fields.items()) + sums
            (top / "InRelease").write_bytes(self.key.sign(text))
            self._by_hash(top, sums)

    def _by_hash(self, top: Path, sums: str) -> None:
        for line in sums.splitlines()[1:]:
            digest, _, name = line.split()
            place = (top / name).parent / "by-hash/SHA256"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(top / name, place / digest)
            if name.endswith("Packages"):  # listed, and not there in plain
                (top / name).unlink()

    def _ftparchive(self, verb: str, place: str) -> bytes:
        command = ["apt-ftparchive", "-o", "APT::FTPArchive::Architecture=" + self.architecture, verb, place]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True).stdout


@dataclass
class Launchpad:
    """What Launchpad's API and the key server say, and the PPAs themselves, on one address.

    fingerprints: "owner/name" -> what the API says. keys: fingerprint -> what the key server sends.
    """

    folder: Path
    fingerprints: dict[str, str | None] = field(default_factory=dict)
    keys: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> bytes | None:
        """The body for a path; None: not found, or a file below the folder."""
        parts = urlsplit(path)
        words = parts.path.strip("/").split("/")
        if words[0] == "devel":
            owner, name = words[1].removeprefix("~"), words[-1]
            if f"{owner}/{name}" not in self.fingerprints:
                return None
            return json.dumps({"name": name, "signing_key_fingerprint": self.fingerprints[f"{owner}/{name}"]}).encode()
        if words[:2] == ["pks", "lookup"]:
            return self.keys.get(parse_qs(parts.query)["search"][0].removeprefix("0x"))
        return None


@contextmanager
def served(site: UbuntuArchive | Launchpad) -> Iterator[str]:
    """The address of the archive, or of Launchpad, for the length of the block; it notes what is asked for."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def __init__(self, *words: object, **more: object) -> None:
            super().__init__(*words, directory=os.fspath(site.folder), **more)  # type: ignore[arg-type]

        def do_GET(self) -> None:
            site.asked.append(self.path)
            body = site.answer(self.path) if isinstance(site, Launchpad) else None
            if body is None:
                super().do_GET()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
