"""Which moves between states are legal, and who may make them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from image_builder.archive import effects
from image_builder.archive.effects import Effect
from image_builder.archive.indices import words
from image_builder.archive.indices.versions import compare
from image_builder.archive.requests import Action, Answer, Moved, Refusal, Request
from image_builder.archive.states import TAKEN, Package, State, is_version


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is the same for many moves."""

    effect: Effect
    own: bool = False  # only the recorded builder may, or override
    full_version: bool = False  # "+bN" must be given with the version
    from_: frozenset[State] = frozenset(State)
    warn_from: frozenset[State] = frozenset()  # legal as well, with a word


def decide(package: Package, request: Request, now: float, *, auto_dep_wait: bool = True) -> Answer:
    """Say whether a move is legal, and what the package is afterwards.

    now: POSIX seconds. auto_dep_wait: False where nobody checks build dependencies (see states.change).
    """
    rule = _RULES[request.action]
    name = package.key.source
    if request.version is not None and not words.is_version(request.version):
        return Refusal(f"{name}: {request.version!r} is no version")
    try:
        refused = _builder(package, request, rule) or _version(package, request, rule)
        if refused is not None:
            return refused
        if package.state not in rule.from_ | rule.warn_from:
            legal = ", ".join(sorted(rule.from_ | rule.warn_from))
            return Refusal(f"{name}: {request.action} is not possible in state {package.state}, only in {legal}")
        answer = rule.effect(package, request, now, auto_dep_wait)
    except ValueError as e:
        return Refusal(f"{name}: {e}")
    if isinstance(answer, Moved) and package.state in rule.warn_from:
        warning = f"{name}: was {package.state}, is {answer.package.state} all the same"
        answer = replace(answer, warnings=(warning, *answer.warnings))
    return answer


def _builder(package: Package, request: Request, rule: _Rule) -> Refusal | None:
    if not rule.own or not package.builder or request.override or _is_builder(request.user, package.builder):
        return None
    return Refusal(
        f"{package.key.source}: not taken by {request.user}, but by {package.builder}",
        hint="--override does it all the same",
    )


def _is_builder(user: str, builder: str) -> bool:
    """A builder's name may carry its host, "buildd_amd64-host7"; its owner is "buildd_amd64"."""
    owner = re.match(r"(\w+)-\w", builder)
    return user == builder or (owner is not None and owner[1] == user)


def _version(package: Package, request: Request, rule: _Rule) -> Refusal | None:
    asked = request.version
    if asked is None or request.action is Action.TAKE:
        return None
    if compare(package.full_version, asked) == 0 or (not rule.full_version and is_version(package, asked)):
        return None
    by = f", by {package.builder}" if package.builder else ""
    return Refusal(f"{package.key.source}: the version is {package.full_version}{by}, not {asked}")


_RULES = {
    Action.TAKE: _Rule(effects.take),
    Action.BUILT: _Rule(
        effects.move_to(State.BUILT), own=True, from_=frozenset({State.BUILDING, State.BUILD_ATTEMPTED})
    ),
    Action.ATTEMPTED: _Rule(
        effects.move_to(State.BUILD_ATTEMPTED), own=True, from_=frozenset({State.BUILDING, State.BUILD_ATTEMPTED})
    ),
    Action.UPLOADED: _Rule(effects.move_to(State.UPLOADED), own=True, full_version=True, from_=TAKEN),
    Action.FAILED: _Rule(
        effects.failed,
        own=True,
        from_=TAKEN | {State.DEP_WAIT, State.FAILED},
        warn_from=frozenset({State.NEEDS_BUILD, State.UPLOADED, State.BD_UNINSTALLABLE}),
    ),
    Action.DEP_WAIT: _Rule(
        effects.dep_wait,
        own=True,
        from_=frozenset(State) - {State.INSTALLED, State.NOT_FOR_US},
        warn_from=frozenset({State.NEEDS_BUILD, State.FAILED, State.BD_UNINSTALLABLE}),
    ),
    Action.GIVE_BACK: _Rule(effects.give_back, own=True),
    Action.NO_BUILD: _Rule(effects.no_build),
    Action.BINARY_NMU: _Rule(effects.binary_nmu),
    Action.PRIORITY: _Rule(effects.set_priority("priority_once")),
    Action.PERMANENT_PRIORITY: _Rule(effects.set_priority("priority_permanent")),
    Action.EXTRA_DEPENDS: _Rule(effects.set_relations("extra_depends")),
    Action.EXTRA_CONFLICTS: _Rule(effects.set_relations("extra_conflicts")),
    Action.CANCEL: _Rule(effects.cancel, from_=frozenset({State.BUILDING})),
    Action.WANT: _Rule(effects.want),
    Action.CLEAN: _Rule(effects.clean),
    Action.INSTALLED: _Rule(effects.installed, from_=frozenset(State) - {State.NOT_FOR_US}),
}
