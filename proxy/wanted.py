"""What to fetch beforehand: a frozen set's metadata, packages by name with what they need, or all of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from proxy.archive import indices
from proxy.archive.closure import Known
from proxy.archive.frozen import Entry, FrozenSet, Refusal
from proxy.archive.urls import split_uri

LANGUAGES = ("en",)  # apt asks for the descriptions in English unless told otherwise
_FORMS = (*indices.READABLE[:-1], ".zst", ".lz4", ".lzma", "")


@dataclass(frozen=True)
class Item:
    """One file to fetch, and its names in the mirror's folder: "HOST/BASE/path", indices by hash as well."""

    entry: Entry
    places: tuple[str, ...]


@dataclass
class Wanted:
    """Files to fetch, and what was asked for and nothing frozen has: (what, why)."""

    items: list[Item] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Wanted) -> None:
        self.items += other.items
        self.unknown += other.unknown


def metadata(
    frozen: FrozenSet, *, languages: Sequence[str] = LANGUAGES, sources: bool = False, extra: Sequence[str] = ()
) -> Wanted:
    """What `apt-get update` reads: the Release files, and each index in the form apt would take first.

    sources: the Sources indices too. extra: regular expressions for further names of a Release: "/Contents-amd64".
    """
    found = Wanted()
    for suite in frozen.suites():
        lists = [v[0] for v in frozen.lists(suite.archive) if v[0].top == suite.top]
        components = {one.name.removeprefix(suite.top).split("/")[0] for one in lists if one.wanted and "/" in one.name}
        plain = {one.name for one in lists if one.wanted}
        plain |= {f"{suite.top}{c}/i18n/Translation-{language}" for c in components for language in languages}
        if sources:
            plain |= {one.name for one in lists if indices.kind_of(one.name) == "sources"}
        taken: set[str] = set()
        for entry in sorted(frozen.release_names(suite), key=lambda entry: _form(entry.path)):
            name = _plain(entry.path)
            if entry.kind != "release":
                if name in taken or not (name in plain or any(re.search(one, entry.path) for one in extra)):
                    continue
                taken.add(name)
            found.items.append(_item(frozen, entry))
    return found


def packages(frozen: FrozenSet, names: Iterable[str], *, needs: bool = True) -> Wanted:
    """The packages of these names: "name", "name=version", "name:architecture"; every version that is frozen.

    needs: with what they depend on, see Known. Raises PipelineError for an index that is not in the store.
    """
    known = Known()
    for suite in frozen.suites():
        for path, name in frozen.wanted_indices(suite):
            known.read(suite.archive, path, name)
    files, unknown = known.closure(names, needs=needs)
    found = Wanted(unknown=[(name, "no frozen index has it") for name in unknown])
    for archive, file in files:
        entry = frozen.named(archive, file)
        if isinstance(entry, Entry):
            found.items.append(_item(frozen, entry))
        else:
            found.unknown.append((file, entry.reason if entry else "no frozen index has it"))
    return found


def everything(frozen: FrozenSet) -> Wanted:
    """Every package of what is pinned. Raises PipelineError for an index that is not in the store."""
    return Wanted([_item(frozen, entry) for suite in frozen.suites() for entry in frozen.index_names(suite)])


def by_address(frozen: FrozenSet, files: Iterable[tuple[str, str]]) -> Wanted:
    """The files of a plan: (address, SHA-256). One that the frozen set has not, or otherwise, is unknown."""
    found = Wanted()
    for uri, sha256 in files:
        answer = frozen.find(uri)
        if isinstance(answer, Refusal):
            found.unknown.append((uri, answer.reason))
        elif answer.sha256 != sha256:
            found.unknown.append((uri, f"the frozen set has {answer.sha256} there, not {sha256}"))
        else:
            found.items.append(_item(frozen, answer))
    return found


def _item(frozen: FrozenSet, entry: Entry) -> Item:
    host, base = split_uri(frozen.uri(entry.archive))
    top = f"{host or 'localhost'}{base}"
    places = [f"{top}{entry.path}"]
    if entry.kind == "index":
        folder = entry.path.rpartition("/")[0]
        places.append(f"{top}{folder}{'/' if folder else ''}by-hash/SHA256/{entry.sha256}")
    return Item(entry, tuple(places))


def _plain(path: str) -> str:
    return path.removesuffix(next(form for form in _FORMS if path.endswith(form)))


def _form(path: str) -> int:
    return next(number for number, form in enumerate(_FORMS) if path.endswith(form))
