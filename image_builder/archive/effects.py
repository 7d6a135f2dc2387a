"""What each move does to a package, once who asks and for which version is settled; and what it refuses itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from image_builder.archive.dependency_wait import merge_waits
from image_builder.archive.indices.relations import parse
from image_builder.archive.indices.versions import compare
from image_builder.archive.requests import Action, Answer, Moved, Refusal, Request
from image_builder.archive.states import (
    TAKEN,
    Cause,
    Package,
    State,
    binary_nmu_version,
    change,
    is_version,
)
from image_builder.errors import PipelineError

# Package, request, now, auto_dep_wait → answer. Raises ValueError for a request that makes no sense.
Effect = Callable[[Package, Request, float, bool], Answer]


def take(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:  # noqa: ARG001
    name, state, override = package.key.source, package.state, request.override
    version = request.version if request.version is not None else package.version
    if package.binary_nmu and compare(version, package.full_version) == 0:
        version = package.version
    older, same = compare(version, package.version) < 0, is_version(package, version)
    warnings: list[str] = []
    if state is State.NOT_FOR_US:
        return Refusal(f"{name}: not suitable for {package.key.architecture}{_because(package)}")
    if state is State.DEP_WAIT:
        return Refusal(f"{name}: waits for {package.depends}")
    if state is State.BD_UNINSTALLABLE:
        return Refusal(f"{name}: its build dependencies cannot be installed: {package.bd_problem}")
    if state is State.UPLOADED and (older or same):
        return Refusal(f"{name}: {package.version} was uploaded already, by {package.builder or 'somebody'}")
    if state is State.INSTALLED and same:
        return Refusal(
            f"{name}: {version} is built and installed; it needs no build", hint="a binary NMU builds it again"
        )
    if state in {State.INSTALLED, State.NEEDS_BUILD} and older:
        verb = "is installed" if state is State.INSTALLED else "needs a build"
        if not override:
            hint = "after a change of epoch: --override"
            return Refusal(f"{name}: the newer version {package.version} {verb}, not {version}", hint=hint)
        warnings.append(f"{name}: the newer version {package.version} {verb}; overridden")
    if state in TAKEN:
        if compare(package.version, version) < 0:
            warnings.append(f"{name}: {package.builder} is building the older version {package.version}")
        elif override:
            warnings.append(f"{name}: taken over from {package.builder}")
        elif package.builder == request.user:
            return Moved(package, Action.TAKE, (f"{name}: already taken by {request.user}",), changed=False)
        else:
            return Refusal(f"{name}: already taken by {package.builder}, in version {package.version}")
    if state is State.FAILED and same:
        if not override:
            return Refusal(f"{name}: the build of {version} failed: {package.failed}", hint="--override tries it again")
        warnings.append(f"{name}: failed before; overridden")
    if package.binary_nmu:
        warnings.append(f"{name}: needs binary NMU {package.binary_nmu}: {package.binary_nmu_changelog}")
    elif State.FAILED in {state, package.previous_state}:
        warnings.append(f"{name}: the previous version failed")
    taken = replace(change(package, State.BUILDING, now), version=version, builder=request.user)
    if compare(version, package.version) != 0:  # a binary NMU is one of a certain version
        taken = replace(taken, binary_nmu=None, binary_nmu_changelog="")
    return Moved(taken, Action.TAKE, tuple(warnings))


def _because(package: Package) -> str:
    return f": {package.reason}" if package.reason else ""


def move_to(state: State) -> Effect:
    def run(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:  # noqa: ARG001
        moved = _with_cause(change(package, state, now), request)
        return Moved(moved, request.action, changed=moved != package)

    return run


def _with_cause(package: Package, request: Request) -> Package:
    if request.cause is Cause.NONE:
        return package
    return replace(package, cause=request.cause, reason=request.message)


def failed(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:  # noqa: ARG001
    text = request.message.strip()
    if not text:
        raise ValueError("why has it failed? A package is called failed with a reason")
    again = package.state is State.FAILED
    moved = change(package, State.FAILED, now)
    text = f"{moved.failed}\n{text}" if moved.failed else text
    warnings = (f"{package.key.source}: was failed before; the new reason is added",) if again else ()
    return Moved(_with_cause(replace(moved, builder=request.user, failed=text), request), request.action, warnings)


def dep_wait(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:  # noqa: ARG001
    if not request.message.strip():
        raise ValueError("what does it wait for? Dep-Wait needs a list of dependencies")
    waiting = package.state is State.DEP_WAIT
    depends = merge_waits(package.depends, request.message)
    moved = replace(change(package, State.DEP_WAIT, now), builder=request.user, depends=depends)
    warnings = (f"{package.key.source}: added to what it waits for already",) if waiting else ()
    return Moved(moved, request.action, warnings)


def give_back(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:
    name, state = package.key.source, package.state
    target = State.BD_UNINSTALLABLE
    warnings: tuple[str, ...] = ()
    if state not in TAKEN:
        if not request.override:
            why = {
                State.BD_UNINSTALLABLE: "its build dependencies cannot be installed",
                State.DEP_WAIT: f"it waits for {package.depends}",
            }.get(state, f"it was not taken (its state is {state})")
            return Refusal(f"{name}: {why}", hint="--override gives it back all the same")
        if state is State.BD_UNINSTALLABLE:
            target = State.NEEDS_BUILD
            warnings = (f"{name}: taken for installable until the next check of build dependencies",)
        elif state is State.DEP_WAIT:
            warnings = (f"{name}: no longer waits for {package.depends}",)
        else:
            warnings = (f"{name}: given back although it was {state}",)
    moved = change(package, target, now, auto_dep_wait=auto_dep_wait)
    moved = replace(moved, builder="", depends="", not_before=request.not_before)
    return Moved(_with_cause(moved, request), request.action, warnings)


def no_build(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:  # noqa: ARG001
    if package.cause is Cause.BLACKLIST and not request.override:
        return Refusal(
            f"{package.key.source}: the configuration says so{_because(package)}",
            hint="take it off the blacklist there",
        )
    if package.state is State.NOT_FOR_US:
        # wanna-build's way out, and the only one: there is no state for it that would be quite right.
        back = change(package, State.FAILED, now)
        back = replace(back, failed="Was Not-For-Us previously", builder="", depends="")
        return Moved(back, "no-build(rev)", (f"{package.key.source}: no longer unsuitable",))
    gone = change(package, State.NOT_FOR_US, now)
    gone = replace(
        gone,
        builder="",
        depends="",
        binary_nmu=None,
        binary_nmu_changelog="",
        cause=request.cause,
        reason=request.message,
    )
    return Moved(gone, request.action)


def binary_nmu(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:
    name, number = package.key.source, request.number
    if number < 0:
        raise ValueError(f"the number of a binary NMU cannot be {number}")
    if number and not request.message.strip():
        raise ValueError("a binary NMU needs a line for the changelog")
    pending = package.binary_nmu is not None and package.state is not State.INSTALLED
    if number == 0:
        if not pending:
            return Refusal(f"{name}: no binary NMU is planned that could be cancelled")
        back = replace(
            change(package, State.INSTALLED, now),
            builder="",
            depends="",
            binary_nmu=_installed_number(package),
            binary_nmu_changelog="",
        )
        return Moved(back, request.action)
    if pending and package.binary_nmu is not None and number <= package.binary_nmu:
        return Refusal(f"{name}: binary NMU {package.binary_nmu} is planned already")
    if not pending and package.state is not State.INSTALLED:
        return Refusal(f"{name}: is {package.state}; a binary NMU is made of what is installed")
    full = binary_nmu_version(package.version, number)
    if compare(full, package.installed_version) <= 0:
        return Refusal(f"{name}: {full} is not newer than {package.installed_version}, which is installed")
    planned = change(package, State.BD_UNINSTALLABLE, now, auto_dep_wait=auto_dep_wait)
    planned = replace(
        planned,
        builder="",
        depends="",
        binary_nmu=number,
        binary_nmu_changelog=request.message.strip(),
        notes="out-of-date",
        priority_once=0,
    )
    return Moved(planned, request.action)


def _installed_number(package: Package) -> int | None:
    """N of the "+bN" that is installed."""
    match = re.fullmatch(re.escape(package.version) + r"\+b(\d+)", package.installed_version)
    return int(match[1]) if match else None


def _with(package: Package, field: str, value: Any) -> Package:
    return replace(package, **{field: value})


def set_priority(field: str) -> Effect:
    """Set a number that is no state; field: of the package."""

    def run(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:  # noqa: ARG001
        changed = getattr(package, field) != request.number
        return Moved(_with(package, field, request.number), request.action, changed=changed)

    return run


def set_relations(field: str) -> Effect:
    """Set what the build needs besides its build dependencies, or must not meet; field: of the package."""

    def run(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:  # noqa: ARG001
        value = " ".join(request.message.split())
        try:
            parse(value)
        except PipelineError as e:
            raise ValueError(e.what) from e
        changed = getattr(package, field) != value
        return Moved(_with(package, field, value), request.action, changed=changed)

    return run


def cancel(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:  # noqa: ARG001
    moved = change(package, State.BUILD_ATTEMPTED, now)
    reason = request.message or f"cancelled by {request.user}"
    return Moved(replace(moved, cause=Cause.CANCELLED, reason=reason), request.action)


def want(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:
    name = package.key.source
    if package.state is State.BUILDING and not request.override:
        return Refusal(f"{name}: {package.builder} is building it", hint="--override stops that and builds it anew")
    if package.state is State.NOT_FOR_US and not request.override:
        return Refusal(f"{name}: not to be built here{_because(package)}", hint="--override builds it this once")
    target = State.NEEDS_BUILD if package.state is State.NEEDS_BUILD else State.BD_UNINSTALLABLE
    moved = change(package, target, now, auto_dep_wait=auto_dep_wait)
    moved = replace(moved, builder="", depends="", not_before=0.0, priority_once=request.number)
    return Moved(moved, request.action)


def clean(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:
    name = package.key.source
    if package.state is State.BUILDING and not request.override:
        return Refusal(f"{name}: {package.builder} is building it", hint="--override stops that")
    if package.state in {State.NOT_FOR_US, State.AUTO_NOT_FOR_US}:
        return Refusal(f"{name}: is {package.state}; there is nothing to clean{_because(package)}")
    moved = change(package, State.BD_UNINSTALLABLE, now, auto_dep_wait=auto_dep_wait)
    moved = replace(
        moved,
        builder="",
        depends="",
        installed_version="",
        binary_nmu=None,
        binary_nmu_changelog="",
        failed="",
        old_failed="",
        not_before=0.0,
        cause=Cause.NONE,
        reason="",
        notes="uncompiled",
    )
    return Moved(moved, request.action, changed=moved != package)


def installed(package: Package, request: Request, now: float, auto_dep_wait: bool) -> Answer:  # noqa: ARG001
    moved = change(package, State.INSTALLED, now)
    moved = replace(moved, installed_version=package.full_version)
    return Moved(moved, request.action, changed=moved != package)
