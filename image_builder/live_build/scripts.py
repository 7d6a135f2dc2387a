"""The shell script of each step: live-build's helpers in their order, with checks between them. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib.resources import files

from image_builder.live_build.stages import Call
from image_builder.sandbox.surroundings import OF_THE_MACHINE

FUNCTIONS = files(__package__).joinpath("step.sh").read_text()
# A hook that tunes the kernel would tune the builder's.
GUARD = f"""for name in {" ".join(OF_THE_MACHINE)}; do
	[ ! -e "chroot/proc/$name" ] || mount --bind -o ro "chroot/proc/$name" "chroot/proc/$name"
done
mount -o remount,bind,ro chroot/sys"""
UNGUARD = f"""for name in {" ".join(OF_THE_MACHINE)}; do
	! mountpoint -q "chroot/proc/$name" || umount "chroot/proc/$name"
done"""
CLEAN_ROOT = files(__package__).joinpath("clean_root.sh").read_text()


def _script(*parts: str) -> str:
    return "\n".join([FUNCTIONS, "cd /build", *parts, ""])


def _calls(calls: Sequence[Call]) -> list[str]:
    return [shlex.join(["helper", call.helper, *call.arguments]) for call in calls]


def base(bootstrap: Sequence[str], apt_sources: str, hostname: str) -> str:
    """Make chroot/ by mmdebstrap; live-build then takes it for its own bootstrap stage."""
    return _script(
        f"{shlex.join(bootstrap)} <<'SOURCES'\n{apt_sources}\nSOURCES",
        # mmdebstrap leaves the builder's own two files in the root
        f"printf '%s\\n' {shlex.quote(hostname)} >chroot/etc/hostname",
        "rm -f chroot/etc/resolv.conf chroot/etc/hosts",
        # and the options it was given for itself
        "rm -f chroot/etc/apt/apt.conf.d/99mmdebstrap chroot/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
        "mkdir -p .build",
        "touch .build/config .build/bootstrap",
    )


def debootstrap() -> str:
    """Make chroot/ by live-build's own helper."""
    return _script("mkdir -p .build", "touch .build/config", "helper bootstrap_debootstrap", "[ -e .build/bootstrap ]")


def prepare(calls: Sequence[Call]) -> str:
    """Mounts, archives and preseed: what `lb chroot` does before the early hooks."""
    return _script(
        "helper chroot_prep install all mode-archives-chroot",
        "[ -e .build/chroot_archives ] || fail 'live-build did not set up the archives'",
        "lists /build/config/.frozen-lists",
        *_calls(calls),
        "unmounts",
    )


def packages(calls: Sequence[Call], *, live_pass: bool = True, initramfs: bool = False) -> str:
    """Package lists and their installation, in live-build's two passes.

    live_pass: False where no list is for the second pass alone, which then would ask for the same again.
    initramfs: INITRD=No kept the packages from making one; make it for every kernel that has none.
    """
    lines = ["mounts"]
    for call in calls:
        if call.arguments == ("live",) and not live_pass:
            lines += [f"say 'no list for the live pass: {call.helper} live is not needed'"]
        elif call.helper == "chroot_package-lists":
            lines += [shlex.join(["helper_sparing_packages", call.helper, *call.arguments])]
        elif call.helper == "chroot_install-packages":
            done = shlex.join(["helper_done", call.helper, *call.arguments])
            lines += ["cp chroot/root/packages.chroot /tmp/wanted 2>/dev/null || : >/tmp/wanted", done]
            lines += ["installed /tmp/wanted"]
            if call.arguments == ("install",):
                lines += ["initramfs_once"] if initramfs else []
                lines += ["chroot chroot dpkg-query -W >chroot.packages.install"]
        else:
            lines += _calls([call])
    return _script(*lines, "unmounts")


def chroot_hook(*, archive: bool, snaps: bool = False) -> str:
    """One hook in the root, by live-build's own helper; staging has put only that one in its folder.

    archive: it may use apt, and must not have brought in another state of the archive than the lock's.
    snaps: it may have seeded snaps.
    """
    return _script(
        "mounts",
        GUARD,
        "rm -f .build/chroot_hooks",
        "helper_done chroot_hooks",
        UNGUARD,
        *(["lists /build/config/.frozen-lists"] if archive else []),
        *(["preseed"] if snaps else []),
        "unmounts",
        "rm -f .build/chroot_hooks",
    )


