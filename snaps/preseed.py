"""snap-preseed: do the work of snapd's first boot in the root already, where its snapd can and the host lets it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from image_builder.errors import PipelineError
from image_builder.run import run

TOOL = Path("usr/lib/snapd/snap-preseed")
STATE = Path("var/lib/snapd/state.json")
FEATURES = Path("sys/kernel/security/apparmor/features")
TIMEOUT_S = 1800.0

# In a mount namespace of its own: what it mounts is gone with it, however it ends.
_SCRIPT = """\
mount -t proc proc "$1/proc"
mount -t sysfs sysfs "$1/sys"
mount --bind /dev "$1/dev"
[ ! -d "$1/sys/kernel/security" ] || mount -t securityfs securityfs "$1/sys/kernel/security"
[ ! -e "$1/$3" ] || "$1/$2" --reset "$1"
exec "$1/$2" "$1"
"""


@dataclass(frozen=True)
class Outcome:
    """done: the root is preseeded. why: the reason where it is not, in words for the user and the record."""

    done: bool
    why: str


def obstacle(root: Path, host: Path = Path("/")) -> str:
    """Why this root cannot be preseeded on this host; "" if it can, as far as one can see."""
    if not (root / TOOL).is_file():
        return f"the snapd of the root has no snap-preseed (/{TOOL}); the first boot takes longer"
    enabled = host / "sys/module/apparmor/parameters/enabled"
    try:
        on = enabled.read_text().strip() == "Y"
    except OSError:
        on = False
    if not on:
        return "the kernel of this host has no AppArmor, or not switched on, which snap-preseed needs"
    if not (host / FEATURES).is_dir():
        return f"the host does not show its AppArmor (/{FEATURES}): securityfs is not mounted"
    if not any((root / place).exists() for place in ("usr/bin/fusermount3", "bin/fusermount3")):
        return "the root has no fuse3, which snap-preseed needs to look into snaps"
    return ""


def preseed(root: Path, *, host: Path = Path("/")) -> Outcome:
    """Preseed the root if that can be done; needs root rights then. Raises CommandError if it was tried and failed.

    What it writes depends on the AppArmor of the host's kernel, so another host may make other bytes.
    """
    if why := obstacle(root, host):
        return Outcome(False, why)
    for place in ("proc", "sys", "dev"):
        if (root / place).is_symlink() or not (root / place).is_dir():
            raise PipelineError("is no plain folder; nothing is mounted there", where=root / place)
    run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-euc", _SCRIPT, "sh", root.resolve(), TOOL, STATE],
        hint="needs root; snap-preseed may leave a half-made state: give it a fresh root then, or leave it out",
        timeout_s=TIMEOUT_S,
    )
    if not (root / STATE).is_file():
        raise PipelineError(f"snap-preseed said it was done, but left no /{STATE}", where=root)
    return Outcome(True, "done with the AppArmor features of this host's kernel")
