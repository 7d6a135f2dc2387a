"""A real apt with folders of its own: nothing of the machine's apt is read or changed; needs no root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


class Apt:
    """Its one source is suite "stable" of an archive."""

    def __init__(self, folder: Path, uri: str, keyring: Path, proxy: str = "", **options: str) -> None:
        """options: of apt, "__" for "::" and "_" for "-" (Acquire__http__Pipeline_Depth="0")."""
        for name in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d", "etc/apt.conf.d", "here"):
            (folder / name).mkdir(parents=True)
        (folder / "sources.list").write_text(f"deb [signed-by={keyring}] {uri} stable main\n")
        (folder / "status").touch()
        self.folder, self.here = folder, folder / "here"
        given = {name.replace("__", "::").replace("_", "-"): value for name, value in options.items()}
        self._options: Mapping[str, object] = {
            "Dir::State": folder / "state", "Dir::State::Status": folder / "status", "Dir::Cache": folder / "cache",
            "Dir::Etc": folder / "etc", "Dir::Etc::SourceList": folder / "sources.list", "Dir::Etc::SourceParts": "-",
            "APT::Architecture": "amd64", "APT::Architectures::": "amd64", "APT::Sandbox::User": "",
            "Acquire::http::Proxy": proxy or "DIRECT", "Acquire::https::Proxy": proxy or "DIRECT",
            "Acquire::Languages": "none", "Acquire::Retries": "1", "Acquire::Retries::Delay": "false",
            "APT::Update::Error-Mode": "any", **given,
        }  # fmt: skip

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Exit status and what it said on both streams."""
        options = [f"-o{name}={value}" for name, value in self._options.items()]
        environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            ["apt-get", "-q", *options, *words], cwd=self.here, env=environ, text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False,
        )  # fmt: skip
