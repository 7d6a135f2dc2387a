"""Carries out one assignment: makes its chroot if need be, runs sbuild over it, leaves results and log in a folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from image_builder.archive.builder import recipe
from image_builder.archive.builder.assignment import AptSource, Assignment, NetworkHandle, SourceFile
from image_builder.archive.builder.root import BuilderRoot
from image_builder.archive.pinned import Pinned
from image_builder.build.network import PinnedNetwork, View
from image_builder.build.progress import Progress
from image_builder.errors import CommandError
from image_builder.layers import Layer, Store
from image_builder.sandbox import Bind, Outcome, Sandbox, execute
from proxy.archive.sources import Source

LOG = "log"
RESULTS = "results"
TREE = "tree"  # the sandbox's work tree; gone at the end but for the results
CHROOT_TIMEOUT_S = 1800.0


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
        sources = [fetched(pinned, assignment, file) for file in assignment.files]
        with network(assignment.network, pinned, folder / "network", self.cancel) as view:
            chroot = self._chroot(assignment, view, log)
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
            binds=[Bind(chroot, recipe.CHROOT), *_repository(assignment), *view.binds],
            network=view.handle,
            environment={"SBUILD_CONFIG": recipe.CONFIGURATION, "TMPDIR": f"{recipe.TOP}/tmp"},
            hostname="builder",
            tmpfs=(f"{recipe.TOP}/tmp",) if assignment.in_memory else (),
            nests=True,
        )
        self.say(f"{assignment.source}: building {assignment.version}")
        return execute(sandbox, ["sh", "-c", command], log=log, timeout_s=assignment.time_limit_s, cancel=self.cancel)

    def _chroot(self, assignment: Assignment, view: View, log: Path) -> Path:
        """The tarball of the chroot: from the store, else made now. Others who want the same one wait for it."""
        with self.store.building(chroot_key(assignment, self.root)) as place:
            if isinstance(place, Layer):
                return place.diff / "chroot.tar"
            self.say(f"making the chroot for {assignment.suite} on {assignment.build_architecture}")
            sandbox = Sandbox(
                root=self.root.path,
                upper=place.diff,
                binds=[*_repository(assignment), *view.binds],
                network=view.handle,
                environment={"SOURCE_DATE_EPOCH": str(assignment.epoch)},
                tmpfs=(f"{recipe.TOP}/tmp",),
            )
            lines = "\n".join(recipe.source_lines(assignment))
            script = f"printf '%s\\n' \"$1\" | TMPDIR={recipe.TOP}/tmp " + recipe.bootstrap(assignment, recipe.CHROOT)
            outcome = execute(
                sandbox, ["sh", "-c", script, "sh", lines], log=log, timeout_s=CHROOT_TIMEOUT_S, cancel=self.cancel
            )
            if outcome.exit_status != 0:
                said = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise CommandError(
                    f"mmdebstrap ended with {outcome.exit_status}:\n{said}", where=f"the whole log: {log}"
                )
            name = f"chroot for {assignment.suite} on {assignment.build_architecture}"
            return place.commit({"kind": "chroot", "name": name}).diff / "chroot.tar"


def chroot_key(assignment: Assignment, root: BuilderRoot) -> str:
    """SHA-256 of all that can change the chroot: the archive's instant and that of the repository built so far."""
    pins = [pin.inrelease_sha256 for pin in assignment.pins]
    built = ""
    if assignment.base != "old" and assignment.repository is not None:
        built = hashlib.sha256((assignment.repository.folder / "Release").read_bytes()).hexdigest()
    said = ["chroot", root.digest, pins, built, *recipe.chroot_inputs(assignment)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


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


def _repository(assignment: Assignment) -> list[Bind]:
    if assignment.repository is None or assignment.base == "old":
        return []
    return [Bind(assignment.repository.folder, recipe.REPOSITORY)]


def _lay_out(tree: Path, assignment: Assignment, sources: list[Path]) -> None:
    for name in ("source", RESULTS, "tmp", "home"):
        (tree / name).mkdir(parents=True)
    for file, path in zip(assignment.files, sources, strict=True):
        shutil.copyfile(path, tree / "source" / file.name)
    if assignment.tree is not None:
        shutil.copytree(assignment.tree, tree / "source/tree", symlinks=True, ignore=shutil.ignore_patterns(".git"))
    (tree / "sbuild.pl").write_text(recipe.configuration(assignment), encoding="utf-8")
