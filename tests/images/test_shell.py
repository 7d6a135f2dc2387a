"""A shell in the state of a step, and a build of one hook alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from building import COMMAND, Project, built

pytestmark = pytest.mark.root
Make = Callable[[], Project]


@pytest.fixture
def project(small: Make) -> Project:
    project = small()
    (project.folder / "image-builder.yaml").write_text("environment: {GREETING: hello}\n")
    project.hook("base/first.chroot", "echo first >>/etc/order")
    project.hook("base/second.chroot", "echo second >>/etc/order\n[ ! -e /etc/fail ] || exit 1")
    project.hook("base/out.binary", '[ -d chroot ] || cd ..\ncp chroot/etc/order "livecd.$PROJECT.out"')
    project.series("out", "# out\nbase/first.chroot\nbase/second.chroot\nbase/out.binary\n")
    return project


def shell(project: Project, *words: str, status: int = 0) -> str:
    with project.start_plain("shell", "--store", str(project.store), *words) as child:
        stdout, stderr = child.communicate(timeout=120)
    assert child.returncode == status, stderr
    return stdout + stderr


def test_only_one_hook_and_shells_around_it(project: Project) -> None:
    said = project.run("build", "out", "--only", "first.chroot").stdout
    assert "stopped" in said
    assert not (project.folder / "builds/latest").exists()
    assert shell(project, "out@first.chroot", "cat", "/etc/order") == "first\n"
    assert shell(project, "out@first.chroot", "sh", "-c", "echo $IMAGE_TARGET $GREETING; exit 7", status=7) == (
        "out hello\n"
    )
    refused = shell(project, "out@second.chroot", "true", status=1)
    assert "has not been built" in refused
    assert "--only" in refused

    record = project.build("out")
    assert "chroot base/first.chroot" not in built(record)
    assert project.artefact("livecd.debian.out").read_text() == "first\nsecond\n"
    # what is done there is thrown away
    shell(project, "out@second.chroot", "sh", "-c", "rm /etc/order; test ! -e /etc/order")
    assert shell(project, "out@second.chroot", "cat", "/etc/order") == "first\nsecond\n"
    assert shell(project, "out@second.chroot", "--before", "cat", "/etc/order") == "first\n"
    # beside the root
    assert shell(project, "out", "cat", "livecd.debian.out", "chroot/etc/order") == "first\nsecond\n" * 2
    assert "its hooks: base/first.chroot, base/second.chroot, base/out.binary" in shell(
        project, "out@third", "true", status=2
    )
    assert project.run("build", "out").stderr.count("nothing to do") == 1


def test_where_a_step_failed_on_a_terminal(project: Project) -> None:
    project.hook("base/second.chroot", "echo half >>/etc/order\nexit 3")
    project.run("build", "out", status=1)
    command = f"{COMMAND} shell out --store {project.store}"
    typed = "cat /etc/order; echo sum $((40 + 2)); exit 5\n"
    said = subprocess.run(
        ["script", "--quiet", "--return", "--command", command, "/dev/null"],
        cwd=project.folder, input=typed, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert said.returncode == 5, said
    assert "as chroot base/second.chroot was when it failed" in said.stdout
    assert "first\nhalf\nsum 42\n" in said.stdout
