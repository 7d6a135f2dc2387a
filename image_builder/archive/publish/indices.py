"""The indices and the Release of a suite, made by apt-ftparchive, which remembers the packages it has read."""

from __future__ import annotations

import errno
import gzip
import hashlib
import lzma
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from image_builder.archive.publish.contents import INSTALLER, Contents
from image_builder.archive.results import SOURCE
from image_builder.errors import CommandError, PipelineError, SurroundingsError
from image_builder.files import write_whole
from image_builder.run import run

_HINT = "is Debian's package apt-utils installed?"
# The quickest levels that still halve the download: what is published is read once by most.
_FORMS: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, 6, mtime=0),
    ".xz": lambda data: lzma.compress(data, preset=1),
}


@dataclass(frozen=True)
class SuiteDescription:
    """How a rebuilt suite is published."""

    suite: str  # as it is rebuilt
    name: str = ""  # below dists/; empty: the same
    codename: str = ""  # empty: the name
    origin: str = "image-builder"
    label: str = "image-builder"
    description: str = ""
    valid_for_s: int | None = None  # None: for ever
    components: Mapping[str, str] = field(default_factory=dict)  # binary name -> component, where the source's is wrong

    @property
    def published(self) -> str:
        return self.name or self.suite


@dataclass(frozen=True)
class Indices:
    """files: name below the suite's folder in dists/ -> where it is; by_hash: the same files by their hashes."""

    release: str
    files: Mapping[str, Path]
    by_hash: Mapping[str, Path]


def indices(
    description: SuiteDescription, contents: Contents, architectures: Iterable[str], *, date: int, cache: Path
) -> Indices:
    """Make a suite's indices. The same contents and date give the same bytes.

    date: of the Release, POSIX seconds. cache: where stage() put the files; keeps what is used again.
    Raises PipelineError when a package was not taken into its index, SurroundingsError.
    """
    architectures = sorted(architectures)
    work = cache / "suites" / description.published.replace("/", "_")
    shutil.rmtree(work, ignore_errors=True)
    (work / "lists").mkdir(parents=True)
    (cache / "seen").mkdir(exist_ok=True)
    plain = _packages(work, cache, contents, architectures)
    top = work / "release"
    for name, data in plain.items():
        for suffix in ("", *_FORMS):
            target = top / (name + suffix)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data) if not suffix else os.link(_packed(data, suffix, cache / "packed"), target)
    release = _release(top, description, contents.components, architectures, date)
    write_whole(work / "Release", release)
    files = {name + suffix: top / (name + suffix) for name in plain for suffix in _FORMS}
    by_hash = {f"{Path(name).parent}/by-hash/SHA256/{_sha256(path)}": path for name, path in files.items()}
    return Indices(release, files, by_hash)


def stage(cache: Path, contents: Contents) -> dict[str, Path]:
    """Give a suite's files their names in the archive, in cache/tree; name -> where it is.

    From here on it does not matter what becomes of the results. What is there of other suites stays: sweep() removes
    it. Raises FileNotFoundError when a result was replaced since contents were read.
    """
    staged = {}
    for name, (path, inode) in contents.files.items():
        target = staged[name] = cache / "tree" / name
        if target.exists():
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(path, inode, target)
        except FileNotFoundError:
            raise
        except OSError as e:
            raise SurroundingsError(f"cannot be linked: {e.strerror or e}", where=target) from e
    return staged


def _link(path: Path, inode: int, target: Path) -> None:
    """Another name for this file, and no other that may have taken its place meanwhile; or a copy of it."""
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(path, part)
        found = part.stat().st_ino
    except OSError as e:
        if e.errno != errno.EXDEV:
            raise
        with path.open("rb") as file, part.open("wb") as copy:
            found = os.fstat(file.fileno()).st_ino
            shutil.copyfileobj(file, copy)
    if found != inode:
        part.unlink()
        raise FileNotFoundError(errno.ENOENT, "another file is there now", os.fspath(path))
    part.rename(target)


def sweep(cache: Path, names: Collection[str]) -> None:
    """Forget what no suite has any more. names: of the pool, all suites'."""
    for base, _, files in os.walk(cache / "tree", topdown=False):
        for file in files:
            path = Path(base, file)
            if path.relative_to(cache / "tree").as_posix() not in names:
                path.unlink()
        with suppress(OSError):
            Path(base).rmdir()
    needed: set[str] = set()
    for release in (cache / "suites").glob("*/Release"):
        needed.update(re.findall(r"(?m)^ ([0-9a-f]{64}) ", release.read_text()))
    for path in (cache / "packed").glob("*"):
        if path.stem not in needed:  # the hash of the index before it was packed
            path.unlink()


