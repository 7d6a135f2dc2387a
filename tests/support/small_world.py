"""Source and binary packages by a few words, for tests of what needs whom."""

from __future__ import annotations

import random
from collections.abc import Sequence

from image_builder.archive.model import BinaryPackage, SourcePackage


def source(
    name: str, needs: str = "", *, binaries: Sequence[str] = (), indep: str = "", arch: str = ""
) -> SourcePackage:
    return SourcePackage(
        name=name,
        version="1-1",
        component="main",
        section="misc",
        priority="optional",
        architectures=("any",),
        binaries=tuple(binaries) or (name,),
        build_depends=needs,
        build_depends_indep=indep,
        build_depends_arch=arch,
    )


def binary(
    name: str,
    made_by: str,
    depends: str = "",
    *,
    provides: str = "",
    architecture: str = "amd64",
    essential: bool = False,
    priority: str = "optional",
) -> BinaryPackage:
    relations = {name: text for name, text in (("Depends", depends), ("Provides", provides)) if text}
    return BinaryPackage(
        name=name,
        version="1-1",
        architecture=architecture,
        source=made_by,
        source_version="1-1",
        component="main",
        section="misc",
        priority=priority,
        essential=essential,
        relations=relations,
    )


def archive(
    count: int, seed: int, *, width: int = 12, cycles: int = 0
) -> tuple[list[SourcePackage], list[BinaryPackage]]:
    """Sources "s0", "s1" …, each with a library and a tool, in the shape of an archive.

    Most need a few of those everybody needs and something of their own corner; libraries depend on libraries. cycles:
    how many pairs need each other besides.
    """
    chance = random.Random(seed)
    sources, binaries = [], []
    needs: list[list[str]] = []
    for number in range(count):
        popular = (
            [f"lib{chance.randrange(max(1, min(number, 40)))}" for _ in range(chance.randrange(3))] if number else []
        )
        near = (
            [f"tool{chance.randrange(max(0, number - count // width), number)}" for _ in range(chance.randrange(3))]
            if number
            else []
        )
        needs.append(sorted({*popular, *near}))
    for _ in range(cycles):
        one, other = sorted(chance.sample(range(count), 2))
        needs[one].append(f"tool{other}")
        needs[other].append(f"tool{one}")
    for number in range(count):
        sources.append(source(f"s{number}", ", ".join(needs[number]), binaries=(f"lib{number}", f"tool{number}")))
        runtime = f"lib{chance.randrange(number)}" if number and chance.random() < 0.5 else ""
        binaries.append(binary(f"lib{number}", f"s{number}", runtime))
        binaries.append(binary(f"tool{number}", f"s{number}", f"lib{number}"))
    return sources, binaries
