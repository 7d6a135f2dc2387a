"""A rebuild with the real command and sbuild: its folder, and what came of it."""

from __future__ import annotations

import json
import lzma
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from image_builder.archive.database.open import open_database
from image_builder.archive.database.records import AttemptRecord
from image_builder.archive.model import Key
from image_builder.archive.results import Result, Results
from image_builder.archive.states import Package
from image_builder.run import run as run_program

COMMAND = Path(sys.executable).with_name("image-builder")
DEBIAN = "deb http://deb.debian.org/debian trixie main"
SUITE = "trixie"
QUICK = {"trigger_min_seconds": 1, "heartbeat_seconds": 2}
STAGE_0 = {"stage": 0, "base": "old", "packages": "all"}


@dataclass
class Rebuild:
    """config: keys of archive.yaml, over those every test has."""

    folder: Path
    store: Path
    config: dict[str, Any] = field(default_factory=dict)
    architecture: str = "amd64"

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.configure()

    def configure(self, **changed: Any) -> None:
        """Write archive.yaml, with further keys or other values for them."""
        self.config |= changed
        given = {
            "name": "real", "sources": [DEBIAN], "suite": SUITE, "architectures": [self.architecture],
            "passes": [STAGE_0], "schedule": QUICK, "store": str(self.store),
        }  # fmt: skip
        (self.folder / "archive.yaml").write_text(json.dumps(given | self.config))  # which is YAML, too

    def start(self, *words: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """image-builder archive WORDS. before: a command to start it with."""
        return subprocess.Popen(
            [*before, COMMAND, "archive", *words], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *words: str, status: int = 0, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """The same, to its end; fails unless it ends with this status."""
        with self.start(*words, before=before) as child:
            stdout, stderr = child.communicate(timeout=3600)
        assert child.returncode == status, f"exit {child.returncode}\n{stdout}\n{stderr}"
        return subprocess.CompletedProcess(words, child.returncode, stdout, stderr)

    def key(self, source: str, architecture: str = "") -> Key:
        return Key(SUITE, architecture or self.architecture, source)

    def package(self, source: str, *, run: int = 1) -> Package:
        with open_database(self.folder / "archive.sqlite") as database:
            found = database.package(run, self.key(source))
        assert found is not None
        return found

    def attempts(self, source: str, *, run: int = 1) -> list[AttemptRecord]:
        with open_database(self.folder / "archive.sqlite") as database:
            return database.attempts(run, self.key(source))

    def results(self, stage: int = 0) -> Results:
        return Results(self.folder / f"results/stage-{stage}")

    def result(self, source: str, *, stage: int = 0) -> Result:
        found = self.results(stage).read(SUITE, self.architecture, source)
        assert found is not None
        return found

    def place(self, source: str, *, stage: int = 0) -> Path:
        """The folder with the newest result of a source."""
        return self.results(stage).place(SUITE, self.architecture, source)

    def unpacked(self, source: str, package: str, target: Path, *, stage: int = 0) -> Path:
        """The files of a binary package that was built."""
        (deb,) = self.place(source, stage=stage).glob(f"{package}_*.deb")
        shutil.rmtree(target, ignore_errors=True)
        run_program(["dpkg-deb", "-x", deb, target])
        return target


def log_of(record: AttemptRecord) -> str:
    """The whole log of an attempt."""
    (packed,) = Path(record.log).glob("*.log.xz")
    return lzma.decompress(packed.read_bytes()).decode(errors="replace")


def short_log_of(record: AttemptRecord) -> str:
    (path,) = Path(record.log).glob("*.short.log")
    return path.read_text()


def source_tree(
    folder: Path, name: str, build: str, *, version: str = "1.0", build_depends: str = "", install: str = "",
    architecture: str = "any",
) -> Path:  # fmt: skip
    """A native source package as an unpacked tree. build: shell lines; install: those that fill $R, the package's root.

    Without debhelper, so that nothing has to be installed to build it.
    """
    tree = folder / name
    (tree / "debian/source").mkdir(parents=True)
    (tree / "debian/source/format").write_text("3.0 (native)\n")
    depends = f"Build-Depends: {build_depends}\n" if build_depends else ""
    (tree / "debian/control").write_text(
        f"Source: {name}\nSection: misc\nPriority: optional\nMaintainer: Test <test@localhost>\n{depends}"
        f"Standards-Version: 4.7.0\n\nPackage: {name}\nArchitecture: {architecture}\nDescription: made for a test\n"
    )
    (tree / "debian/changelog").write_text(
        f"{name} ({version}) trixie; urgency=low\n\n  * Made.\n\n"
        " -- Test <test@localhost>  Thu, 01 Jan 2026 00:00:00 +0000\n"
    )
    (tree / "build.sh").write_text(f"set -eu\n{build}\n")
    (tree / "install.sh").write_text(f"set -eu\nR=$1\n{install}\n")
    rules = tree / "debian/rules"
    rules.write_text(
        "#!/usr/bin/make -f\nclean:\n\nbuild build-arch build-indep:\n\tsh build.sh\n\n"
        "binary-indep:\n\nbinary binary-arch: build\n"
        f"\tmkdir -p debian/{name}/DEBIAN debian/{name}/usr/share/{name}\n"
        f"\tsh install.sh debian/{name}\n\tdpkg-gencontrol -p{name} -Pdebian/{name}\n"
        f"\tdpkg-deb --root-owner-group --build debian/{name} ..\n"
    )
    rules.chmod(0o755)
    return tree


def running(word: str) -> list[str]:
    """The command lines of processes of this machine that have a word in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if word in words:
            found.append(" ".join(words))
    return found
