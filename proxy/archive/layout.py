"""Which of an archive's indices may name a file, told from the names alone."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.archive.indices import kind_of


@dataclass(frozen=True)
class Listed:
    """An index of a frozen Release that names further files; one per compression."""

    archive: int
    name: str  # below the archive's address, without compression
    path: str
    top: str
    sha256: str
    size_bytes: int
    wanted: bool  # of the components and architectures that were pinned


@dataclass(frozen=True)
class Layout:
    """How an archive is divided."""

    components: frozenset[str]
    architectures: frozenset[str]  # of what is pinned

    @classmethod
    def of(cls, known: list[tuple[Listed, ...]]) -> Layout:
        parts = [(v[0], v[0].name.removeprefix(v[0].top).split("/")) for v in known]
        return cls(
            frozenset(words[0] for _, words in parts if len(words) > 1),
            frozenset(word.removeprefix("binary-") for one, words in parts if one.wanted for word in words),
        )


def may_name(listed: Listed, path: str, layout: Layout) -> bool:
    """Whether an index that nobody has asked for may name a file: fetching all of an archive's would take minutes."""
    kind = kind_of(listed.name)
    if kind == "checksums":
        return path.startswith(listed.name.rpartition("/")[0] + "/")
    if path.startswith("dists/"):
        return False
    parts = listed.name.removeprefix(listed.top).split("/")
    folders = set(path.split("/"))
    if len(parts) > 1 and parts[0] not in folders and not layout.components.isdisjoint(folders):
        return False
    is_binary = path.endswith((".deb", ".udeb", ".ddeb"))
    if kind == "sources" or not is_binary:
        return kind == "sources" and not is_binary
    if len(parts) > 1 and path.endswith(".udeb") != ("debian-installer" in parts):
        return False
    architecture = path.rpartition("_")[2].partition(".")[0]
    own = next((part.removeprefix("binary-") for part in parts if part.startswith("binary-")), architecture)
    if architecture == "all":
        return own == "all" or own in layout.architectures
    return own == architecture
