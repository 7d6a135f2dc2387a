"""Results as builds deliver them, small ones: for the repository, which never looks into a package, and real ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from image_builder.archive.delivery import index_file, listed
from image_builder.archive.results import Result, Results

_EFFECTS = ("os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "open", "shutil.rmtree", "sqlite3.connect")


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is such a place: an fsync to a disk takes longer than all the rest."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="rebuilt-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def deliver(
    results: Results, source: str, architecture: str, files: Sequence[str], attempt: int, suite: str = "stable"
) -> Result:
    """Put a result into the folder whose packages are called so; what is in them is told by source and attempt."""
    with quick_folder() as folder:
        for file in files:
            (folder / file).write_text(f"{source} {architecture} {attempt} {file}\n")
        entries = listed(folder)
        stanzas = "\n".join(f"Package: {e.name.partition('_')[0]}\nFilename: {index_file(e)}\n" for e in entries)
        result = Result(
            suite, source, "1", "1", architecture, attempt=attempt, token=f"token {attempt}", files=entries
        )  # fmt: skip
        results.put(result, folder, stanzas)
        return result


def deb(
    folder: Path, name: str, version: str = "1-1", architecture: str = "amd64", content: str = "", **fields: str
) -> Path:
    """A real package. fields: of its control file, "_" for "-"."""
    control = {
        "Package": name,
        "Version": version,
        "Architecture": architecture,
        "Maintainer": "Test <test@localhost>",
        "Description": "made for a test",
        **{field.replace("_", "-"): value for field, value in fields.items()},
    }
    path = folder / f"{name}_{version.partition(':')[2] or version}_{architecture}.deb"
    with tempfile.TemporaryDirectory() as tree:
        Path(tree).chmod(0o755)
        (Path(tree) / "DEBIAN").mkdir(mode=0o755)
        (Path(tree) / "DEBIAN/control").write_text("".join(f"{k}: {v}\n" for k, v in control.items()))
        (Path(tree) / f"usr/share/{name}").mkdir(parents=True)
        (Path(tree) / f"usr/share/{name}/content").write_text(content)
        words = ["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, path]
        subprocess.run(words, check=True, capture_output=True, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    return path


def changes(folder: Path, source: str, version: str = "1-1", architecture: str = "amd64") -> Path:
    """The .changes of all that lies in a folder."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".deb", ".udeb", ".buildinfo"))
    text = f"Format: 1.8\nSource: {source}\nVersion: {version}\nArchitecture: {architecture}\nChecksums-Sha256:\n"
    for path in files:
        data = path.read_bytes()
        text += f" {hashlib.sha256(data).hexdigest()} {len(data)} {path.name}\n"
    upload = version.partition(" ")[0].partition(":")[2] or version
    made = folder / f"{source.partition(' ')[0]}_{upload}_{architecture}.changes"
    made.write_text(text)
    return made


def source_package(folder: Path, name: str, version: str = "1", build_depends: str = "") -> Path:
    """A native source package: its .dsc, beside its .tar.gz."""
    content = f"{name} {version}\n".encode()
    tar = folder / f"{name}_{version}.tar.gz"
    tar.write_bytes(content)  # nobody unpacks it
    dsc = folder / f"{name}_{version}.dsc"
    dsc.write_text(
        f"Format: 3.0 (native)\nSource: {name}\nBinary: {name}\nArchitecture: any\nVersion: {version}\n"
        "Maintainer: Test <test@localhost>\n"
        + (f"Build-Depends: {build_depends}\n" if build_depends else "")
        + f"Checksums-Sha256:\n {hashlib.sha256(content).hexdigest()} {len(content)} {tar.name}\n"
        f"Files:\n {hashlib.md5(content).hexdigest()} {len(content)} {tar.name}\n"
    )
    return dsc


def killed_after(effects: int, call: Callable[[], object]) -> bool:
    """Make the call in a process that is killed before its effect of this number; whether it was killed.

    An effect is whatever changes the file system, counted by Python itself: links, renames, removals, files opened.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        left = effects

        def count(event: str, arguments: object) -> None:  # noqa: ARG001
            nonlocal left
            if event in _EFFECTS:
                if left == 0:
                    os._exit(99)  # as SIGKILL: nothing is tidied up
                left -= 1

        status = 98
        try:
            sys.addaudithook(count)
            call()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 99), f"ended with {code}"
    return code == 99


def tree(folder: Path) -> Mapping[str, bytes]:
    """All files below a folder: name -> bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
