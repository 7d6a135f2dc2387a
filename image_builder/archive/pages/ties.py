"""Who makes what is missing in one suite and architecture of a run, and who misses it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from image_builder.archive.database.views import View
from image_builder.archive.pages.reading import Place, Standing, everybody, listed
from image_builder.archive.states import State
from image_builder.archive.waiting import missing


@dataclass(frozen=True, slots=True)
class Need:
    """A binary package that is missing, and the source that makes it, if one does."""

    name: str
    by: Standing | None


@dataclass(frozen=True)
class Ties:
    """Of all packages of a place. needs: binary packages that are missing; needed_by: sources that miss its own."""

    needs: Mapping[str, tuple[Need, ...]]
    needed_by: Mapping[str, tuple[str, ...]]


def ties(standing: Iterable[Standing], lacking: Mapping[str, tuple[str, ...]]) -> Ties:
    """lacking: source → names of the binary packages it misses."""
    makers = {binary: one for one in standing for binary in one.binaries.split()}
    needs = {source: tuple(Need(name, makers.get(name)) for name in names) for source, names in lacking.items()}
    needed_by: defaultdict[str, set[str]] = defaultdict(set)
    for source, missed in needs.items():
        for need in missed:
            if need.by is not None and need.by.source != source:
                needed_by[need.by.source].add(source)
    return Ties(needs, {source: tuple(sorted(others)) for source, others in needed_by.items()})


def read_ties(view: View, place: Place) -> Ties:
    """Look at all packages of a place."""
    lacking = {}
    for state in (State.BD_UNINSTALLABLE, State.DEP_WAIT):
        for row in listed(view, place, state):
            if names := missing(state, row.depends, row.chain):
                lacking[row.source] = names
    return ties(everybody(view, place), lacking)
