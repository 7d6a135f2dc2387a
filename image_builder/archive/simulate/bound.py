"""The least time a run could have taken with what happened in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from image_builder.archive.order import Graph, remaining


@dataclass(frozen=True)
class Bound:
    """Seconds. critical: the longest chain of builds, each with all its attempts. work: all attempts over all slots."""

    critical: float
    work: float

    @property
    def seconds(self) -> float:
        """What no order can go below."""
        return max(self.critical, self.work)


def lower_bound(graph: Graph, own_seconds: Mapping[str, float], slot_seconds: float, slots: int) -> Bound:
    """own_seconds: source -> of all attempts at it, which cannot overlap. slot_seconds: that slots were taken."""
    ways = remaining(graph, own_seconds)
    return Bound(max(ways.values(), default=0.0), slot_seconds / slots)
