"""Results of several stages looked at as one: of what a source delivers, the last stage that delivered it counts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from image_builder.archive.repository.full import Changes, identity, scan
from image_builder.archive.repository.imports import Listing, bring_imports
from image_builder.archive.repository.names import import_name
from image_builder.archive.repository.winners import Provider, provider
from image_builder.archive.results import RECORD, SOURCE, Results


class Layered:
    """layers: the last one counts before those named earlier, source by source and delivery by delivery.

    A delivery is what one architecture's build of a source made, so that a native build in a later stage leaves what
    was built for all in an earlier one. Nothing is copied: hard links and records stay those of the stages.
    """

    def __init__(self, layers: Sequence[Results]) -> None:
        self.layers = tuple(layers)

    @contextmanager
    def locked(self, suite: str) -> Iterator[None]:
        """Nothing of a suite changes in any layer for the length of the block."""
        with ExitStack() as stack:
            # In one order for everybody, whatever a view puts first: two views never wait for each other.
            for results in sorted(self.layers, key=lambda one: one.folder):
                stack.enter_context(results.locked(suite))
            yield

    def place(self, suite: str, architecture: str, one: Provider) -> Path:
        """The folder of results a provider's file lies in."""
        return self.layers[one.layer].folder / suite / architecture / one.source

    def architectures(self, suite: str) -> set[str]:
        """Those something was delivered for; sources left out."""
        return {name for results in self.layers for name in results.architectures(suite)} - {SOURCE}

    def sources(self, suite: str, architecture: str) -> list[str]:
        """Those with a folder in any layer."""
        return sorted({name for results in self.layers for name in results.sources(suite, architecture)})

    def identities(self, suite: str, architecture: str) -> dict[str, str]:
        """Source -> a text that changes whenever one of its folders does."""
        found: dict[str, str] = {}
        for layer, results in enumerate(self.layers):
            here = _identities(results.folder / suite / architecture, layer)
            for source, said in here.items() if found else ():
                found[source] = found.get(source, "") + said
            found = found or here
        return found

    def identity(self, suite: str, architecture: str, source: str) -> str:
        """The same of one source; "" for one without a folder."""
        said = (identity(f"{results.folder}/{suite}/{architecture}/{source}") for results in self.layers)
        return "".join(f"{layer}={text};" for layer, text in enumerate(said) if text)

    def listings(self, suite: str, source: str) -> dict[str, list[Listing]]:
        """Architecture -> what is in the source's folder in each layer: names -> inode."""
        folders = [f"{results.folder}/{suite}" for results in self.layers]
        return {name: [scan(f"{top}/{name}/{source}") for top in folders] for name in self.architectures(suite)}

    def bring_imports(
        self, suite: str, source: str, receivers: Sequence[str], names: Sequence[str]
    ) -> tuple[Changes, dict[str, list[Listing]]]:
        """Hand round within each layer what is for all architectures; return architecture -> its listings after it."""
        done = Changes()
        found: dict[str, list[Listing]] = {name: [] for name in names}
        for results in self.layers:
            top = results.folder / suite
            folders = {name: scan(f"{top}/{name}/{source}") for name in names}
            done += bring_imports(top, source, receivers, folders)
            for name in names:
                found[name].append(folders[name])
        return done, found


def providers(source: str, architecture: str, folders: Mapping[str, Sequence[Listing]]) -> Iterator[Provider]:
    """What a source gives to an architecture, of each delivery the last layer's.

    folders: architecture -> what the source's folder of that architecture holds, by layer.
    """
    hidden: set[str] = set()  # origins that a later layer has a delivery of
    for layer, listing in reversed(list(enumerate(folders[architecture]))):
        for file, inode in listing.items():
            one = provider(source, file, inode, 0)
            if one is not None and one.origin not in hidden and (meta := listing.get(record(one.origin))) is not None:
                yield Provider(one.name, source, file, inode, meta, layer)
        if layer:
            delivered = {name for name, listings in folders.items() if RECORD in listings[layer]}
            hidden |= {"" if name == architecture else name for name in delivered}


def record(origin: str) -> str:
    """The name of the record of what an architecture delivered; "": the native result's."""
    return import_name(origin, RECORD) if origin else RECORD


def _identities(folder: Path, layer: int) -> dict[str, str]:
    try:
        with os.scandir(folder) as entries:
            found = {}
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                found[entry.name] = f"{layer}={status.st_ino}:{status.st_mtime_ns}:{status.st_ctime_ns};"
            return found
    except (FileNotFoundError, NotADirectoryError):
        return {}
