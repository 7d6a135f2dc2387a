"""The 602 binary names of Debian 12 that two sources claim: the first source by its name has each."""

from __future__ import annotations

from pathlib import Path

import pytest
from rebuilt import deliver, quick_folder, tree

from image_builder.archive.repository.repository import Repository
from image_builder.archive.repository.useforbuild import Flag, Flags
from image_builder.archive.results import Results

DATA = Path(__file__).parents[1] / "data/name_clashes_debian12.txt"


def clashes() -> dict[str, tuple[str, ...]]:
    """Binary name -> the sources that claim it."""
    lines = [line for line in DATA.read_text().splitlines() if not line.startswith("#")]
    parts = [(tuple(head.split()), names.split()) for head, _, names in (line.partition(":") for line in lines)]
    return {name: sources for sources, names in parts for name in names}


@pytest.mark.parametrize("backwards", [False, True])
def test_the_first_source_by_its_name_has_each(backwards: bool) -> None:
    claimed = clashes()
    assert len(claimed) == 602
    made: dict[str, list[str]] = {}
    for name, sources in claimed.items():
        for source in sources:
            made.setdefault(source, []).append(f"{name}_1_amd64.deb")
    with quick_folder() as folder:
        results = Results(folder / "results")
        repository = Repository(results, folder / "repository", {"stable": ("amd64",)})
        for attempt, source in enumerate(sorted(made, reverse=backwards), 1):
            deliver(results, source, "amd64", made[source], attempt)
            if attempt % 3 == 0:
                repository.update("stable")
        won = {name: one.source for name, one in repository.winners("stable", "amd64").items()}
        assert won == {name: min(sources) for name, sources in claimed.items()}
        before = tree(repository.full("stable", "amd64"))

        off = Flags(packages={"linux": (Flag(False),)})  # its packages come from those that sign it then
        repository.set_flags("stable", off)
        won = {name: one.source for name, one in repository.winners("stable", "amd64").items()}
        assert won == {name: min(s for s in sources if s != "linux") for name, sources in claimed.items()}
        repository.set_flags("stable", Flags())
        assert tree(repository.full("stable", "amd64")) == before
