"""Which sources a pass builds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packages_by_hand import binary, source
from small_ground import ground

from image_builder.archive.rebuild.choosing import chosen
from image_builder.archive.rebuild.ground import Ground

FIRST = {"stage": 0, "base": "old", "packages": ["water"]}


def circular(folder: Path, *following: dict[str, Any], **config: Any) -> Ground:
    """egg needs hen to be built, hen needs egg; both need feed, and water has to be there for that."""
    made = ground(folder, passes=[FIRST, *following], **config)
    sources = [
        source("egg", "1", Build_Depends="hen"), source("hen", "1", Build_Depends="egg, feed"),
        source("feed", "1", Build_Depends="libwater-dev"),
    ]  # fmt: skip
    binaries = [binary(name, "1") for name in ("egg", "hen", "feed")]
    archive = replace(
        made.archive, sources={**made.archive.sources, **{one.name: one for one in sources}},
        binaries=[*made.archive.binaries, *binaries],
    )  # fmt: skip
    return replace(made, archive=archive)


@pytest.mark.parametrize("base", ["both", "built"])
def test_a_first_pass_builds_what_breaks_the_cycles_of_the_next(tmp_path: Path, base: str) -> None:
    made = circular(tmp_path, {"stage": 1, "base": base})
    first, second = (chosen(made, one) for one in made.config.passes)
    assert first in ({"water", "egg"}, {"water", "hen"}), "one of the two, with the old archive's build of the other"
    assert second == {"water", "tool", "egg", "hen", "feed"}


@pytest.mark.parametrize(
    ("following", "config"),
    [
        pytest.param([{"stage": 1, "base": "both"}], {"cycles": {"old_binaries": False}}, id="not asked for"),
        pytest.param([{"stage": 1, "base": "both"}], {"cycles": {"drop": ["egg:hen"]}}, id="there is no cycle left"),
        pytest.param([{"stage": 1, "base": "both"}], {"schedule": {"follow": False}}, id="nobody waits for anybody"),
        pytest.param([{"stage": 1, "base": "both", "packages": ["feed"]}], {}, id="those of the cycle are not built"),
        pytest.param([{"stage": 1, "base": "old"}], {}, id="nobody waits against the old archive"),
        pytest.param([], {}, id="there is no next one"),
    ],
)
def test_else_it_builds_what_it_was_told(tmp_path: Path, following: list[Any], config: dict[str, Any]) -> None:
    made = circular(tmp_path, *following, **config)
    assert chosen(made, made.config.passes[0]) == {"water"}
