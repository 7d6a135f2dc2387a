"""Packages a build brings along (config/packages.chroot), as the small archive live-build makes of them."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

from image_builder.apt.lists import copy_lists, list_name, place
from image_builder.apt.solve import INSIDE, Bind, Context
from image_builder.scratch import scratch
from proxy.archive.sources import Source

URI = "file:/packages"  # where live-build puts them in the root: chroot_archives


def with_local_packages(ctx: Context, folder: Path) -> Context:
    """The same choice, with the .deb files of this folder among it, before every other archive.

    The index is made by apt-ftparchive in the tool root. Files for other architectures are left out, as live-build
    leaves them out. A folder without packages changes nothing.
    """
    debs = sorted(path for part in (ctx.architecture, "all") for path in folder.glob(f"*_{part}.deb"))
    if not debs:
        return ctx
    with scratch(ctx.cache) as private:
        for deb in debs:
            shutil.copy2(deb, private / deb.name)  # a link would not survive where it is bound
        bind = [Bind(private, INSIDE, read_only=True)]
        index = ctx.run_in_root(["sh", "-ec", f"cd {INSIDE} && apt-ftparchive packages ."], bind)
    return replace(ctx, lists=_lists_with(ctx, index), sources=(local_source(ctx.architecture), *ctx.sources))


def local_source(architecture: str) -> Source:
    return Source(URI, "./", (), (architecture,), trusted=True)


def _lists_with(ctx: Context, index: str) -> Path:
    source = local_source(ctx.architecture)
    data = index.encode()
    release = (
        f"Date: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n {hashlib.sha256(data).hexdigest()} {len(data)} Packages\n"
    )
    digest = hashlib.sha256(f"{ctx.lists.name}\n{index}".encode()).hexdigest()[:32]
    folder = ctx.lists.with_name(digest)
    if folder.is_dir():
        return folder
    with scratch(ctx.cache) as temporary:
        copy_lists(ctx.lists, temporary)
        (temporary / list_name(source.top + "Packages")).write_bytes(data)
        (temporary / list_name(source.top + "Release")).write_text(release)
        place(temporary, folder)
    return folder
