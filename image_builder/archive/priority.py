"""How urgent a package is: wanna-build's formula, and the two orders a queue can have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from image_builder.archive.states import Package

DAY = 86400


class Order(StrEnum):
    """Which package comes next."""

    PATH = "path"  # what people asked for; below that, what the longest chain of builds waits for
    WANNA_BUILD = "wanna-build"  # its formula, then waiting time, then name: "CWTn"


@dataclass(frozen=True)
class Weights:
    """The numbers of the formula, wanna-build's by default."""

    priority: Mapping[str, int] = field(
        default_factory=lambda: {"required": 50, "important": 40, "standard": 30, "optional": 5}
    )
    section: Mapping[str, int] = field(default_factory=lambda: {"libs": 4, "devel": 2})
    component: Mapping[str, int] = field(default_factory=lambda: {"contrib": -10, "non-free": -20})
    notes: Mapping[str, int] = field(default_factory=lambda: {"uncompiled": 20, "out-of-date": 40, "partial": 40})
    days_max: int = 6  # days in its state that count
    days_scale: int = 2
    hours_default: int = 2  # of a build nobody has made yet
    hours_max: int = 15
    hours_scale: int = 1


def static_priority(package: Package, weights: Weights) -> int:
    """The part of the formula that does not change while the package waits."""
    prefix, slash, _ = package.section.partition("/")
    component = prefix if slash else package.component or "main"
    seconds = package.last_build_seconds
    hours = weights.hours_default if not seconds else int(seconds // 3600)
    return (
        weights.priority.get(package.priority, 0)
        + weights.section.get(package.section, 0)
        + weights.component.get(component, 0)
        + weights.notes.get(package.notes, 0)
        - weights.hours_scale * max(0, min(hours, weights.hours_max))
        + package.priority_once
        + package.priority_permanent
    )


def days_waiting(package: Package, now: float) -> int:
    """Whole days in the present state; 0 when the clock was set back."""
    return max(0, int((now - package.state_change) // DAY))


def calculated_priority(package: Package, now: float, weights: Weights) -> int:
    """wanna-build's calprio: the higher, the sooner. now: POSIX seconds."""
    days = min(days_waiting(package, now), weights.days_max)
    return static_priority(package, weights) + weights.days_scale * days
