"""`make images` and `make test` from a clean clone in fresh minimal roots of Debian; see fresh_roots.sh.

Of this machine's own release `make images` alone: there CI has run `make test`, on a machine that is as fresh.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.full


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_a_newcomer_gets_tested_images(suite: str, tmp_path: Path) -> None:
    assert os.geteuid() == 0, "it makes roots and namespaces: run it as root"
    log = tmp_path / "log"
    own = platform.freedesktop_os_release().get("VERSION_CODENAME") == suite
    command = [Path(__file__).with_name("fresh_roots.sh"), *(["--only", "images"] if own else []), suite]
    with log.open("wb") as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, f"the whole log: {log}\n" + "\n".join(log.read_text().splitlines()[-60:])
