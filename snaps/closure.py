"""Which snaps belong together: what a set lacks, what speaks against it, which part of it a target needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from image_builder.errors import ConfigError
from image_builder.lock import SnapPin
from snaps.meta import SnapMeta
from snaps.wishes import Wish

ALWAYS = "snapd"  # the image's package gives way to it, and bases other than core cannot do without
_OS_KINDS = frozenset({"base", "os"})


@dataclass(frozen=True)
class Lack:
    """A snap that is needed and not there, and what needs it."""

    name: str
    why: str


def lacking(metas: Mapping[str, SnapMeta]) -> list[Lack]:
    """What has to be added to these snaps, each name once, with the first reason for it."""
    found: dict[str, Lack] = {}
    if ALWAYS not in metas:
        found[ALWAYS] = Lack(ALWAYS, "every set of snaps needs it")
    for meta in metas.values():
        for name in meta.needs:
            if name not in metas and name not in found:
                role = "base" if name == meta.base else "default provider of content"
                found[name] = Lack(name, f"{role} of {meta.name}")
    return list(found.values())


def conflicts(wishes: Mapping[str, Wish], metas: Mapping[str, SnapMeta]) -> list[str]:
    """What snapd would refuse when it seeds this set, in words."""
    said = []
    for meta in metas.values():
        wish = wishes[meta.name]
        if meta.confinement == "classic" and not wish.classic:
            said.append(
                f"{meta.name} needs classic confinement, which nobody allowed it: ask for {meta.name}/classic "
                f"({wish.where})"
            )
        if meta.confinement == "devmode":
            said.append(f"{meta.name} is for development only (devmode), so no image can carry it; try another channel")
        if meta.base and (base := metas.get(meta.base)) is not None and base.kind not in _OS_KINDS:
            said.append(f"{meta.name} has the base {meta.base}, but that snap is of type {base.kind}, not base")
    return said


def subset(pins: Sequence[SnapPin], names: Iterable[str], *, where: str = "snaps") -> tuple[SnapPin, ...]:
    """The pins of these snaps and of all they need, in the lock's order. Raises ConfigError for an unknown name."""
    known = {pin.name: pin for pin in pins}
    wanted, todo = set(), [ALWAYS, *names]
    while todo:
        name = todo.pop()
        if name in wanted:
            continue
        if name not in known:
            raise ConfigError(
                f"{name} is not in the lock, which has {', '.join(known) or 'no snap'}",
                where=where, hint="name it under `snaps:`, then make a new lock with --update",
            )  # fmt: skip
        wanted.add(name)
        todo += known[name].needs
    return tuple(pin for pin in pins if pin.name in wanted)
