"""The shell script of each step: what stands in it, in which order, and that a shell can read it."""

from __future__ import annotations

import subprocess

import pytest

from image_builder.live_build import scripts
from image_builder.live_build.stages import Call

PACKAGES = [
    Call(f"chroot_{name}", (at,)) for at in ("install", "live") for name in ("package-lists", "install-packages")
]
FINISH = [Call("chroot_hooks", ()), Call("chroot_hacks", ())]
SCRIPTS = {
    "base": scripts.base(["mmdebstrap", "--hook=a 'b'", "trixie"], "deb http://mirror/debian trixie main", "it's me"),
    "debootstrap": scripts.debootstrap(),
    "prepare": scripts.prepare([Call("chroot_preseed", ())]),
    "packages": scripts.packages(PACKAGES),
    "hook": scripts.chroot_hook(archive=False),
    "hook with archive": scripts.chroot_hook(archive=True),
    "finish": scripts.finish(FINISH, hostname="debian", indices=False),
    "image": scripts.image([Call("binary_chroot", ()), Call("binary_rootfs", ())]),
    "binary": scripts.binary_hook(),
    "pack": scripts.pack([Call("binary_checksums", ()), Call("binary_iso", ())], "my project"),
}


def body(script: str) -> list[str]:
    """The lines of a step after the functions."""
    return script.partition("\ncd /build\n")[2].splitlines()


def order(script: str, *lines: str) -> list[int]:
    return [body(script).index(line) for line in lines]


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_shell_can_read_it(script: str) -> None:
    made = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (made.returncode, made.stderr) == (0, "")


def test_no_script_depends_on_where_or_when_it_was_made() -> None:
    assert SCRIPTS["finish"] == scripts.finish(FINISH, hostname="debian", indices=False)
    assert SCRIPTS["finish"] != scripts.finish(FINISH, hostname="other", indices=False)


def test_words_stay_words() -> None:
    lines = body(SCRIPTS["base"])
    assert lines[0] == """mmdebstrap '--hook=a '"'"'b'"'"'' trixie <<'SOURCES'"""
    assert """printf '%s\\n' 'it'"'"'s me' >chroot/etc/hostname""" in lines
    assert "name='livecd.my project'" in body(SCRIPTS["pack"])


def test_both_passes_of_the_packages_are_checked() -> None:
    found = [line for line in body(SCRIPTS["packages"]) if line.startswith(("helper", "installed", "chroot"))]
    assert found == [
        "helper_sparing_packages chroot_package-lists install",
        "helper_done chroot_install-packages install",
        "installed /tmp/wanted",
        "chroot chroot dpkg-query -W >chroot.packages.install",
        "helper_sparing_packages chroot_package-lists live",
        "helper_done chroot_install-packages live",
        "installed /tmp/wanted",
    ]


@pytest.mark.parametrize("name", ["prepare", "packages", "hook", "hook with archive", "finish"])
def test_what_was_mounted_is_unmounted_after_the_last_helper(name: str) -> None:
    lines = body(SCRIPTS[name])
    helpers = [number for number, line in enumerate(lines) if line.startswith("helper")]
    assert lines.index("unmounts") > max(helpers)


def test_a_hook_that_may_use_the_archive_is_checked_for_it() -> None:
    check = "lists /build/config/.frozen-lists"
    assert check not in body(SCRIPTS["hook"])
    assert order(SCRIPTS["hook with archive"], "helper_done chroot_hooks", check, "unmounts") == sorted(
        order(SCRIPTS["hook with archive"], "helper_done chroot_hooks", check, "unmounts")
    )


def test_the_root_is_proven_clean_after_all_that_could_soil_it() -> None:
    script = SCRIPTS["finish"]
    wanted = ["helper chroot_hooks", "helper chroot_hacks", "helper chroot_prep remove all mode-archives-chroot",
              "clean_root", "chroot chroot ls -lR >chroot.files", "unmounts", "check_root"]  # fmt: skip
    lines = body(script)
    places = [max(n for n, line in enumerate(lines) if line == one) for one in wanted]
    assert places == sorted(places)
    assert places[-1] == len(lines) - 1


def test_times_in_an_iso_are_set_before_it_is_made() -> None:
    lines = body(SCRIPTS["pack"])
    touch = next(n for n, line in enumerate(lines) if "$SOURCE_DATE_EPOCH" in line)
    assert lines.index("helper binary_checksums") < touch < lines.index("helper binary_iso")
