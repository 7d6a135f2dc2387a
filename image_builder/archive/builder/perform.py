"""Carries out one assignment: makes its chroot if need be, runs sbuild over it, leaves results and log in a folder."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from image_builder.archive.builder import recipe
from image_builder.archive.builder.assignment import AptSource, Assignment, NetworkHandle, SourceFile
from image_builder.archive.builder.chroot import Chroots
from image_builder.archive.builder.root import BuilderRoot
from image_builder.archive.builder.tree import copied
from image_builder.archive.pinned import Pinned
from image_builder.build.network import PinnedNetwork, View
from image_builder.build.progress import Progress
from image_builder.errors import SurroundingsError
from image_builder.layers import Store
from image_builder.sandbox import Bind, Outcome, Sandbox, execute
from proxy.archive.sources import Source
from proxy.store.upkeep import in_use

LOG = "log"
RESULTS = "results"
TREE = "tree"  # the sandbox's work tree; gone at the end but for the results


@dataclass
class Builder:
    """One machine's means to build. say: a line for whoever watches."""

    store: Store
    root: BuilderRoot
    say: Callable[[str], None]
    cancel: threading.Event

    def build(self, assignment: Assignment, folder: Path) -> Outcome:
        """Build it in folder: `log` is sbuild's, `results/` has what it made. The outcome's status is sbuild's.

        Raises PipelineError for what went wrong before sbuild was started: SurroundingsError, CommandError.
        """
        log = folder / LOG
        pinned = pinned_of(assignment)
        self.say(f"{assignment.source}: fetching its source")
        settings = settings_of_apt(assignment, folder / "apt")
        with (
            in_use(pinned.blobs, pinned.frozen_set()),  # who has ordered it may be gone before it ends
            network(assignment.network, pinned, folder / "network", self.cancel) as outside,
        ):
            repositories = [Bind(one.folder, at) for one, at in recipe.offered(assignment)]
            sources = [fetched(pinned, assignment, file) for file in assignment.files]
            view = replace(outside, binds=(*outside.binds, settings, *repositories))
            chroot = Chroots(self.store, self.root, self.say, self.cancel).tarball(assignment, view, log)
            tree = folder / TREE
            try:
                _lay_out(tree, assignment, sources)
                outcome = self._sbuild(assignment, view, chroot, tree, log)
                results = tree / RESULTS
                results.rename(folder / RESULTS)
            finally:
                shutil.rmtree(tree, ignore_errors=True)
        return outcome

    def _sbuild(self, assignment: Assignment, view: View, chroot: Path, tree: Path, log: Path) -> Outcome:
        command = recipe.shell_line(assignment)
        sandbox = Sandbox(
            root=self.root.path,
            upper=tree,
            binds=[Bind(chroot, recipe.CHROOT), *view.binds],
            network=view.handle,
            environment={"SBUILD_CONFIG": recipe.CONFIGURATION, "TMPDIR": f"{recipe.TOP}/tmp"},
            hostname="builder",
            memory_bytes=assignment.memory_limit_bytes,
            tmpfs=(f"{recipe.TOP}/tmp",) if assignment.in_memory else (),
            nests=True,
        )
        self.say(f"{assignment.source}: building {assignment.version}")
        return execute(sandbox, ["sh", "-c", command], log=log, timeout_s=assignment.time_limit_s, cancel=self.cancel)


def pinned_of(assignment: Assignment) -> Pinned:
    """The archives it may read, as its lock has them."""
    sources = [_source(one, assignment) for one in assignment.sources]
    cache = Store(assignment.store).downloads()
    return Pinned(sources, assignment.pins, keyring=assignment.keyring, cache=cache)


def fetched(pinned: Pinned, assignment: Assignment, file: SourceFile) -> Path:
    """A file of the source package, checked against its hash."""
    if assignment.folder is not None:
        return pinned.blobs.take(assignment.folder / file.path, file.sha256, file.size_bytes)
    return pinned.fetch(file.path, file.sha256, file.size_bytes)


@contextmanager
def network(handle: NetworkHandle | None, pinned: Pinned, folder: Path, cancel: threading.Event) -> Iterator[View]:
    """The namespace it was handed, or one of its own for as long as it takes. folder: for the proxy's journal."""
    if handle is not None:
        yield View(handle.handle, tuple(Bind(path, target) for target, path in handle.files.items()))
        return
    with PinnedNetwork(pinned, folder, Progress(quiet=True), cancel) as own:
        yield own.view()
        own.check()


def _source(one: AptSource, assignment: Assignment) -> Source:
    architectures = (assignment.build_architecture,)
    return Source(one.uri, one.suite, one.components, architectures, one.signed_by, one.trusted, source_packages=True)


def settings_of_apt(assignment: Assignment, folder: Path) -> Bind:
    """What apt in the chroot reads: sources, preferences, and the keys, which it reads as another user."""
    (folder / "keys").mkdir(parents=True)
    for path in {path for source in assignment.sources for path in source.signed_by}:
        try:
            (folder / "keys" / recipe.key_name(path)).write_bytes(path.read_bytes())
        except OSError as e:
            raise SurroundingsError(f"the keys of a source cannot be read: {e.strerror or e}", where=path) from e
    lines = "".join(f"{line}\n" for line in recipe.source_lines(assignment))
    (folder / Path(recipe.SOURCES).name).write_text(lines, encoding="utf-8")
    (folder / Path(recipe.PREFERENCES).name).write_text(recipe.preferences(assignment), encoding="utf-8")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return Bind(folder, recipe.APT)


def _lay_out(tree: Path, assignment: Assignment, sources: list[Path]) -> None:
    for name in ("source", RESULTS, "tmp", "home"):
        (tree / name).mkdir(parents=True)
    for file, path in zip(assignment.files, sources, strict=True):
        shutil.copyfile(path, tree / "source" / file.name)
    if assignment.tree is not None:
        copied(assignment.tree, tree / "source", assignment.epoch)
    (tree / "sbuild.pl").write_text(recipe.configuration(assignment), encoding="utf-8")
