"""A QEMU that does what a test says: a small program put first on PATH."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

HEAD = """\
#!{python}
import json, os, socket, sys, time
argv = sys.argv[1:]
fd = next(int(a.partition("id=qmp,fd=")[2]) for a in argv if "id=qmp,fd=" in a)
qmp = socket.socket(fileno=fd)
def tell(message): qmp.sendall(json.dumps(message).encode() + b"\\n")
def say(text): os.write(1, text.encode())
tell({{"QMP": {{}}}})
"""


@pytest.fixture
def fake_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Install Python statements as qemu-system-x86_64; they have say(text), tell(message), qmp and argv."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def install(body: str) -> Path:
        program = folder / "qemu-system-x86_64"
        program.write_text(HEAD.format(python=sys.executable) + dedent(body))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return program

    return install
