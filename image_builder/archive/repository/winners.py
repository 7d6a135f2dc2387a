"""Which file is offered under a binary name: a function of what there is and of the flags, never of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from image_builder.archive.repository.names import package_file, split_import


@dataclass(frozen=True, slots=True)
class Provider:
    """A file that could be offered under a name."""

    name: str  # of the binary package
    source: str
    file: str  # in the source's folder of results: "foo_1_amd64.deb", "::import::amd64::foo-doc_1_all.deb"
    inode: int  # of the file
    meta_inode: int  # of the record that tells where it came from
    layer: int = 0  # which of the repository's results it is in

    @property
    def origin(self) -> str:
        """The architecture that delivered it; "" for a native file."""
        return split_import(self.file)[0]

    @property
    def suffix(self) -> str:
        """ ".deb", ".udeb"."""
        return self.file[self.file.rindex(".") :]

    @property
    def rank(self) -> tuple[str, bool, str]:
        """The lowest is offered: the first source by its name, native before imported, the first file by its name."""
        return self.source, self.origin != "", self.file


def provider(source: str, file: str, inode: int, meta_inode: int) -> Provider | None:
    """None for a file that is no binary package: logs, .buildinfo and source packages are never offered."""
    said = package_file(split_import(file)[1])
    return None if said is None else Provider(said.name, source, file, inode, meta_inode)


def winners(providers: Iterable[Provider], enabled: Callable[[str], bool]) -> dict[str, Provider]:
    """For each name the one that is offered.

    enabled: whether results of a source are offered to builds at all (useforbuild).
    """
    found: dict[str, Provider] = {}
    known: dict[str, bool] = {}
    for one in providers:
        if one.source not in known:
            known[one.source] = enabled(one.source)
        if known[one.source] and ((other := found.get(one.name)) is None or one.rank < other.rank):
            found[one.name] = one
    return found


def expected(offered: Iterable[Provider]) -> dict[str, int]:
    """What the tree holds: name of the link -> inode it leads to. NAME.deb is the package, NAME.meta its record."""
    tree: dict[str, int] = {}
    for one in offered:
        tree[one.name + one.suffix] = one.inode
        tree[f"{one.name}.meta"] = one.meta_inode
    return tree
