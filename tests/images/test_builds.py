"""How builds behave: what is rebuilt, what a failure or a kill leaves, what two at once do."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import pytest
from building import Project, built, left_behind

from image_builder.layers import Store

pytestmark = pytest.mark.root
Make = Callable[[], Project]

WRITE = 'cp "$0" "livecd.$PROJECT.{0}"'


def two_targets(make: Make) -> Project:
    """One chroot hook for both, one binary hook each."""
    project = make()
    project.hook("base/mark.chroot", "echo marked >/etc/marked")
    for name in ("one", "two"):
        project.hook(f"base/{name}.binary", f"[ -d chroot ] || cd ..\ncat chroot/etc/marked >livecd.$PROJECT.{name}")
        project.series(name, f"# {name}\nbase/mark.chroot\nbase/{name}.binary\nprovides livecd.$PROJECT.{name}\n")
    return project


def test_a_changed_hook_rebuilds_only_what_follows_it(small: Make) -> None:
    project = two_targets(small)
    first = project.build("one", "two")
    assert "chroot base/mark.chroot" in built(first)
    project.hook("base/two.binary", "[ -d chroot ] || cd ..\ncat chroot/etc/marked - >livecd.$PROJECT.two </dev/null")
    assert built(project.build("one", "two")) == ["binary base/two.binary"]
    project.hook("base/mark.chroot", "echo another >/etc/marked")
    assert built(project.build("one", "two")) == [
        "chroot base/mark.chroot", "finish", "binary base/one.binary", "binary base/two.binary",
    ]  # fmt: skip
    assert project.artefact("livecd.debian.two").read_text() == "another\n"
    reasons = {layer["name"]: layer["reason"] for layer in project.record()["layers"]}
    assert reasons["chroot base/mark.chroot"] == "changed: hook"
    assert reasons["finish"] == "chroot base/mark.chroot changed"


def test_a_hook_sees_its_environment_and_only_its_declared_inputs(small: Make) -> None:
    project = small()
    (project.folder / "image-builder.yaml").write_text("environment: {GREETING: 'good  morning, all'}\n")
    project.hook("base/see.chroot", 'echo "$GREETING|$IMAGE_TARGET|$SUITE|$ARCH|$PROJECT" >/etc/seen')
    (project.folder / "hooks.d/declared").write_text("declared")
    (project.folder / "hooks.d/hidden").write_text("hidden")
    project.hook(
        "base/see.binary",
        """
        [ -d chroot ] || cd ..
        here=$(dirname "$(readlink -f "$0")")
        { cat chroot/etc/seen; echo "$GREETING|$IMAGE_TARGET"; ls "$here/.."; } >livecd.$PROJECT.see
        """,
        header="# inputs: declared\n",
    )
    project.series("see", "base/see.chroot\nbase/see.binary\n")
    project.build("see")
    root, beside, *names = project.artefact("livecd.debian.see").read_text().splitlines()
    assert root == "good  morning, all|see|trixie|amd64|debian"
    assert beside == "good  morning, all|see"
    assert sorted(names) == ["base", "declared"]


def test_a_hook_is_not_run_again_while_the_files_it_is_made_from_are_the_same(small: Make) -> None:
    project = small()
    project.hook("base/mark.chroot", "echo one >/etc/marked")
    project.hook("base/kernel.binary", "[ -d chroot ] || cd ..\nmkdir -p boot\necho kernel >boot/vmlinuz-1")
    net = "[ -d chroot ] || cd ..\ncat boot/vmlinuz-1 >livecd.$PROJECT.net"
    project.hook("base/net.binary", net, header="# inputs:\n# tree: boot/vmlinuz-*\n")
    project.series("net", "base/mark.chroot\nbase/kernel.binary\nbase/net.binary\nprovides livecd.$PROJECT.net\n")
    assert "binary base/net.binary" in built(project.build("net"))
    project.hook("base/mark.chroot", "echo two >/etc/marked")
    record = project.build("net")
    assert built(record) == ["chroot base/mark.chroot", "finish", "binary base/kernel.binary"]
    (layer,) = (layer for layer in record["layers"] if layer["name"] == "binary base/net.binary")
    assert (layer["action"], layer["reason"]) == ("reused", "the files it is made from are as they were")
    assert project.artefact("livecd.debian.net").read_text() == "kernel\n"
    project.hook("base/kernel.binary", "[ -d chroot ] || cd ..\nmkdir -p boot\necho newer >boot/vmlinuz-1")
    assert "binary base/net.binary" in built(project.build("net"))
    assert project.artefact("livecd.debian.net").read_text() == "newer\n"


def test_the_good_target_is_delivered_when_the_other_fails(small: Make) -> None:
    project = two_targets(small)
    project.hook("base/two.binary", "echo it went wrong >&2\nexit 7")
    said = project.run("build", "one", "two", status=1)
    assert "binary base/two.binary (of two): exit status" in said.stderr
    assert "it went wrong" in said.stderr
    assert "failed: two" in said.stderr
    assert project.artefact("livecd.debian.one").read_text() == "marked\n"
    assert {t["name"]: t["status"] for t in project.record()["targets"]} == {"one": "done", "two": "failed"}


def test_a_hook_that_hangs_is_ended_in_time(small: Make) -> None:
    project = two_targets(small)
    project.hook("base/two.binary", "sleep 1000")
    said = project.run("build", "--timeout", "3", "two", status=1).stderr
    assert "timeout: not done after 3 s" in said


def test_a_daemon_ends_with_its_hook(small: Make) -> None:
    project = two_targets(small)
    project.hook("base/mark.chroot", "echo marked >/etc/marked\nsetsid sleep 500 >/dev/null 2>&1 &")
    record = project.build("one")
    assert any("left a process running" in warning and "sleep" in warning for warning in record["warnings"])


def test_a_declared_file_that_nobody_made_is_an_error(small: Make) -> None:
    project = two_targets(small)
    project.series("one", "base/mark.chroot\nbase/one.binary\nprovides livecd.$PROJECT.other\n")
    said = project.run("build", "one", status=1).stderr
    assert "declares livecd.debian.other by `provides`, but no hook made it" in said


def test_a_hook_that_declines_is_a_warning(small: Make) -> None:
    project = two_targets(small)
    project.hook("base/one.binary", "echo not for this architecture\nexit 0")
    assert any("declined" in warning for warning in project.build("one")["warnings"])


def test_two_files_of_one_name_have_to_be_the_same(small: Make) -> None:
    project = two_targets(small)
    project.hook("base/two.binary", "[ -d chroot ] || cd ..\necho different >livecd.$PROJECT.one")
    project.series("two", "base/mark.chroot\nbase/two.binary\n")
    said = project.run("build", "one", "two", status=1).stderr
    assert "livecd.debian.one: one and two made different files" in said


def test_what_no_image_may_hold_fails_the_build(small: Make) -> None:
    project = two_targets(small)
    project.hook("base/mark.chroot", "echo Acquire::http::Proxy '\"http://proxy\";' >/etc/apt/apt.conf.d/90proxy")
    said = project.run("build", "one", status=1).stderr
    assert "proxy setting of the build: /etc/apt/apt.conf.d/90proxy" in said


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_interrupted_in_a_binary_hook(small: Make, by: signal.Signals) -> None:
    project = two_targets(small)
    project.hook("base/two.binary", f"echo in the middle {by}\nsleep 400")
    project.interrupted("two", when=f"in the middle {by}", by=by)
    assert left_behind(project.store) == []
    project.hook("base/two.binary", f"[ -d chroot ] || cd ..\necho {by} >livecd.$PROJECT.two")
    assert built(project.build("two")) == ["binary base/two.binary"]
    assert Store(project.store).verify(deep=False) == []


def test_interrupted_in_the_package_install(small: Make) -> None:
    project = two_targets(small)
    (project.folder / "image-builder.yaml").write_text("packages: [file, bc]\n")
    status = project.interrupted("one", when="Unpacking bc", by=signal.SIGINT)
    assert status == 130
    assert left_behind(project.store) == []
    names = built(project.build("one"))
    assert names[0] == "packages (2 asked for)"
    assert "base trixie amd64" not in names


def test_packages_are_fetched_once_ahead_of_their_step(small: Make) -> None:
    project = two_targets(small)
    (project.folder / "image-builder.yaml").write_text("packages: [bc]\n")
    project.build("one")
    (log,) = project.artefact("logs").glob("packages*.log")
    assert "Need to get 0 B/" in log.read_text()


@pytest.mark.full
def test_a_kernel_in_a_package_list_makes_its_initramfs_once(small: Make) -> None:
    project = two_targets(small)
    text = "packages: [linux-image-cloud-amd64, initramfs-tools, zstd]\n"
    (project.folder / "image-builder.yaml").write_text(text)
    project.hook("base/mark.chroot", "ls -l /boot >/etc/marked")
    project.build("one")
    (log,) = project.artefact("logs").glob("packages*.log")
    assert log.read_text().count("update-initramfs: Generating") == 1
    assert "initrd.img-" in project.artefact("livecd.debian.one").read_text()


def test_two_builds_at_once_make_each_layer_once(small: Make) -> None:
    one, two = two_targets(small), two_targets(small)
    for project in (one, two):
        project.hook("base/mark.chroot", "sleep 2\necho shared >/etc/marked")
    with one.start("build", "one") as first, two.start("build", "one") as second:
        said = [first.communicate(), second.communicate()]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert sorted([*built(one.record()), *built(two.record())]).count("chroot base/mark.chroot") == 1


def test_systemd_resolved_in_a_package_list(small: Make) -> None:
    project = two_targets(small)
    lists = project.folder / "config/package-lists"
    lists.mkdir(parents=True)
    (lists / "net.list.chroot").write_text("systemd-resolved\n")
    # after it, a hook still finds the archive: the name resolves, and the lists are the frozen ones
    project.hook("base/mark.chroot", "apt-get install -y hostname\necho marked >/etc/marked", header="# inputs:\n")
    record = project.build("one")
    assert record["status"] == "done"
    assert all(layer["seconds"] < 120 for layer in record["layers"])


def test_two_builds_held_against_each_other_say_which_step_brought_what(small: Make) -> None:
    project = two_targets(small)
    project.build("one", "two")
    first = (project.folder / "builds/latest").resolve().name
    assert "one: the same\ntwo: the same\n" in project.run("diff", first).stdout
    project.hook("base/mark.chroot", "echo MARKED >/etc/marked; chmod 600 /etc/hosts; rm /etc/debian_version")
    project.build("one", "two")
    said = project.run("diff", first, "--target", "one", status=1).stdout
    assert "  step chroot base/mark.chroot: hook\n" in said
    assert "~ base/mark.chroot\n" in said
    assert "~ livecd.debian.one\n" in said
    assert "~ ./etc/marked  [chroot base/mark.chroot]\n" in said  # same size, other bytes
    assert "- ./etc/debian_version" in said
    found = json.loads(project.run("diff", first, "latest", "--json", status=1).stdout)
    assert found["targets"]["two"]["content"] == ["./etc/marked"]
    assert set(found["targets"]["two"]["files"]["removed"]) == {"./etc/debian_version"}
    assert found["targets"]["two"]["brought"]["./etc/debian_version"] == "chroot base/mark.chroot"
    assert found["targets"]["two"]["packages"] == {"added": {}, "removed": {}, "changed": {}}
