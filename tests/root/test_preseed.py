"""snap-preseed in a root, with what it needs mounted there for as long as it runs, played by a small program."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_builder.errors import CommandError, PipelineError
from snaps import preseed

pytestmark = pytest.mark.root

TOOL = """#!/bin/sh
if [ "$1" = --reset ]; then rm "$2/var/lib/snapd/state.json"; echo reset >> "$2/log"; exit; fi
[ ! -e "$1/var/lib/snapd/state.json" ] || { echo "state.json is there" >&2; exit 1; }
for place in proc sys dev; do mountpoint -q "$1/$place" || { echo "$place is not mounted" >&2; exit 1; }; done
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    made = tmp_path / "host"
    (made / "sys/module/apparmor/parameters").mkdir(parents=True)
    (made / "sys/module/apparmor/parameters/enabled").write_text("Y\n")
    (made / preseed.FEATURES).mkdir(parents=True)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    for place in ("usr/lib/snapd", "usr/bin", "var/lib/snapd", "proc", "sys", "dev"):
        (made / place).mkdir(parents=True)
    (made / "usr/bin/fusermount3").touch()
    return made


def tool(root: Path, *lines: str) -> None:
    (root / preseed.TOOL).write_text(TOOL + "\n".join(lines) + "\n")
    (root / preseed.TOOL).chmod(0o755)


def mounts_below(root: Path) -> list[str]:
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if f" {root}/" in line]


def test_done_and_nothing_left(root: Path, host: Path) -> None:
    tool(root, 'touch "$1/var/lib/snapd/state.json"')
    assert preseed.preseed(root, host=host).done
    assert preseed.preseed(root, host=host).done  # a second time: what is there is reset first
    assert (root / "log").read_text() == "reset\n"
    assert mounts_below(root) == []
    assert list((root / "proc").iterdir()) == []


def test_failed_and_nothing_left(root: Path, host: Path) -> None:
    tool(root, "echo cannot >&2", "exit 1")
    with pytest.raises(CommandError, match="cannot"):
        preseed.preseed(root, host=host)
    assert mounts_below(root) == []


def test_a_tool_that_does_nothing_is_not_believed(root: Path, host: Path) -> None:
    tool(root)
    with pytest.raises(PipelineError, match=r"left no /var/lib/snapd/state.json"):
        preseed.preseed(root, host=host)
    assert mounts_below(root) == []


def test_links_in_the_root_lead_nowhere(root: Path, host: Path, tmp_path: Path) -> None:
    tool(root, 'touch "$1/var/lib/snapd/state.json"')
    (root / "dev").rmdir()
    (root / "dev").symlink_to(tmp_path)
    with pytest.raises(PipelineError, match="nothing is mounted there"):
        preseed.preseed(root, host=host)
    assert mounts_below(root) == []
