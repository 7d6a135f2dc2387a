"""Finds what the newest build made for a target."""

from __future__ import annotations

from pathlib import Path

from image_builder.build.record import BuildRecord
from image_builder.errors import ConfigError

# The first a target has is the one to boot.
BOOTABLE = (".qcow2", ".iso", ".img", ".vmdk", ".vhd", ".ova", ".box", ".gce.tar.gz", ".img.xz", ".netboot.tar.gz")


def locate(target: str, *, builds: Path) -> Path:
    """The image of a target in builds/latest. Raises ConfigError naming the targets that are there."""
    folder = builds / "latest"
    record = BuildRecord.read(folder)
    if record is None:
        raise ConfigError("there is no build yet", where=builds, hint=f"image-builder build {target}")
    made = {t.name: [a.file for a in t.artefacts] for t in record.targets if t.status == "done"}
    if target not in made:
        raise ConfigError(
            f"the last build has no target {target!r}; it has {', '.join(made) or 'none'}",
            where=folder,
            hint=f"image-builder build {target}",
        )
    for suffix in BOOTABLE:
        for name in made[target]:
            if name.endswith(suffix):
                return folder / name
    raise ConfigError(
        f"{target} is nothing to boot: it made {', '.join(made[target]) or 'no file'}",
        where=folder,
        hint=f"bootable are files that end in {', '.join(BOOTABLE)}",
    )
