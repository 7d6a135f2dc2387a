"""Which sources a pass builds: those the configuration names, and those a later pass needs older builds of."""

from __future__ import annotations

from image_builder.archive.configuration import Pass
from image_builder.archive.model import Base
from image_builder.archive.rebuild.ground import Ground
from image_builder.archive.schedule.passes import plan_pass


def chosen(ground: Ground, one: Pass) -> set[str]:
    """The names of a pass's sources. Raises ConfigError when there are none.

    A pass against the old archive also builds the sources with which the cycles of the next one are broken, if older
    builds shall break them: that one finds them built already, and nobody has to wait for their second build.
    """
    names = ground.chosen(one)
    following = next((later for later in ground.config.passes if later.stage > one.stage), None)
    if one.base is not Base.OLD or following is None or following.base is Base.OLD:
        return names
    return names | _lent(ground, names, ground.chosen(following))


def _lent(ground: Ground, names: set[str], wanted: set[str]) -> set[str]:
    """Of the sources wanted next those that others wait for in a circle, when there are builds of `names`."""
    config = ground.config
    if not (config.cycles.old_binaries and config.schedule.follow) or wanted <= names:
        return set()
    sources = [source for name, source in ground.archive.sources.items() if name in wanted]
    found: set[str] = set()
    for architecture in config.architectures:
        plan = plan_pass(
            sources, ground.old_binaries(architecture), architecture=architecture, base=Base.BOTH, seconds={},
            earlier=names, dropped=config.cycles.dropped(), profiles=frozenset(config.toolchain.build_profiles),
        )  # fmt: skip
        found |= plan.borrowed
    return found
