"""Runs the nodes of a plan in parallel, each after the one below it, as the machine's resources allow.

Knows nothing of live-build: what a node does is a function it is given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from image_builder.build.resources import Budget
from image_builder.plan.explain import Decision
from image_builder.plan.tree import Node


@dataclass
class Outcome:
    """What became of the nodes that had to be built. blocked: node -> the failed one below it."""

    done: dict[Node, float] = field(default_factory=dict)
    failed: dict[Node, Exception] = field(default_factory=dict)
    blocked: dict[Node, Node] = field(default_factory=dict)
    cancelled: list[Node] = field(default_factory=list)


def longest_path(node: Node, seconds: Callable[[Node], float]) -> float:
    """How long this node and the longest branch above it are expected to take, in seconds."""
    return seconds(node) + max((longest_path(child, seconds) for child in node.children), default=0.0)


def execute(
    decisions: Iterable[Decision],
    perform: Callable[[Node], float],
    *,
    jobs: int,
    keep_going: bool,
    cancel: threading.Event,
    budget: Budget,
    expected: Callable[[Node], float],
) -> Outcome:
    """Perform every node to be built; return what became of each.

    perform: does one node, returns its seconds, raises when it fails; called in threads of its own.
    keep_going: a failure stops only what stands on it. Ctrl-C sets cancel, waits until every running
    node has ended, and is raised again.
    """
    waiting = [d.node for d in decisions if d.action == "build"]
    weight: Mapping[Node, float] = {node: longest_path(node, expected) for node in waiting}
    outcome = Outcome()
    running: dict[Future[float], Node] = {}
    pool = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="step")
    try:
        while waiting or running:
            _drop_blocked(waiting, outcome)
            if not cancel.is_set():
                for node in _startable(waiting, running.values(), weight):
                    if len(running) >= jobs:
                        break
                    if not budget.take(node, alone=not running):
                        continue  # a smaller one may fit beside those that run
                    waiting.remove(node)
                    running[pool.submit(perform, node)] = node
            elif not running:
                break
            if not running:
                continue
            # Not for ever: memory that others used may be free by now.
            finished, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in finished:
                node = running.pop(future)
                budget.give_back(node)
                _note(future, node, outcome)
                if node in outcome.failed and not keep_going:
                    cancel.set()
    except BaseException:
        cancel.set()  # each running step sees it and ends its processes
        raise
    finally:
        pool.shutdown(wait=True)
    outcome.cancelled = waiting
    return outcome


def _startable(waiting: list[Node], running: Iterable[Node], weight: Mapping[Node, float]) -> list[Node]:
    """Nodes whose step below is there, the longest branch first."""
    pending = {*waiting, *running}
    return sorted((n for n in waiting if n.parent not in pending), key=lambda n: -weight[n])


def _drop_blocked(waiting: list[Node], outcome: Outcome) -> None:
    for node in list(waiting):
        below = node.parent
        if below in outcome.failed or below in outcome.blocked:
            assert below is not None
            outcome.blocked[node] = outcome.blocked.get(below, below)
            waiting.remove(node)


def _note(future: Future[float], node: Node, outcome: Outcome) -> None:
    error = future.exception()
    if error is None:
        outcome.done[node] = future.result()
    elif isinstance(error, Exception):
        outcome.failed[node] = error
    else:
        raise error
