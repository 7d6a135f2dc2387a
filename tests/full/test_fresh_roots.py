"""`make images` and `make test` from a clean clone in fresh minimal roots of Debian; see fresh_roots.sh."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.full


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_a_newcomer_gets_tested_images(suite: str, tmp_path: Path) -> None:
    assert os.geteuid() == 0, "it makes roots and namespaces: run it as root"
    log = tmp_path / "log"
    with log.open("wb") as stream:
        done = subprocess.run(
            [Path(__file__).with_name("fresh_roots.sh"), suite], stdout=stream, stderr=subprocess.STDOUT, check=False
        )
    assert done.returncode == 0, f"the whole log: {log}\n" + "\n".join(log.read_text().splitlines()[-60:])
