"""Nodes in parallel: order, failures, the budget, and how it stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import pytest

from image_builder.build.executor import Outcome, execute, longest_path
from image_builder.build.resources import MIB, Budget
from image_builder.plan.explain import Decision
from image_builder.plan.tree import Node

Grow = Callable[..., dict[str, Node]]
ToBuild = Callable[[dict[str, Node]], list[Decision]]
WAIT_S = 20.0  # far above what anything here takes


class Recorder:
    """Performs nodes by taking note of them. gates: name -> what it waits for. fails: names that do not work."""

    def __init__(self, *, fails: Sequence[str] = (), gates: dict[str, threading.Event] | None = None) -> None:
        self.started: list[str] = []
        self.ended: list[str] = []
        self.most = 0
        self._fails, self._gates = fails, gates or {}
        self._lock = threading.Lock()
        self.has_started = {name: threading.Event() for name in self._gates}

    def __call__(self, node: Node) -> float:
        name = node.spec.name
        with self._lock:
            self.started.append(name)
            self.most = max(self.most, len(self.started) - len(self.ended))
        if name in self._gates:
            self.has_started[name].set()
            assert self._gates[name].wait(WAIT_S), f"{name} was never let go"
        with self._lock:
            self.ended.append(name)
        if name in self._fails:
            raise RuntimeError(f"{name} broke")
        return float(len(name))


def run(
    decisions: list[Decision],
    perform: Callable[[Node], float],
    *,
    jobs: int = 1,
    keep_going: bool = True,
    cancel: threading.Event | None = None,
    budget: Budget | None = None,
    seconds: Mapping[str, float] | None = None,
) -> Outcome:
    return execute(
        decisions,
        perform,
        jobs=jobs,
        keep_going=keep_going,
        cancel=cancel or threading.Event(),
        budget=budget or Budget(lambda _: MIB, total=1000 * MIB),
        expected=lambda node: (seconds or {}).get(node.spec.name, 1.0),
    )


def names(nodes: Sequence[Node]) -> list[str]:
    return sorted(node.spec.name for node in nodes)


def test_a_node_is_done_after_the_one_below_it_and_its_seconds_are_kept(tree: Grow, to_build: ToBuild) -> None:
    nodes = tree("a: base packages finish")
    perform = Recorder()
    outcome = run(list(reversed(to_build(nodes))), perform, jobs=2)
    assert perform.started == ["base", "packages", "finish"]
    assert outcome.done == {nodes["base"]: 4.0, nodes["packages"]: 8.0, nodes["finish"]: 6.0}
    assert (outcome.failed, outcome.blocked, outcome.cancelled) == ({}, {}, [])


def test_only_what_has_to_be_built_is_performed(tree: Grow) -> None:
    nodes = tree("a: base packages finish")
    decisions = [Decision(nodes["base"], "skip", ""), Decision(nodes["packages"], "reuse", "")]
    perform = Recorder()
    run([*decisions, Decision(nodes["finish"], "build", "")], perform)
    assert perform.started == ["finish"]


def test_nothing_to_build_is_nothing_done() -> None:
    assert run([], Recorder()) == Outcome()


def test_the_branch_that_takes_longest_is_started_first(tree: Grow, to_build: ToBuild) -> None:
    nodes = tree("c: base short", "b: base middle", "a: base quick slowest")
    seconds = {"quick": 1.0, "slowest": 50.0, "middle": 30.0, "short": 2.0}
    perform = Recorder()
    run(to_build(nodes), perform, seconds=seconds)
    assert perform.started == ["base", "quick", "slowest", "middle", "short"]
    assert longest_path(nodes["base"], lambda n: seconds.get(n.spec.name, 1.0)) == 52.0


def test_siblings_run_at_the_same_time_and_never_more_than_jobs(tree: Grow, to_build: ToBuild) -> None:
    nodes = tree("a: base x", "b: base y", "c: base z")
    both = threading.Barrier(2, timeout=WAIT_S)
    met = []

    def perform(node: Node) -> float:
        if node.spec.name in ("x", "y"):
            met.append(both.wait())
        return 1.0

    outcome = run(to_build(nodes), perform, jobs=2, seconds={"x": 3, "y": 2})
    assert sorted(met) == [0, 1]
    assert len(outcome.done) == 4
    counted = Recorder()
    run(to_build(nodes), counted, jobs=2)
    assert counted.most <= 2


def test_a_failure_stops_only_what_stands_on_it(tree: Grow, to_build: ToBuild) -> None:
    nodes = tree("a: base bad above top", "b: base good")
    outcome = run(to_build(nodes), Recorder(fails=["bad"]), seconds={"bad": 9})
    assert names(list(outcome.done)) == ["base", "good"]
    assert {n.spec.name: str(e) for n, e in outcome.failed.items()} == {"bad": "bad broke"}
    assert {n.spec.name: below.spec.name for n, below in outcome.blocked.items()} == {"above": "bad", "top": "bad"}
    assert outcome.cancelled == []


def test_fail_fast_starts_nothing_more_and_tells_the_running_to_stop(tree: Grow, to_build: ToBuild) -> None:
    nodes = tree("a: base bad above", "b: base later")
    cancel = threading.Event()
    outcome = run(to_build(nodes), Recorder(fails=["bad"]), keep_going=False, cancel=cancel, seconds={"bad": 9})
    assert names(list(outcome.failed)) == ["bad"]
    assert names(list(outcome.blocked)) == ["above"]
    assert names(outcome.cancelled) == ["later"]
    assert cancel.is_set()


def test_fail_fast_waits_for_what_runs(tree: Grow, to_build: ToBuild) -> None:
    nodes = tree("a: bad", "b: running", "c: later")
    cancel = threading.Event()

    def perform(node: Node) -> float:
        if node.spec.name == "running":
            assert cancel.wait(WAIT_S)
            return 5.0
        raise RuntimeError("broke")

    seconds = {"bad": 9, "running": 8}
    outcome = run(to_build(nodes), perform, jobs=2, keep_going=False, cancel=cancel, seconds=seconds)
    assert {n.spec.name: s for n, s in outcome.done.items()} == {"running": 5.0}
    assert names(outcome.cancelled) == ["later"]


def test_a_build_that_was_told_to_stop_starts_nothing(tree: Grow, to_build: ToBuild) -> None:
    cancel = threading.Event()
    cancel.set()
    perform = Recorder()
    outcome = run(to_build(tree("a: base x")), perform, cancel=cancel)
    assert (perform.started, names(outcome.cancelled)) == ([], ["base", "x"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_in_a_step_is_raised_after_all_others_ended(
    tree: Grow, to_build: ToBuild, error: type[BaseException]
) -> None:
    cancel = threading.Event()
    ended = []

    def perform(node: Node) -> float:
        if node.spec.name == "stopped":
            raise error
        assert cancel.wait(WAIT_S), "the other was not told"
        ended.append(node.spec.name)
        return 1.0

    with pytest.raises(error):
        run(to_build(tree("a: waits", "b: stopped")), perform, jobs=2, cancel=cancel)
    assert ended == ["waits"]


def test_ctrl_c_in_the_waiting_thread_tells_the_steps_and_waits_for_them(
    tree: Grow, to_build: ToBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel, started, ended = threading.Event(), threading.Event(), []

    def perform(node: Node) -> float:
        started.set()
        assert cancel.wait(WAIT_S), "it was not told"
        ended.append(node.spec.name)
        return 1.0

    def interrupted(*_: object, **__: object) -> None:
        assert started.wait(WAIT_S)
        raise KeyboardInterrupt  # what a signal does in the thread that waits

    monkeypatch.setattr("image_builder.build.executor.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(to_build(tree("a: one two")), perform, cancel=cancel)
    assert ended == ["one"]


def test_what_does_not_fit_into_the_budget_waits(tree: Grow, to_build: ToBuild) -> None:
    nodes = tree("a: big", "b: large", "c: small")
    needs = {"big": 600, "large": 600, "small": 100}
    perform = Recorder()
    budget = Budget(lambda n: needs[n.spec.name] * MIB, total=1000 * MIB)
    outcome = run(to_build(nodes), perform, jobs=3, budget=budget, seconds={"big": 9, "large": 8, "small": 7})
    assert len(outcome.done) == 3
    assert perform.most < 3
    assert perform.started[0] == "big"


def test_a_smaller_one_starts_beside_those_that_run(tree: Grow, to_build: ToBuild) -> None:
    nodes = tree("a: big", "b: large", "c: small")
    needs = {"big": 600, "large": 600, "small": 100}
    gates = {"big": threading.Event(), "small": threading.Event()}
    perform = Recorder(gates=gates)
    budget = Budget(lambda n: needs[n.spec.name] * MIB, total=1000 * MIB)
    seconds = {"big": 9, "large": 8, "small": 7}
    made: list[Outcome] = []
    build = threading.Thread(
        target=lambda: made.append(run(to_build(nodes), perform, jobs=3, budget=budget, seconds=seconds))
    )
    build.start()
    try:
        assert perform.has_started["small"].wait(WAIT_S), "there was room for it"
        assert perform.started == ["big", "small"]
    finally:
        for gate in gates.values():
            gate.set()
        build.join(WAIT_S)
    assert perform.started == ["big", "small", "large"]
    assert len(made[0].done) == 3


def test_a_large_one_is_not_kept_waiting_by_small_ones(tree: Grow, to_build: ToBuild) -> None:
    """Ten small ones always leave too little for the large one, were they started whenever one fits."""
    small = [f"small{n}" for n in range(10)]
    nodes = tree("first: first", "large: large", *(f"{name}: {name}" for name in small))
    needs = {"first": 600, "large": 700, **dict.fromkeys(small, 200)}
    gates = {"first": threading.Event(), "small0": threading.Event()}
    perform = Recorder(gates=gates)
    budget = Budget(lambda n: needs[n.spec.name] * MIB, total=1000 * MIB)
    seconds = {"first": 99, "large": 98, **{name: 20 - n for n, name in enumerate(small)}}
    build = threading.Thread(target=run, args=(to_build(nodes), perform), kwargs={
        "jobs": 4, "budget": budget, "seconds": seconds})  # fmt: skip
    build.start()
    try:
        assert perform.has_started["small0"].wait(WAIT_S)
        gates["first"].set()  # from now on the large one fits beside small0, which still runs
    finally:
        gates["first"].set()
        while "large" not in perform.ended and build.is_alive():
            time.sleep(0.01)
        gates["small0"].set()
        build.join(WAIT_S)
    assert perform.started[:3] == ["first", "small0", "large"]
    assert len(perform.ended) == 12


def test_a_step_larger_than_the_machine_runs_alone(tree: Grow, to_build: ToBuild) -> None:
    perform = Recorder()
    outcome = run(to_build(tree("a: x", "b: y")), perform, jobs=2, budget=Budget(lambda _: 99 * MIB, total=1 * MIB))
    assert (perform.most, len(outcome.done)) == (1, 2)


def test_memory_of_an_ended_step_is_given_back_also_after_a_failure(tree: Grow, to_build: ToBuild) -> None:
    nodes = tree(*(f"{name}: {name}" for name in "abcdef"))
    budget = Budget(lambda _: 60 * MIB, total=100 * MIB)
    run(to_build(nodes), Recorder(fails=["a", "c"]), jobs=2, budget=budget)
    assert budget.take(nodes["a"], alone=False)
    assert not budget.take(nodes["b"], alone=False)
