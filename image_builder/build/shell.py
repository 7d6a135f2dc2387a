"""A shell in the state a step left, found or failed in; what is done there is thrown away."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from image_builder.apt.handover import hand_over
from image_builder.build.network import network_for
from image_builder.build.prepare import Plan
from image_builder.build.progress import Progress
from image_builder.errors import ConfigError, PipelineError
from image_builder.layers import Store
from image_builder.live_build import scripts, staging
from image_builder.plan.explain import narrowed
from image_builder.plan.tree import Node, chain
from image_builder.sandbox import Bind, Sandbox, enter, execute
from image_builder.sandbox.emulation import emulated
from image_builder.scratch import scratch

BESIDE = frozenset({"finish", "image", "binary", "pack"})  # steps one looks at from beside the root


@dataclass(frozen=True)
class Place:
    """Where a shell is opened: the layers below it, and the step whose environment it has. failed: of that step."""

    node: Node
    stack: tuple[Node, ...]
    failed: Path | None = None

    def words(self) -> str:
        if self.failed:
            return f"as {self.node.spec.name} was when it failed"
        when = "after" if self.node in self.stack else "before"
        return f"{when} {self.node.spec.name}"


def find(plan: Plan, store: Store, wanted: str, *, before: bool = False) -> Place:
    """The place of TARGET or TARGET@HOOK. Without a hook: the target's failed step, else the end of its steps.

    HOOK: a path below hooks.d, or its last part; a step's name will do too. before: the state that hook found. Raises
    ConfigError for an unknown target or hook.
    """
    target, _, hook = wanted.partition("@")
    nodes = chain(plan.roots, target)
    if not nodes:
        raise ConfigError(f"{target!r} is none of the targets {', '.join(t.name for t in plan.targets)}", where="shell")
    failures = {failed.key: failed.diff for failed in store.failed()}
    ended = next((n for n in nodes if n.key in failures), nodes[-1])
    node = named(nodes, hook, where="shell") if hook else ended
    stack = node.stack()
    if node.key in failures and not before:
        return Place(node, tuple(stack[:-1]), failures[node.key])
    return Place(node, tuple(stack[:-1] if before else stack))


def named(nodes: Sequence[Node], hook: str, *, where: str) -> Node:
    """The step of a hook: by its path below hooks.d, its last part, or the step's name. Raises ConfigError."""
    found = [n for n in nodes if hook in n.spec.hooks or n.spec.name == hook]
    found = found or [n for n in nodes if any(Path(path).name == hook for path in n.spec.hooks)]
    if len({node.key for node in found}) == 1:
        return found[0]
    names = ", ".join(dict.fromkeys(path for n in nodes for path in n.spec.hooks)) or "none"
    what = "is several hooks" if found else "is no hook of it"
    hint = f"its hooks: {names}; other steps go by their names in `plan`"
    raise ConfigError(f"{hook!r} {what}", where=where, hint=hint)


def only(plan: Plan, hook: str) -> Plan:
    """The plan cut down to one hook and what is below it, in every target that has it. Raises ConfigError."""
    nodes = [node for root in plan.roots for node in root.walk()]
    paths = {path for node in nodes for path in node.spec.hooks if path == hook or Path(path).name == hook}
    wanted = [node for node in nodes if paths & set(node.spec.hooks) or node.spec.name == hook]
    if not wanted or len(paths) > 1:
        named(nodes, hook, where="--only")  # says why
    decisions = narrowed(plan.decisions, wanted, f"not asked for: only {hook}")
    return replace(plan, decisions=decisions, narrowed=True)


def open_shell(plan: Plan, store: Store, place: Place, progress: Progress, command: Sequence[str] = ()) -> int:
    """Enter the place on the caller's terminal; the shell's exit status. command: run that instead, without a terminal.

    In the root for steps that run in it, beside it for all others. Raises PipelineError for a layer that is not there.
    """
    lower = [_layer(store, node) for node in place.stack]
    if place.failed:
        lower.append(place.failed)
    work = place.node.spec.work
    cancel = threading.Event()
    foreign = emulated(plan.config.architecture) if plan.config.foreign else nullcontext("")
    with (
        foreign,
        scratch(store.downloads()) as folder,
        network_for(plan.archive, folder / "proxy", progress, cancel, pinned=plan.config.pinned, used=True) as network,
    ):
        view = network.view()
        staging.write(work.stage, folder / "files")
        if work.archive:
            given = hand_over(plan.archive.lists, (), plan.archive.blobs, folder / "archive/chroot")
            os.setxattr(given.lists, "trusted.overlay.opaque", b"y")
            lower.append(folder / "archive")
        upper = folder / "upper"
        upper.mkdir()
        folders = [name for name in ("config", "hooks.d", "local") if (folder / "files" / name).is_dir()]
        sandbox = Sandbox(
            root=plan.tools.path,
            lower=lower,
            upper=upper,
            binds=[*(Bind(folder / "files" / n, f"/build/{n}", read_only=False) for n in folders), *view.binds],
            network=view.handle,
            environment={**work.environment, "TERM": os.environ.get("TERM", "dumb")},
        )
        argv = ["sh", "-euc", scripts.shell(inside=place.node.spec.kind not in BESIDE), "sh", *command]
        if not command:
            return enter(sandbox, argv)
        return execute(sandbox, argv, log=folder / "log", on_line=print).exit_status


def _layer(store: Store, node: Node) -> Path:
    layer = store.get(node.key)
    if layer is None:
        raise PipelineError("has not been built, or is no longer stored", where=node.spec.name,
                            hint="image-builder build, or build --only HOOK for no more than is needed")  # fmt: skip
    return layer.diff
