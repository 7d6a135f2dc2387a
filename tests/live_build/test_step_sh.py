"""step.sh: every step looks at what a helper left, not at its exit status alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Shell = Callable[..., tuple[int, str]]
Plant = Callable[[Mapping[str, str]], None]
NAMESERVER = "nameserver 192.0.2.53\n"
STUB = "../run/systemd/resolve/stub-resolv.conf"


@pytest.mark.parametrize("target", [STUB, "/run/systemd/resolve/stub-resolv.conf"])
def test_a_dangling_link_of_systemd_resolved_leads_to_a_file_for_the_time_of_the_step(
    shell: Shell, plant: Plant, work: Path, target: str
) -> None:
    plant({"chroot/etc/resolv.conf": f"-> {target}"})
    made = work / "chroot/run/systemd/resolve/stub-resolv.conf"
    assert shell("resolv") == (0, "")
    assert made.read_text() == NAMESERVER
    assert str((work / "chroot/etc/resolv.conf").readlink()) == target, "what the package made stays"
    assert shell("resolv_gone") == (0, "")
    assert not made.exists()


def test_a_link_to_what_is_no_run_time_file_is_meant_to_stay(shell: Shell, plant: Plant, work: Path) -> None:
    plant({"chroot/etc/resolv.conf": "-> ../usr/lib/resolv.conf"})
    assert shell("resolv; resolv_gone") == (0, "")
    assert not (work / "chroot/usr/lib").exists()


def test_a_link_out_of_the_root_is_not_followed(shell: Shell, plant: Plant, work: Path) -> None:
    plant({"chroot/etc/resolv.conf": "-> ../../../outside"})
    assert shell("resolv; resolv_gone") == (0, "")
    assert not (work.parent / "outside").exists()


def test_a_file_is_replaced_only_while_live_build_has_its_own_there(shell: Shell, plant: Plant, work: Path) -> None:
    plant({"chroot/etc/resolv.conf": "nameserver 10.9.9.9\n"})
    assert shell("resolv") == (0, "")
    assert (work / "chroot/etc/resolv.conf").read_text() == "nameserver 10.9.9.9\n"
    plant({".build/chroot_resolv": ""})
    assert shell("resolv") == (0, "")
    assert (work / "chroot/etc/resolv.conf").read_text() == NAMESERVER


def test_a_helper_is_called_with_its_arguments(shell: Shell) -> None:
    assert shell('helper chroot_prep install all "two words"', lb='printf "[%s]" "$@"') == (
        0,
        "[chroot_prep][install][all][two words]",
    )


def test_resolv_conf_is_provided_anew_for_every_helper(shell: Shell, plant: Plant) -> None:
    plant({".build/chroot_resolv": ""})
    spoil = "cat chroot/etc/resolv.conf; : >chroot/etc/resolv.conf"
    assert shell("helper one; helper two", lb=spoil) == (0, NAMESERVER * 2)


def test_a_helper_that_fails_ends_the_step(shell: Shell) -> None:
    status, said = shell("helper chroot_hooks; echo on", lb="echo of its own; exit 7")
    assert (status, said) == (90, "of its own\nE: live-build's helper chroot_hooks failed (exit 7)\n")


@pytest.mark.parametrize(
    ("call", "file", "fails"),
    [
        ("chroot_hooks", "chroot_hooks", False),
        ("chroot_install-packages install", "chroot_install-packages.install", False),
        ("chroot_install-packages live", "chroot_install-packages.live", False),
        ("chroot_install-packages install", "chroot_install-packages", False),
        ("chroot_hooks", "chroot_hacks", True),
        ("chroot_install-packages live", "chroot_install-packages.install", True),
    ],
)
def test_a_helper_that_ends_well_and_did_nothing_is_found(shell: Shell, call: str, file: str, fails: bool) -> None:
    status, said = shell(f"helper_done {call}; echo on", lb=f"touch .build/{file}")
    name = call.partition(" ")[0]
    silent = f"E: live-build's helper {name} ended well, but left no stage file\n"
    assert (status, said) == ((90, silent) if fails else (0, "on\n"))


LIVE_BUILD = (
    'echo "$@"; mkdir -p chroot/proc; case $1 in chroot_proc) touch chroot/proc/version;; esac; touch ".build/$1"'
)


def test_mounts_are_made_anew_whatever_a_layer_below_says(shell: Shell, plant: Plant, work: Path) -> None:
    plant({".build/chroot_proc": "", ".build/chroot_sysfs": "", ".lock": ""})
    status, said = shell("mounts; [ ! -e .lock ]", lb='[ ! -e ".build/$1" ] || exit 1; ' + LIVE_BUILD)
    assert (status, said) == (0, "chroot_devpts install\nchroot_proc install\nchroot_sysfs install\n")
    assert shell("unmounts") == (0, "")
    assert list((work / ".build").iterdir()) == [], "no layer says that something is mounted"


def test_a_proc_that_is_not_mounted_is_an_error(shell: Shell) -> None:
    assert shell("mounts", lb=":") == (90, "E: proc is not mounted in the root\n")


def test_lists_have_to_be_the_frozen_ones(shell: Shell, plant: Plant) -> None:
    digest = hashlib.sha256(b"signed").hexdigest()
    plant({"chroot/var/lib/apt/lists/deb_InRelease": "signed", "frozen": f"{digest}  deb_InRelease\n"})
    assert shell('lists "$PWD/frozen"') == (0, "")
    plant({"chroot/var/lib/apt/lists/deb_InRelease": "signed later"})
    status, said = shell('lists "$PWD/frozen"')
    assert status == 90
    assert "E: apt saw another archive than the lock: it has moved since; make a new lock with --update" in said


def test_lists_that_apt_never_read_are_an_error(shell: Shell, plant: Plant) -> None:
    plant({"frozen": f"{'0' * 64}  deb_InRelease\n", "empty": ""})
    assert shell('lists "$PWD/frozen"')[0] == 90
    assert shell('lists "$PWD/empty"') == (90, "E: no frozen lists to compare with\n")


STATUS = """\
Package: vim
Status: install ok installed
Architecture: amd64
Version: 2:9.1
Maintainer: x
Description: x
Provides: editor, vim-api (= 9)

Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.41
Maintainer: x
Description: x

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
Maintainer: x
Description: x

