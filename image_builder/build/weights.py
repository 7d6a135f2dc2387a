"""How long a step is expected to take: as long as the last time, else as long as its kind usually does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from image_builder.plan.tree import Node

DEFAULT_SECONDS = {
    "base": 20.0,
    "prepare": 3.0,
    "packages": 40.0,
    "finish": 8.0,
    "image": 60.0,
    "binary": 30.0,
    "pack": 5.0,
}
OTHER_SECONDS = 3.0


def expectation(usage: Callable[[Node], Mapping[str, Any] | None]) -> Callable[[Node], float]:
    """A function from step to seconds. usage: what the store remembers of the step at this place, if anything."""

    def expected(node: Node) -> float:
        seconds = (usage(node) or {}).get("seconds")
        return float(seconds) if seconds else DEFAULT_SECONDS.get(node.spec.kind, OTHER_SECONDS)

    return expected
