"""What is mounted in a sandbox, as text."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from image_builder.sandbox.mounts import after_pivot, before_pivot, skeleton
from image_builder.sandbox.spec import Bind, Sandbox

ROOT = Path("/nonexistent/root")
A, B, UP = Path("/s/a"), Path("/s/b"), Path("/s/up")


def work_tree(sandbox: Sandbox) -> list[str]:
    return [line for line in before_pivot(sandbox).splitlines() if line.split()[1].endswith("/build")]


@pytest.mark.parametrize(
    ("sandbox", "expected"),
    [
        pytest.param(Sandbox(ROOT), [], id="nothing: a directory in memory"),
        pytest.param(Sandbox(ROOT, lower=[A]), ["/sys/0 /sys/r/build none bind,ro 0 0"], id="one layer, to look at"),
        pytest.param(Sandbox(ROOT, upper=UP), ["/sys/U /sys/r/build none bind 0 0"], id="the first layer"),
        pytest.param(
            Sandbox(ROOT, lower=[A, B]),
            ["overlay /sys/r/build overlay ro,lowerdir=1:0,redirect_dir=on,index=off,metacopy=off 0 0"],
            id="a stack to look at, topmost first",
        ),
        pytest.param(
            Sandbox(ROOT, lower=[A, B], upper=UP),
            [
                "overlay /sys/r/build overlay"
                " lowerdir=1:0,upperdir=U,workdir=W,redirect_dir=on,index=off,metacopy=off,volatile 0 0"
            ],
            id="a stack to write to",
        ),
    ],
)
def test_work_tree(sandbox: Sandbox, expected: list[str]) -> None:
    assert work_tree(sandbox) == expected


def test_who_syncs_by_itself_gets_no_volatile_mount() -> None:
    assert "volatile" not in work_tree(Sandbox(ROOT, lower=[A], upper=UP, volatile=False))[0]


def test_two_hundred_layers_fit_into_the_page_that_mount_takes() -> None:
    long = Path("/x" * 500)
    (line,) = work_tree(Sandbox(ROOT, lower=[long] * 200, upper=long))
    assert len(line) < 1000


def test_binds_count_from_the_hosts_root_and_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "link").symlink_to("a b")
    sandbox = Sandbox(ROOT, binds=[Bind(tmp_path / "link", "/build/c d"), Bind(tmp_path, "/x", False)], tmpfs=["/t"])
    assert after_pivot(sandbox).splitlines() == [
        "tmpfs /t tmpfs mode=0755 0 0",
        rf"/.host{tmp_path}/a\040b /build/c\040d none bind,ro 0 0",
        f"/.host{tmp_path} /x none bind 0 0",
    ]


def test_skeleton_holds_files_devices_and_links() -> None:
    data = skeleton(Sandbox(ROOT, lower=[A], upper=UP, work_tree="/srv/tree"), {"etc/resolv.conf": b"nameserver x\n"})
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {member.name: member for member in tar}
        content = tar.extractfile("u/etc/resolv.conf")
        assert content
        assert content.read() == b"nameserver x\n"
    assert members["u/srv/tree"].isdir()
    assert members["dev/null"].ischr()
    assert (members["dev/null"].devmajor, members["dev/null"].devminor, members["dev/null"].mode) == (1, 3, 0o666)
    assert members["u/tmp"].mode == 0o1777
    assert {name: members[name].linkname for name in ("t", "0", "U", "W")} == {
        "t": str(ROOT),
        "0": str(A),
        "U": str(UP),
        "W": f"{UP}.work",
    }
    assert list(members).index("u/etc") < list(members).index("u/etc/resolv.conf")


def test_what_of_proc_is_the_machines_is_read_only() -> None:
    lines = before_pivot(Sandbox(ROOT), ("sys", "irq")).splitlines()
    guarded = [text for text in lines if "bind,ro" in text]
    assert guarded == [f"/sys/r/proc/{name} /sys/r/proc/{name} none bind,ro 0 0" for name in ("sys", "irq")]
    assert lines.index(guarded[0]) > lines.index("proc /sys/r/proc proc nosuid,nodev,noexec 0 0")
