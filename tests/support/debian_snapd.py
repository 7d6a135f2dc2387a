"""Debian's own snap program, out of its package: nothing is installed, and no snapd runs."""

from __future__ import annotations

import subprocess
from pathlib import Path


def snap_program(folder: Path) -> Path:
    """Fetch the package snapd into the folder and unpack it there; returns the program."""
    folder.mkdir(parents=True, exist_ok=True)
    fetch = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "snapd"]
    if subprocess.run(fetch, cwd=folder, capture_output=True, check=False).returncode != 0:  # lists are old or missing
        subprocess.run(["apt-get", "-q", "update"], check=True, capture_output=True)
        subprocess.run(fetch, cwd=folder, check=True, capture_output=True)
    (package,) = folder.glob("snapd_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder / "root"], check=True)
    return folder / "root/usr/bin/snap"
