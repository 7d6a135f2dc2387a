"""The order of live-build's helpers, read from the stage scripts that are installed.

live-build's `lb chroot` and `lb binary` are shell scripts that call one helper after the other. The
driver calls the same helpers itself; their order comes from those scripts, and a helper that this
module has no place for is an error, since a new one may be the one that matters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from image_builder.errors import PipelineError


class Call(NamedTuple):
    """One helper call of a stage script: ("chroot_package-lists", ("install",))."""

    helper: str
    arguments: tuple[str, ...]


# Which step runs a helper. None: the step scripts make mounts and bring archives up themselves, or
# the helper has nothing to do in a build of ours; the comment says which.
CHROOT_PLACES: Mapping[str, str | None] = {
    "chroot_cache": None,  # the layer store is the cache
    "chroot_prep": None,  # the first call belongs to "prepare", the last to "finish"; step.sh makes both
    "chroot_linux-image": "prepare",
    "chroot_firmware": "prepare",
    "chroot_preseed": "prepare",
    "chroot_includes_before_packages": "packages",
    "chroot_package-lists": "packages",
    "chroot_install-packages": "packages",
    "chroot_includes_after_packages": "packages",
    "chroot_hooks": "finish",
    "chroot_hacks": "finish",
    "chroot_interactive": None,  # a shell in the middle of a build that nobody watches
}
BINARY_PLACES: Mapping[str, str | None] = {
    "chroot_prep": None,  # mounts: made by step.sh
    "chroot_archives": None,  # only when building with the chroot, which is off in the binary phase
    "binary_chroot": "image",
    "binary_rootfs": "image",
    "binary_dm-verity": "image",
    "binary_manifest": "image",
    "binary_package-lists": "image",
    "binary_linux-image": "image",
    "binary_memtest": "image",
    "binary_grub-legacy": "image",
    "binary_grub-pc": "image",
    "binary_grub_cfg": "image",
    "binary_syslinux": "image",
    "binary_disk": "image",
    "binary_loadlin": "image",
    "binary_win32-loader": "image",
    "binary_includes": "image",
    "binary_grub-efi": "image",
    "binary_bootloader_splash": "image",
    "binary_hooks": None,  # steps of their own
    "binary_checksums": "pack",
    "binary_iso": "pack",
    "binary_onie": "pack",
    "binary_netboot": "pack",
    "binary_tar": "pack",
    "binary_hdd": "pack",
    "binary_zsync": "pack",
}


def parse(script: str) -> tuple[Call, ...]:
    """The helper calls of a stage script in the order they run, `for` loops over words unrolled.

    script: the text of /usr/lib/live/build/chroot or .../binary.
    """
    calls: list[Call] = []
    loops: list[tuple[str, list[str], list[Call]]] = []
    for raw in script.splitlines():
        line = raw.strip()
        head = re.fullmatch(r"for (\w+) in ([\w -]+?)\s*;?(?: do)?", line)
        if head:
            loops.append((head[1], head[2].split(), []))
        elif re.match(r"(for|while|until)\s", line):
            loops.append(("", [""], []))  # over what cannot be read: its calls count once, as they stand
        elif re.match(r"done\b", line) and loops:
            name, words, body = loops.pop()
            unrolled = [
                Call(c.helper, tuple(a.replace(f"${{{name}}}", word) for a in c.arguments))
                for word in words
                for c in body
            ]
            (loops[-1][2] if loops else calls).extend(unrolled)
        elif line.startswith("lb "):
            helper, *arguments = line.split()[1:]
            plain = tuple(a.replace('"', "") for a in arguments if a != '"${@}"')
            (loops[-1][2] if loops else calls).append(Call(helper.replace('"', "") or helper, plain))
    for _, _, body in loops:  # never ended: better known than left out
        calls += body
    return tuple(calls)


def place(calls: Sequence[Call], places: Mapping[str, str | None], *, script: str) -> dict[str, tuple[Call, ...]]:
    """Sort a stage's calls into the steps that make them: step -> calls in order.

    Raises PipelineError for a helper that has no place, and for a stage script without any.
    """
    unknown = sorted({c.helper for c in calls if c.helper not in places})
    if unknown:
        raise PipelineError(
            f"calls helpers this version does not know: {', '.join(unknown)}",
            where=script,
            hint="use the live-build of another suite (tool_suite in image-builder.yaml), or a newer image-builder",
        )
    if not calls:
        raise PipelineError("calls no helper at all: is this live-build?", where=script)
    steps: dict[str, list[Call]] = {}
    for call in calls:
        step = places[call.helper]
        if step is not None:
            steps.setdefault(step, []).append(call)
    return {step: tuple(made) for step, made in steps.items()}
