"""snap-preseed: not called where root or host do not allow it, and the reason said."""

from __future__ import annotations

from pathlib import Path

import pytest

from snaps import preseed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root whose snapd has snap-preseed."""
    made = tmp_path / "root"
    for place in ("usr/lib/snapd", "usr/bin", "var/lib/snapd", "proc", "sys", "dev"):
        (made / place).mkdir(parents=True)
    (made / preseed.TOOL).write_text("#!/bin/sh\n")
    (made / "usr/bin/fusermount3").touch()
    return made


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """What a host with AppArmor shows."""
    made = tmp_path / "host"
    (made / "sys/module/apparmor/parameters").mkdir(parents=True)
    (made / "sys/module/apparmor/parameters/enabled").write_text("Y\n")
    (made / preseed.FEATURES).mkdir(parents=True)
    return made


def test_nothing_in_the_way(root: Path, host: Path) -> None:
    assert preseed.obstacle(root, host) == ""


@pytest.mark.parametrize(
    ("place", "text", "reason"),
    [
        pytest.param("root/usr/lib/snapd/snap-preseed", None, "snapd of the root has no snap-preseed", id="no tool"),
        pytest.param("host/sys/module/apparmor/parameters/enabled", None, "no AppArmor", id="no AppArmor"),
        pytest.param("host/sys/module/apparmor/parameters/enabled", "N\n", "not switched on", id="AppArmor off"),
        pytest.param("host/sys/kernel/security/apparmor/features", None, "securityfs is not mounted", id="not shown"),
        pytest.param("root/usr/bin/fusermount3", None, "no fuse3", id="no fuse3"),
    ],
)
def test_said_and_not_done(root: Path, host: Path, tmp_path: Path, place: str, text: str | None, reason: str) -> None:
    path = tmp_path / place
    if text is not None:
        path.write_text(text)
    elif path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    outcome = preseed.preseed(root, host=host)
    assert not outcome.done
    assert reason in outcome.why