def finish(calls: Sequence[Call], *, hostname: str, indices: bool) -> str:
    """Default hooks, hacks, everything the build brought along away again; then the proof that it is."""
    return _script(
        CLEAN_ROOT,
        f"IMAGE_HOSTNAME={shlex.quote(hostname)} IMAGE_APT_INDICES={'true' if indices else 'false'}",
        "mounts",
        "rm -f .build/chroot_hooks",
        *_calls(calls),
        "[ -e .build/chroot_hooks ] || fail 'live-build ran no default hooks'",
        "chroot chroot dpkg-query -W >chroot.packages.live",
        "helper chroot_prep remove all mode-archives-chroot",
        "clean_root",
        "chroot chroot ls -lR >chroot.files",
        "unmounts",
        "check_root",
    )


def plain_clean_hook(hostname: str) -> str:
    """A binary hook for plain live-build that does to its root what finish() does to ours, before others pack it.

    Building with the chroot, live-build keeps the finished root in chroot/chroot, or in binary/ where it makes no
    file system of it.
    """
    return "\n".join(
        [
            "#!/bin/sh",
            "set -eu",
            FUNCTIONS,
            CLEAN_ROOT,
            f"IMAGE_HOSTNAME={shlex.quote(hostname)} BUILDER_HOSTNAME=$(uname -n)",
            "IMAGE_APT_INDICES=${LB_APT_INDICES:-false}",
            "[ -d chroot ] || cd ..",
            "finished=$PWD/chroot",
            "[ ! -d binary/etc ] || finished=$PWD/binary",
            "[ ! -d chroot/chroot/etc ] || finished=$PWD/chroot/chroot",
            "view=$(mktemp -d)",
            "trap 'rm -rf \"$view\"' EXIT",
            'ln -s "$finished" "$view/chroot"',
            'ln -s "$PWD/config" "$view/config"',
            'cd "$view"',
            "FINDINGS=$view/findings",
            "clean_root",
            "check_root",
            "",
        ]
    )


def shell(*, inside: bool) -> str:
    """A shell, or the command it is given, in the root or beside it, as a hook there would be run."""
    if not inside:
        return _script("[ $# -gt 0 ] || set -- bash -i", 'exec "$@"')
    lines = "sed -n 's/^export //; /^[A-Za-z_][A-Za-z_0-9]*=/p' config/environment.chroot 2>/dev/null"
    return _script(
        "mounts >/dev/null",
        "resolv",
        "[ $# -gt 0 ] || set -- bash -i",
        f"{{ {lines} || :; }} >/tmp/variables",
        "set -a; . /tmp/variables; set +a",
        'exec chroot chroot "$@"',
    )


def image(calls: Sequence[Call]) -> str:
    """What `lb binary` does before its hooks."""
    lines = ["mkdir -p binary"]
    for call in calls:
        lines += _calls([call])
        if call.helper == "binary_chroot":
            # Debian 12's version leaves without its stage file when not building with the chroot.
            lines += ["touch .build/binary_chroot"]
    return _script(*lines)


def binary_hook() -> str:
    """One hook beside the root, or all of the project's own config/hooks/*/*.binary."""
    return _script(
        "mkdir -p binary", "rm -f .lock .build/binary_hooks", "helper_done binary_hooks", "rm -f .build/binary_hooks"
    )


def pack(calls: Sequence[Call], project: str) -> str:
    """What `lb binary` does after its hooks, up to the image under the name it is published by."""
    lines: list[str] = []
    for call in calls:
        if call.helper == "binary_iso":
            # the stage script does this itself between two helpers
            lines += [
                'find binary -newermt "@$SOURCE_DATE_EPOCH" -printf "%y %p\\n"'
                ' -exec touch "{}" -d "@$SOURCE_DATE_EPOCH" --no-dereference ";" >binary.modified_timestamps'
            ]
        lines += _calls([call])
    return _script(
        *lines,
        f"name={shlex.quote(f'livecd.{project}')}",
        "made=",
        "for image in live-image-*.iso live-image-*.tar live-image-*.img; do",
        '\t[ -e "$image" ] || continue',
        '\tmv "$image" "$name.${image##*.}"',
        '\tmade="$made $image"',
        "done",
        "[ -n \"$made\" ] || fail 'live-build made no image'",
    )
