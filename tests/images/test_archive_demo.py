"""`image-builder archive demo` for real: Debian's sources, sbuild, two passes, and an image made from the results."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from building import COMMAND, Project
from local_archive import served

pytestmark = pytest.mark.root
SUFFIX = "+demo1"


def built(folder: Path, source: str) -> str:
    """The version its packages have, as the results say."""
    record = json.loads((folder / "results/stage-1/trixie/amd64" / source / "result.json").read_text())
    version: str = record["binary_version"]
    assert version == record["version"] + SUFFIX
    assert record["stage"] == 1
    return version


def test_the_demo(checkout: Callable[..., Project], store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"

    def demo() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, "archive", "demo", folder, "--store", store],
            capture_output=True, text=True, timeout=1500, check=False,
        )  # fmt: skip

    first = demo()
    assert first.returncode == 0, first.stderr
    # The fresh chroot had Debian's archive too, and apt took ours; the program runs.
    lzop, library = built(folder, "lzop"), built(folder, "lzo2")
    assert f"Installed: {lzop}" in first.stdout
    assert "copy:/build/published trixie/main amd64 Packages" in first.stdout
    assert first.stdout.rstrip().splitlines()[-1].startswith("lzop ")
    # In stage 1 the library of stage 0 was in the build's chroot, and not Debian's.
    info = next((folder / "results/stage-1/trixie/amd64/lzop").glob("*.buildinfo")).read_text()
    assert f"liblzo2-dev (= {library})" in info

    # Nothing is left to do.
    again = demo()
    assert again.returncode == 0, again.stderr
    assert "Building" not in again.stderr
    assert again.stdout == first.stdout

    # An image made from it carries these versions.
    project = checkout()
    archives = project.folder / "config/archives"
    archives.mkdir(parents=True)
    with served(folder / "published") as address:
        (archives / "rebuilt.list.chroot").write_text(f"deb {address} trixie main\n")
        (archives / "rebuilt.key.chroot").write_bytes((folder / "published/archive-key.asc").read_bytes())
        packages = project.folder / "config/package-lists"
        packages.mkdir(parents=True)
        (packages / "rebuilt.list.chroot").write_text("lzop\n")
        project.run("lock", "--update")
        project.build("root-dir")
    said = next((project.folder / "builds/latest").glob("*.manifest")).read_text().replace(":amd64", "")
    assert f"lzop\t{lzop}\n" in said
    assert f"liblzo2-2\t{library}\n" in said
