"""A small rebuilt archive with real packages, and a publisher for it."""

from __future__ import annotations

import hashlib
import lzma
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from rebuilt import changes, deb, source_package

from image_builder.archive.publish.indices import Indices, SuiteDescription
from image_builder.archive.publish.place import Place
from image_builder.archive.publish.publish import Published, publish
from image_builder.archive.publish.signing import Signer
from image_builder.archive.repository.repository import Repository
from image_builder.archive.results import Result, Results

DATE = 1_750_000_000  # POSIX seconds


class Rebuilt:
    """Results, repository and publisher in one folder."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self.folder, self.signer, self._attempt = folder, signer, 0
        self.results = Results(folder / "results")
        self.repository = Repository(self.results, folder / "repository", {"stable": ("amd64", "arm64")})

    def build(
        self, source: str, names: dict[str, str], version: str = "1-1", architecture: str = "amd64",
        component: str = "main", suite: str = "stable", content: str = "", **fields: str,
    ) -> None:  # fmt: skip
        """names: of its binary packages -> their architecture."""
        self._attempt += 1
        with tempfile.TemporaryDirectory() as temporary:
            delivered = Path(temporary)
            for name, made_for in names.items():
                deb(delivered, name, version, made_for, content or f"{source} {version}", Source=source, **fields)
            changes(delivered, source, version, architecture)
            result = Result(
                suite, source, version, version, architecture, attempt=self._attempt, token=str(self._attempt),
                component=component,
            )  # fmt: skip
            self.results.accept(result, delivered)

    def source(self, name: str, version: str = "1", component: str = "main", build_depends: str = "") -> None:
        with tempfile.TemporaryDirectory() as temporary:
            self.results.accept_source(
                "stable", component, source_package(Path(temporary), name, version, build_depends)
            )

    def publish(
        self, place: Place, date: int = DATE, keep: int = 3, check: bool = False,
        suites: tuple[SuiteDescription, ...] = (SuiteDescription("stable", origin="Rebuilt"),),
    ) -> list[Published]:  # fmt: skip
        return publish(
            self.repository, place, suites, date=date, signer=self.signer, cache=self.folder / "cache", keep=keep,
            check=check,
        )  # fmt: skip


def apt_root(folder: Path, address: str, suite: str = "stable", components: str = "main") -> list[str]:
    """A folder for apt of its own, which knows this archive and no other; the options that say so."""
    for name in ("lists/partial", "cache/archives/partial", "parts", "etc/preferences.d"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(
        "".join(f"{kind} [signed-by={folder}/key.asc] {address} {suite} {components}\n" for kind in ("deb", "deb-src"))
    )
    values = {
        "Dir::Etc": folder / "etc", "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": folder / "parts",
        "Dir::State": folder, "Dir::State::Lists": folder / "lists", "Dir::State::Status": folder / "status",
        "Dir::Cache": folder / "cache", "APT::Architecture": "amd64", "APT::Architectures": "amd64",
        "APT::Sandbox::User": "root", "Acquire::Languages": "none", "Debug::NoLocking": "true",
        "Acquire::Retries": "0", "Binary::apt::Keep-Downloaded-Packages": "true",
    }  # fmt: skip
    return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]


def broken(read: Callable[[str], bytes | None], suite: str) -> list[str]:
    """What a reader would miss who begins with the InRelease that is there: names of files that are not as it says."""
    found = []
    release = (read(f"dists/{suite}/InRelease") or b"").decode()
    for sha256, name in re.findall(r"(?m)^ ([0-9a-f]{64}) +\d+ (\S+\.xz)$", release):
        folder = f"dists/{suite}/{name.rpartition('/')[0]}"
        data = read(f"{folder}/by-hash/SHA256/{sha256}")
        if data is None or hashlib.sha256(data).hexdigest() != sha256:
            found.append(f"{folder}: {name}")
            continue
        for stanza in lzma.decompress(data).decode().split("\n\n"):
            fields = dict(re.findall(r"(?m)^(Filename|SHA256|Directory): (.*)$", stanza))
            files = [(fields["SHA256"], fields["Filename"])] if "Filename" in fields else []
            if "Directory" in fields:
                sums = stanza.partition("Checksums-Sha256:\n")[2]
                lines = re.findall(r"(?m)^ ([0-9a-f]{64}) \d+ (\S+)$", sums)
                files = [(sha256, f"{fields['Directory']}/{name}") for sha256, name in lines]
            for wanted, path in files:
                content = read(path)
                if content is None or hashlib.sha256(content).hexdigest() != wanted:
                    found.append(path)
    return found


Publication = tuple[dict[str, Path], Indices, str]


def publication(folder: Path, number: int, packages: list[str]) -> Publication:
    """A publication as indices() makes it: pool, indices, InRelease."""
    folder.mkdir()
    pool = {}
    for name in packages:
        (folder / name).write_text(f"package {name}")
        pool[f"pool/{name}"] = folder / name
    index = folder / "Packages"
    index.write_text("\n".join(packages))
    digest = hashlib.sha256(index.read_bytes()).hexdigest()
    return pool, Indices("", {"main/Packages": index}, {f"main/by-hash/{digest}": index}), f"{number} {digest}"


def whole(read: Callable[[str], bytes | None]) -> int:
    """Number of the publication readers see. Fails if anything it names is not there."""
    number, digest = (read("dists/stable/InRelease") or b"").decode().split()
    index = (read(f"dists/stable/main/by-hash/{digest}") or b"").decode()
    assert hashlib.sha256(index.encode()).hexdigest() == digest
    for name in index.split():
        assert read(f"pool/{name}") == f"package {name}".encode()
    return int(number)
