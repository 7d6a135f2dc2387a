"""A database as it is at one moment, read piece by piece as the pages ask for it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from image_builder.archive.database.records import Run
from image_builder.archive.database.views import View
from image_builder.archive.pages import addresses, reading, search
from image_builder.archive.pages.graph import Graph, graph
from image_builder.archive.pages.reading import Place
from image_builder.archive.pages.ties import Ties, read_ties
from image_builder.archive.pages.timeline import timeline
from image_builder.archive.states import State


class Survey:
    """What many pages need. Each piece is read once, whoever asks for it first."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._ties: dict[Place, Ties] = {}
        self._graphs: dict[int, Graph | None] = {}
        self._lock = threading.RLock()

    @cached_property
    def runs(self) -> list[Run]:
        """The newest first."""
        return self.view.runs()[::-1]

    @cached_property
    def everywhere(self) -> list[tuple[Run, Place]]:
        """All places of all runs, the newest run first."""
        with self._lock:
            return [(run, place) for run in self.runs for place in reading.places(self.view, run)]

    @cached_property
    def known(self) -> list[search.Known]:
        """All sources, as they are found."""
        with self._lock:
            places = (place for _, place in self.everywhere)
            return search.index([(place, reading.everybody(self.view, place)) for place in places])

    @cached_property
    def sources(self) -> dict[str, str]:
        """The page of each source → its name."""
        with self._lock:
            return {addresses.package(name): name for name in reading.sources(self.view)}

    @cached_property
    def prefixes(self) -> Sequence[str]:
        """The parts of the pool there are, by name."""
        return sorted({addresses.prefix(name) for name in self.sources.values()})

    def ties(self, place: Place) -> Ties:
        """Who waits for whom in one place."""
        with self._lock:
            if place not in self._ties:
                self._ties[place] = read_ties(self.view, place)
            return self._ties[place]

    def graph(self, run: Run) -> Graph | None:
        """The states of a run over time; None where there is nothing to draw."""
        with self._lock:
            if run.identity not in self._graphs:
                now: Counter[State] = Counter()
                for counts in self.view.counts(run.identity).values():
                    now.update(counts)
                moments = timeline(reading.moves_of(self.view, run), now, run.started)
                self._graphs[run.identity] = graph(moments)
            return self._graphs[run.identity]
