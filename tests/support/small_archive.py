"""An archive of any files, signed: for what LocalArchive, which makes real packages, has not."""

from __future__ import annotations

import gzip
import hashlib
import lzma
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path

import local_archive


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def publish(
    folder: Path,
    key: local_archive.Key,
    files: Mapping[str, bytes],
    *,
    date: datetime,
    suite: str = "stable",
    architectures: str = "amd64 i386",
    components: str = "main contrib",
    by_hash: bool = True,
) -> Path:
    """Write files (name below the Release -> content) and the InRelease that names them; returns its path.

    suite: one that ends in "/" is a flat archive's folder.
    """
    top = folder / (suite if suite.endswith("/") else f"dists/{suite}")
    for name, data in files.items():
        write(top / name, data)
        if by_hash:
            write((top / name).parent / "by-hash/SHA256" / sha256(data), data)
    fields = {
        "Suite": suite,
        "Codename": suite.rstrip("/"),
        "Date": format_datetime(date).replace("+0000", "UTC"),
        "Architectures": architectures,
        "Components": components,
        "Acquire-By-Hash": "yes" if by_hash else "no",
    }
    if suite.endswith("/"):
        fields = {name: fields[name] for name in ("Date", "Architectures", "Acquire-By-Hash")}
    lines = "".join(f" {sha256(data)} {len(data)} {name}\n" for name, data in files.items())
    text = "".join(f"{name}: {value}\n" for name, value in fields.items()) + "SHA256:\n" + lines
    inrelease = top / "InRelease"
    write(inrelease, key.sign(text))
    return inrelease


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def packages(files: Mapping[str, bytes], **fields: str) -> bytes:
    """A Packages index of these pool files, named NAME_VERSION_ARCHITECTURE.deb."""
    stanzas = []
    for path, data in files.items():
        name, version, architecture = path.rpartition("/")[2].rpartition(".")[0].split("_")
        said = {"Package": name, "Version": version, "Architecture": architecture, "Filename": path,
                "Size": str(len(data)), "SHA256": sha256(data), **fields}  # fmt: skip
        stanzas.append("".join(f"{field}: {value}\n" for field, value in said.items()))
    return "\n".join(stanzas).encode()


def sources(folder: str, files: Mapping[str, bytes]) -> bytes:
    """A Sources index with one package."""
    lines = "".join(f" {sha256(data)} {len(data)} {name}\n" for name, data in files.items())
    return f"Package: source\nVersion: 1\nDirectory: {folder}\nChecksums-Sha256:\n{lines}".encode()


def packed(index: str, data: bytes) -> dict[str, bytes]:
    """An index in the forms a Release names: plain, .gz, .xz."""
    return {index: data, f"{index}.gz": gzip.compress(data, mtime=0), f"{index}.xz": lzma.compress(data)}
