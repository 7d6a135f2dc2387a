"""The next packages of several lanes that share their machines, in one order."""

from __future__ import annotations

from collections.abc import Sequence

from image_builder.archive.database.store import Database
from image_builder.archive.priority import Order, calculated_priority, days_waiting
from image_builder.archive.schedule.seams import Lane, Settings
from image_builder.archive.states import Package


def first(
    database: Database, run: int, lanes: Sequence[Lane], now: float, settings: Settings, limit: int
) -> list[Package]:
    """The most urgent packages that may start, at most `limit`."""
    if limit <= 0:
        return []
    found = [
        package
        for lane in lanes
        for package in database.next_jobs(run, lane.suite, lane.architecture, now, order=settings.order, limit=limit)
    ]
    if len(lanes) > 1:
        found.sort(key=lambda package: _rank(package, now, settings))
    return found[:limit]


def _rank(package: Package, now: float, settings: Settings) -> tuple[float, ...] | tuple[float, float, str]:
    if settings.order is Order.WANNA_BUILD:
        calculated = calculated_priority(package, now, settings.weights)
        return (-calculated, -days_waiting(package, now), package.key.source)
    asked = package.priority_once + package.priority_permanent
    return (-asked, -package.remaining_seconds, package.key.source)
