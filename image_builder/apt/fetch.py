"""Fetching the packages of a solution beforehand, and laying them where apt looks for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from image_builder.apt.solution import Package
from proxy.blobs import Blobs

Progress = Callable[[int, int], None]  # (bytes that are there, bytes in all); called from several threads


def prefetch(
    packages: Sequence[Package],
    store: Blobs,
    *,
    jobs: int = 4,
    progress: Progress | None = None,
    addresses: Callable[[str], list[str]] = lambda uri: [uri],
) -> int:
    """Fetch what the store does not have yet; returns how many bytes that were.

    addresses: from a package's own address to all those to try, best first.

    Stopped at any moment, the next call goes on with the first package that is not whole. The first failure
    ends the rest. Raises like Blobs.fetch. Packages that lie in the root itself (file:/packages) are left out.
    """
    wanted = {p.sha256: p for p in packages if not p.uri.startswith("file:/packages/")}
    missing = [p for p in wanted.values() if not store.has(p.sha256, p.size_bytes)]
    for sha256 in wanted:
        store.use(sha256)
    # The largest first: at the end no thread is left alone with a big one.
    missing.sort(key=lambda p: (-p.size_bytes, p.name))
    total = sum(p.size_bytes for p in wanted.values())
    there = total - sum(p.size_bytes for p in missing)
    if progress:
        progress(there, total)
    if not missing:
        return 0
    pool = ThreadPoolExecutor(jobs)
    try:
        running = {pool.submit(store.fetch, addresses(p.uri), p.sha256, p.size_bytes): p for p in missing}
        waiting = set(running)
        while waiting:
            done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_EXCEPTION)
            for one in done:
                one.result()
                there += running[one].size_bytes
            if progress and done:
                progress(there, total)
    finally:
        pool.shutdown(cancel_futures=True)
    return sum(p.size_bytes for p in missing)


def archives_folder(packages: Sequence[Package], store: Blobs, folder: Path) -> Path:
    """Fill a folder that can be bound at /var/cache/apt/archives: apt then downloads nothing of these packages.

    Links where the file system allows it, so that it costs no space; apt checks size and hash and never writes
    into a .deb, but removes it (apt-get clean), which leaves the store's own.
    """
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    for package in packages:
        target = folder / package.deb
        if target.exists() or not store.has(package.sha256, package.size_bytes):
            continue
        try:
            os.link(store.path(package.sha256), target)
        except OSError:
            shutil.copy2(store.path(package.sha256), target)
    return folder