Package: half
Status: install ok unpacked
Architecture: amd64
Version: 1
Maintainer: x
Description: x

"""


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        pytest.param("vim libc6", "", id="all there"),
        pytest.param("", "", id="nothing asked for"),
        pytest.param("editor\nvim-api", "", id="provided"),
        pytest.param("libc6:amd64 vim=2:9.1 vim/trixie vim+", "", id="apt-get's ways to say it"),
        pytest.param("nano- ?task(desktop) ~nlib", "", id="not names"),
        pytest.param("vim nano curl", "nano curl", id="missing"),
        pytest.param("vi", "vi", id="a part of a name is no name"),
        pytest.param("gone half", "gone half", id="removed, or half installed"),
        pytest.param("v.m", "v.m", id="no pattern"),
    ],
)
def test_what_was_asked_for_has_to_be_installed(shell: Shell, plant: Plant, wanted: str, missing: str) -> None:
    plant({"chroot/var/lib/dpkg/status": STATUS, "wanted": wanted})
    status, said = shell("installed wanted")
    assert (status, said) == ((90, f"E: asked for, but not installed: {missing}\n") if missing else (0, ""))


PRESEED = (
    '#!/bin/sh\necho "snap-preseed $*" >>chroot/called\n[ "$1" = --reset ] || touch chroot/var/lib/snapd/state.json\n'
)
SEEDED = {"chroot/var/lib/snapd/seed/seed.yaml": "snaps: []\n"}
ENABLED = {"chroot/sys/module/apparmor/parameters/enabled": "Y\n"}
FUSE = {"chroot/usr/bin/fusermount3": "#!/bin/sh\n"}


def preseeded(shell: Shell, plant: Plant, work: Path, files: dict[str, str]) -> tuple[int, str]:
    plant(files)
    for name in ("usr/lib/snapd/snap-preseed", "usr/bin/fusermount3"):
        if (path := work / "chroot" / name).exists():
            path.chmod(0o755)
    return shell("mount() { :; }\numount() { :; }\npreseed")


def test_a_root_without_a_seed_is_not_preseeded(shell: Shell, plant: Plant, work: Path) -> None:
    assert preseeded(shell, plant, work, {"chroot/usr/lib/snapd/snap-preseed": PRESEED}) == (0, "")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (FUSE | ENABLED, "the snapd of the root has no snap-preseed"),
        (FUSE | {"chroot/usr/lib/snapd/snap-preseed": PRESEED}, "AppArmor is not there or off on this host"),
        (ENABLED | {"chroot/usr/lib/snapd/snap-preseed": PRESEED}, "the root has no fuse3"),
    ],
)
def test_what_is_not_preseeded_says_why(
    shell: Shell, plant: Plant, work: Path, files: dict[str, str], said: str
) -> None:
    status, out = preseeded(shell, plant, work, SEEDED | files)
    assert (status, out.startswith("N: snaps are seeded and not preseeded: ")) == (0, True)
    assert said in out
    assert not (work / "chroot/called").exists()


def test_a_root_is_preseeded_where_that_can_be(shell: Shell, plant: Plant, work: Path) -> None:
    files = SEEDED | FUSE | ENABLED | {"chroot/usr/lib/snapd/snap-preseed": PRESEED}
    assert preseeded(shell, plant, work, files) == (
        0, "N: snaps are preseeded, for the AppArmor features of this host's kernel\n",
    )  # fmt: skip
    assert (work / "chroot/called").read_text() == f"snap-preseed {work}/chroot\n"
    preseeded(shell, plant, work, {})
    assert f"snap-preseed --reset {work}/chroot\n" in (work / "chroot/called").read_text()


def test_a_snap_preseed_that_fails_fails_the_step(shell: Shell, plant: Plant, work: Path) -> None:
    files = SEEDED | FUSE | ENABLED
    for script, said in (
        ("#!/bin/sh\nexit 3\n", "snap-preseed failed (exit 3)"),
        ("#!/bin/sh\n", "left no state.json"),
    ):
        status, out = preseeded(shell, plant, work, {**files, "chroot/usr/lib/snapd/snap-preseed": script})
        assert status == 90
        assert said in out