def _packages(work: Path, cache: Path, contents: Contents, architectures: list[str]) -> dict[str, bytes]:
    """Name below the suite's folder -> index, not compressed."""
    found: dict[str, bytes] = {}
    for component in contents.components:
        for architecture in architectures:
            found |= _index(work, cache, contents, component, architecture, ".deb .ddeb")
        found |= _index(work, cache, contents, component, SOURCE, ".dsc")
        installer = component + INSTALLER
        if any(section == installer for section, _ in contents.lists):
            for architecture in architectures:
                found |= _index(work, cache, contents, installer, architecture, ".udeb")
    return found


def _index(
    work: Path, cache: Path, contents: Contents, section: str, architecture: str, suffixes: str
) -> dict[str, bytes]:
    """One index by its name. Raises PipelineError when a package is not in it."""
    names = contents.lists.get((section, architecture), [])
    listed = f"{section.replace('/', '_')}-{architecture}"
    (work / "lists" / listed).write_text("".join(f"{name}\n" for name in names))
    kind, database = ("Sources", "SrcCacheDB") if architecture == SOURCE else ("Packages", "BinCacheDB")
    name = f"{section}/source/Sources" if architecture == SOURCE else f"{section}/binary-{architecture}/Packages"
    target = work / "dists" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    words = [
        f'Dir {{ ArchiveDir "{cache / "tree"}"; CacheDir "{cache / "seen"}"; FileListDir "{work / "lists"}"; }};',
        f'BinDirectory "pool" {{ {kind} "{target}"; {kind}::Compress "."; {kind}::Extensions "{suffixes}";',
        f'  FileList "{listed}"; {database} "{listed}.db"; }};',
    ]
    write_whole(work / "apt-ftparchive.conf", "\n".join(words) + "\n")
    # dpkg-source wants the MD5 sums of sources; nobody wants those of packages.
    sums = ["SHA1", "SHA512", *(["MD5"] if kind == "Packages" else [])]
    options = [word for one in sums for word in ("-o", f"APT::FTPArchive::{one}=false")]
    seen = cache / "seen" / f"{listed}.db"
    for again in (True, False):
        try:
            run(["apt-ftparchive", "--quiet", *options, "generate", work / "apt-ftparchive.conf"], hint=_HINT)
        except CommandError:
            if not (again and seen.exists()):
                raise
        else:
            data = target.read_bytes() if target.exists() else b""  # it writes none where nothing was listed
            there = data.count(b"\nPackage: ") + data.startswith(b"Package: ")
            if there == len(names):
                return {name: data}
            if not again:
                what = f"{name} has {there} packages, there should be {len(names)}"
                hint = "apt-ftparchive could not read a package: verify the results"
                raise PipelineError(what, where=work, hint=hint)
        # What it remembers was damaged when it was killed, which it does not always say: let it read all again.
        seen.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
    raise AssertionError("the second time it ends in one way or the other")


def _release(
    top: Path, description: SuiteDescription, components: list[str], architectures: list[str], date: int
) -> str:
    fields = {
        "Origin": description.origin,
        "Label": description.label,
        "Suite": description.published,
        "Codename": description.codename or description.published,
        "Date": _rfc(date),
        "Acquire-By-Hash": "yes",
        "Architectures": " ".join(architectures),
        "Components": " ".join(components),
        "Description": description.description,
    }
    options = ["-o", "APT::FTPArchive::MD5=false", "-o", "APT::FTPArchive::SHA1=false"]
    options += ["-o", "APT::FTPArchive::SHA512=false"]
    for name, value in fields.items():
        options += ["-o", f"APT::FTPArchive::Release::{name}={value}"] if value else []
    release = run(["apt-ftparchive", "--quiet", *options, "release", "."], cwd=top, hint=_HINT)
    if description.valid_for_s is None:
        return release
    # apt-ftparchive counts from now, not from Date
    until = f"Valid-Until: {_rfc(date + description.valid_for_s)}\n"
    head, _, rest = release.partition("SHA256:\n")
    return f"{head}{until}SHA256:\n{rest}"


def _packed(data: bytes, suffix: str, folder: Path) -> Path:
    """An index compressed, from an earlier time if it was the same."""
    path = folder / (hashlib.sha256(data).hexdigest() + suffix)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as file:
            file.write(_FORMS[suffix](data))
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    return path


def _rfc(at: int) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC)).replace("+0000", "UTC")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
