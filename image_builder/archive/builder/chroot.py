"""The tarball of the chroot that packages are built in: from the store, else made by mmdebstrap in the builder's root.

It is made anew when a package that is in it was rebuilt or brought by the user, and for no other result: what else
changes in the repository is no part of it.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from image_builder.archive.builder import recipe
from image_builder.archive.builder.assignment import Assignment
from image_builder.archive.builder.root import BuilderRoot
from image_builder.archive.model import Base
from image_builder.build.network import View
from image_builder.errors import CommandError
from image_builder.layers import Layer, Store
from image_builder.sandbox import Sandbox, execute

TARBALL = "chroot.tar"
TIMEOUT_S = 1800.0


@dataclass
class Chroots:
    """Those of one machine. say: a line for whoever watches."""

    store: Store
    root: BuilderRoot
    say: Callable[[str], None]
    cancel: threading.Event

    def tarball(self, assignment: Assignment, view: View, log: Path) -> Path:
        """Of this assignment. Others who want the same one wait while it is made. Raises CommandError."""
        plain = key(assignment.model_copy(update={"base": Base.OLD}), self.root.digest, ())
        built = assignment.base == Base.BUILT
        known = self.store.recall("chroot-packages", plain)
        if known is None and not built:
            self._found_or_made(plain, assignment, view, log, changed=False)
            known = self.store.recall("chroot-packages", plain)
        names = None if known is None else frozenset(known)
        indices = [one.folder / "Packages" for one, _ in recipe.offered(assignment)]
        changed = [paragraph for index in indices for paragraph in paragraphs(index, names)]
        wanted = key(assignment, self.root.digest, changed)
        return self._found_or_made(wanted, assignment, view, log, changed=built or bool(changed))

    def _found_or_made(self, wanted: str, assignment: Assignment, view: View, log: Path, *, changed: bool) -> Path:
        with self.store.building(wanted) as place:
            if isinstance(place, Layer):
                return place.diff / TARBALL
            self.say(f"making the chroot for {assignment.suite} on {assignment.build_architecture}")
            sandbox = Sandbox(
                root=self.root.path,
                upper=place.diff,
                binds=view.binds,
                network=view.handle,
                environment={"SOURCE_DATE_EPOCH": str(assignment.epoch)},
                tmpfs=(f"{recipe.TOP}/tmp",),
            )
            lines = "\n".join(recipe.bootstrap_lines(assignment, changed=changed))
            bootstrap = recipe.bootstrap(assignment, f"{recipe.TOP}/{TARBALL}", changed=changed)
            script = f"printf '%s\\n' \"$1\" | TMPDIR={recipe.TOP}/tmp {bootstrap}"
            outcome = execute(
                sandbox, ["sh", "-c", script, "sh", lines], log=log, timeout_s=TIMEOUT_S, cancel=self.cancel
            )
            if outcome.exit_status != 0:
                said = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise CommandError(
                    f"mmdebstrap ended with {outcome.exit_status}:\n{said}", where=f"the whole log: {log}"
                )
            listed = place.diff / Path(recipe.LISTED).name
            names = sorted(set(listed.read_text().split()))
            listed.unlink()
            name = f"chroot for {assignment.suite} on {assignment.build_architecture}"
            made = place.commit({"kind": "chroot", "name": name}).diff / TARBALL
        plain = key(assignment.model_copy(update={"base": Base.OLD}), self.root.digest, ())
        self.store.remember("chroot-packages", plain, names)
        return made


def key(assignment: Assignment, root: str, changed: Collection[str]) -> str:
    """SHA-256 of all that can change the chroot: the archive's instant, the toolchain, and what in it was rebuilt.

    changed: paragraphs of what is offered beside the archive. Where there are none, it is made of the archive alone,
    and is the same for all passes but one that builds against results only.
    """
    pins = [pin.inrelease_sha256 for pin in assignment.pins]
    only = assignment.base == Base.BUILT
    said = ["chroot", root, pins, *recipe.chroot_inputs(assignment, changed=only or bool(changed)), *sorted(changed)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def paragraphs(index: Path, names: Collection[str] | None) -> Iterator[str]:
    """Those of a Packages file that are of these packages, or all; 100 MB take a second."""
    for paragraph in index.read_text(encoding="utf-8", errors="surrogateescape").split("\n\n"):
        first, _, _ = paragraph.lstrip("\n").partition("\n")
        if first and (names is None or first.removeprefix("Package: ") in names):
            yield paragraph.strip("\n")
