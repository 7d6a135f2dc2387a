"""Answers "which packages will apt choose" from what earlier builds were told, else by asking apt."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence

from image_builder.apt.solution import Solution
from image_builder.apt.solve import Context, solve_base, solve_packages
from image_builder.config import BuildConfig
from image_builder.layers import Store


class StoredSolver:
    """One per build. context is made only when apt has to be asked: it needs the frozen lists unpacked."""

    def __init__(
        self,
        store: Store,
        config: BuildConfig,
        question: Sequence[str],
        context: Callable[[], Context],
        *,
        upgrade: bool,
    ) -> None:
        """question: what every answer depends on: the lock, the sources, preferences, the tool root.
        upgrade: the project brings archives of its own, so live-build's dist-upgrade may change the base."""
        self._store, self._config, self._question = store, config, list(question)
        self._context, self._upgrade = context, upgrade
        self._known: dict[str, Solution] = {}
        self._lock = threading.Lock()

    def base(self) -> Solution:
        suite = self._config.suite
        return self._answer(["base", suite], lambda: solve_base(self._context(), suite))

    def on_top(self, below: Solution, names: Sequence[str]) -> Solution:
        """What `apt-get install NAMES` does after `below`; below itself when there is nothing to do."""
        if not names and not self._upgrade:
            return below

        def ask() -> Solution:
            return solve_packages(
                self._context(), below, names, recommends=self._config.recommends, upgrade=self._upgrade
            )

        return self._answer(["on top", below.digest, str(self._config.recommends), *names], ask)

    def _answer(self, question: Sequence[str], ask: Callable[[], Solution]) -> Solution:
        key = hashlib.sha256(json.dumps([*self._question, *question]).encode()).hexdigest()
        with self._lock:
            if key not in self._known:
                stored = self._store.recall("solution", key)
                if stored is None:
                    self._known[key] = ask()
                    self._store.remember("solution", key, self._known[key].to_json())
                else:
                    self._known[key] = Solution.from_json(stored)
            return self._known[key]
