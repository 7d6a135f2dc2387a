"""Any order of deliveries, flags, deletions and kills gives the tree that the rule says, and a rebuild gives it too.

The results are those of two stages; a delivery of the second hides that of the first.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from rebuilt import deliver, killed_after, quick_folder, tree

from image_builder.archive.repository.repository import Repository
from image_builder.archive.repository.useforbuild import Flag, Flags
from image_builder.archive.results import Results

ARCHITECTURES = ("amd64", "arm64")
SOURCES = st.sampled_from(["a", "a-pkg", "a.1", "b", "lib"])
NAMES = st.lists(st.sampled_from(["foo", "bar", "doc", "lib1"]), min_size=1, max_size=3, unique=True)
PLACES = st.sampled_from([*ARCHITECTURES, "all"])
STAGES = st.sampled_from([0, 1])
SOMEWHERE = st.one_of(st.none(), st.sampled_from(ARCHITECTURES))


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = self._stack.enter_context(quick_folder())
        self.stages = [Results(folder / f"results/stage-{stage}") for stage in (0, 1)]
        self.repository = Repository(self.stages, folder / "repository", {"stable": ARCHITECTURES})
        self.flags = Flags()
        self.delivered: dict[tuple[int, str, str], tuple[int, tuple[str, ...]]] = {}
        self.attempt = 0
        self.in_step = False

    def teardown(self) -> None:
        self._stack.close()

    def files(self, architecture: str, names: list[str], for_all: list[bool]) -> tuple[str, ...]:
        kinds = ["all" if architecture == "all" or flag else architecture for flag in for_all]
        return tuple(f"{name}_1_{kind}.deb" for name, kind in zip(names, kinds, strict=False))

    @rule(
        stage=STAGES,
        source=SOURCES,
        architecture=PLACES,
        names=NAMES,
        for_all=st.lists(st.booleans(), min_size=3, max_size=3),
    )
    def deliver(self, stage: int, source: str, architecture: str, names: list[str], for_all: list[bool]) -> None:
        self.attempt += 1
        files = self.files(architecture, names, for_all)
        deliver(self.stages[stage], source, architecture, files, self.attempt)
        self.delivered[stage, source, architecture] = (self.attempt, files)
        self.in_step = False

    @rule(stage=STAGES, source=SOURCES, architecture=PLACES, names=NAMES, effects=st.integers(0, 40),
          for_all=st.lists(st.booleans(), min_size=3, max_size=3))  # fmt: skip
    def killed_delivery(
        self, stage: int, source: str, architecture: str, names: list[str], for_all: list[bool], effects: int
    ) -> None:
        self.attempt += 1
        attempt, files = self.attempt, self.files(architecture, names, for_all)
        killed_after(effects, lambda: deliver(self.stages[stage], source, architecture, files, attempt))
        there = self.stages[stage].read("stable", architecture, source)
        if there is not None and there.attempt == attempt:
            self.delivered[stage, source, architecture] = (attempt, files)
        self.in_step = False

    @rule(stage=STAGES, source=SOURCES, architecture=PLACES)
    def remove(self, stage: int, source: str, architecture: str) -> None:
        self.stages[stage].remove("stable", architecture, source)
        self.delivered.pop((stage, source, architecture), None)
        self.in_step = False

    @rule(stage=STAGES, source=SOURCES, architecture=PLACES, effects=st.integers(0, 15))
    def killed_removal(self, stage: int, source: str, architecture: str, effects: int) -> None:
        killed_after(effects, lambda: self.stages[stage].remove("stable", architecture, source))
        if self.stages[stage].read("stable", architecture, source) is None:
            self.delivered.pop((stage, source, architecture), None)
        self.in_step = False

    @rule(source=st.one_of(st.none(), SOURCES), on=st.booleans(), architecture=SOMEWHERE)
    def flag(self, source: str | None, on: bool, architecture: str | None) -> None:
        self.flags = self.flags.with_flag(source, Flag(on, None, architecture))
        self.repository.set_flags("stable", self.flags)
        self.in_step = True

    @rule(source=st.one_of(st.none(), SOURCES), on=st.booleans(), effects=st.integers(0, 40))
    def killed_flag(self, source: str | None, on: bool, effects: int) -> None:
        flags = self.flags.with_flag(source, Flag(on))
        killed_after(effects, lambda: self.repository.set_flags("stable", flags))
        self.flags = self.repository.flags("stable")
        self.in_step = False

    @rule()
    def update(self) -> None:
        self.repository.update("stable")
        self.in_step = True

    @rule(effects=st.integers(0, 60))
    def killed_update(self, effects: int) -> None:
        self.in_step = not killed_after(effects, lambda: self.repository.update("stable")) or self.in_step

    @precondition(lambda self: self.in_step)
    @rule(what=st.sampled_from(["", "tree", "all"]))
    def rebuild(self, what: str) -> None:
        before = {name: tree(self.repository.full("stable", name)) for name in ARCHITECTURES}
        if what == "all":
            for name in (*ARCHITECTURES, ":bininfo"):
                path = self.repository.folder / "stable" / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if what == "tree":
            shutil.rmtree(self.repository.full("stable", "amd64"), ignore_errors=True)
        self.repository.rebuild("stable")
        assert {name: tree(self.repository.full("stable", name)) for name in ARCHITECTURES} == before

    @invariant()
    def the_tree_is_what_the_rule_says(self) -> None:
        if not self.in_step:
            return
        for architecture in ARCHITECTURES:
            found = tree(self.repository.full("stable", architecture))
            assert found == self.said(architecture)
        assert self.repository.verify("stable") == []

    def said(self, architecture: str) -> dict[str, bytes]:
        """The rule once more, said simply: for each name the first of all that could be offered."""
        offers: dict[str, list[tuple[str, bool, str, str, int, int]]] = {}
        for (stage, source, origin), (attempt, files) in self.delivered.items():
            if stage == 0 and (1, source, origin) in self.delivered:
                continue
            if not self.flags.offered(source, "stable", architecture):
                continue
            for file in files:
                if origin == architecture or file.endswith("_all.deb"):
                    offers.setdefault(file.partition("_")[0], []).append(
                        (source, origin != architecture, origin, file, attempt, stage)
                    )
        found = {}
        for name, some in offers.items():
            source, _, origin, file, attempt, stage = min(some)
            found[f"{name}.deb"] = f"{source} {origin} {attempt} {file}\n".encode()
            found[f"{name}.meta"] = (self.stages[stage].place("stable", origin, source) / "result.json").read_bytes()
        return found


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
