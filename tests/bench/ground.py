"""The folder a bench builds in: it goes at the end, and the next start removes what a kill left.

Everything runs with one tool root, which is there before the first run: it is an installed tool, not a result.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from report import Cost, measured

from image_builder.build.progress import Progress
from image_builder.build.tools import Maker
from image_builder.config import BuildConfig
from image_builder.errors import CommandError
from image_builder.layers import Store
from image_builder.live_build import tool_root
from image_builder.run import run
from image_builder.sandbox import Bind, Sandbox, execute

PREFIX = "image-builder-bench."


class Ground:
    """One folder to build in, and a tool root to build with."""

    def __init__(self, folder: Path, seed: Path, tools: tool_root.ToolRoot) -> None:
        self.folder, self._seed, self.tools = folder, seed, tools

    def cold_store(self, name: str) -> Path:
        """A new store that holds the tool root and nothing else."""
        store = self.folder / name
        for layer in (self._seed / "layers").iterdir():
            _copy_layer(layer, store / "layers" / layer.name)
        shutil.copytree(self._seed / "values/tool-root", store / "values/tool-root")  # and what it is made of
        return store

    def in_tool_root(self, folder: Path, script: str, on_line: Callable[[str], None] | None = None) -> Cost:
        """Run a shell script in a folder of the host, with the programs of the tool root and the host's network.

        on_line: gets what it prints. Raises CommandError when it fails.
        """
        sandbox = Sandbox(root=self.tools.path, binds=[Bind(folder, "/build", read_only=False)], work_tree="/work")
        log = folder.with_suffix(".log")
        command = ["sh", "-euc", f"cd /build\n{script}"]
        cost, outcome = measured(lambda: execute(sandbox, command, log=log, on_line=on_line))
        if outcome.exit_status:
            said = log.read_text(errors="replace")[-3000:]
            raise CommandError(f"exit {outcome.exit_status}\n{said}", where=script[:200])
        return cost

    def versions(self) -> dict[str, str]:
        """Of the programs that did the work."""
        lines = run(["dpkg-query", f"--admindir={self.tools.path}/var/lib/dpkg", "-W"]).splitlines()
        found = dict(line.split("\t") for line in lines)
        names = ("live-build", "debootstrap", "mmdebstrap", "squashfs-tools", "xz-utils", "qemu-utils")
        return {"tools": ", ".join(f"{n} {found[n]}" for n in names), "Python": platform.python_version()}


@contextmanager
def ground(work: Path, tools: Path | None) -> Iterator[Ground]:
    """A ground below `work`. tools: the store to take the tool root from (None: the usual one); one is made if it
    has none."""
    for left in work.glob(f"{PREFIX}*"):
        _remove_unless_held(left)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=work) as name:
        held = os.open(name, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            seed = Path(name) / "seed"
            yield Ground(Path(name), seed, _plant(seed, tools))
        finally:
            os.close(held)


def _plant(seed: Path, tools: Path | None) -> tool_root.ToolRoot:
    config = BuildConfig()
    with Store(tools or config.store) as theirs:
        layer = theirs.get(tool_root.recipe_key(config))
        if layer is not None:
            _copy_layer(layer.directory, seed / "layers" / layer.directory.name)
    with Store(seed) as store:
        maker = Maker(store, config, Progress(quiet=True))
        made = maker.of(maker.resolved(None))
        store.verify(deep=True)  # computes its digest if it has none yet, so that no build has to
        return made


def _copy_layer(source: Path, target: Path) -> None:
    """Copy a layer's folder: what is in the layer by hard links where that is possible."""
    target.mkdir(parents=True)
    for entry in source.iterdir():
        try:
            run(["cp", "-a", *(["--link"] if entry.name == "diff" else []), entry, target])
        except CommandError:  # another file system
            run(["cp", "-a", "--reflink=auto", "--force", entry, target])


def _remove_unless_held(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(BlockingIOError):  # another bench is at work there
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
    finally:
        os.close(descriptor)
