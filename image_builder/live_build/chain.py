"""From a target's hooks to its chain of steps, lowest first; the plan joins the chains to a tree."""

from __future__ import annotations

from collections.abc import Sequence

from image_builder.apt.solution import Solution
from image_builder.errors import ConfigError
from image_builder.live_build import hooks as hook_files
from image_builder.live_build import package_lists, steps
from image_builder.live_build.recipe import Recipe
from image_builder.plan.tree import StepSpec
from image_builder.series.resolve import Target


def chain(recipe: Recipe, target: Target) -> list[StepSpec]:
    """All steps of one target, lowest first."""
    kind = target.directives.get("binary", "none")
    hooks = [hook for hook in _hooks(recipe, target) if _is_for_us(recipe, hook)]
    made = [steps.base(recipe), steps.prepare(recipe)]
    # What apt will know of the root: None as soon as nobody can tell before a step has run.
    known: Solution | None = recipe.solver.base()
    for hook in hooks:
        if hook.entry.phase == "chroot_early":
            known, step = steps.chroot_hook(recipe, hook, known, target.name)
            made.append(step)
    lists = recipe.package_lists()
    wanted = package_lists.wanted(lists)
    # live-build installs the project's own packages too, without being asked
    local = tuple(sorted({p.name.partition("_")[0] for p in recipe.config_dir.glob("packages.chroot/*.deb")}))
    unsure = wanted.dynamic or any(recipe.config_dir.glob("packages/*.deb"))
    known = recipe.solver.on_top(known, (*wanted.names, *local)) if known and not unsure else None
    made.append(steps.packages(recipe, lists, wanted, known))
    for hook in hooks:
        if hook.entry.phase == "chroot":
            known, step = steps.chroot_hook(recipe, hook, known, target.name)
            made.append(step)
    made.append(steps.finish(recipe, kind))
    if recipe.config.image_format == "none":
        return made
    if kind != "none":
        made.append(steps.image(recipe, kind))
    made += [steps.binary_hook(recipe, hook, kind, target.name) for hook in hooks if hook.entry.phase == "binary"]
    if theirs := recipe.project_hooks(".binary"):
        made.append(steps.project_binary_hooks(recipe, kind, theirs))
    if kind != "none" and target.directives.get("pack") != "none":
        made.append(steps.pack(recipe, kind))
    return made


def refuse_other_distributions(recipe: Recipe, targets: Sequence[Target]) -> None:
    """Raise ConfigError naming every target with a hook that knows another distribution's packages."""
    theirs = recipe.config.distribution
    found = {
        target.name: hook
        for target in targets
        for hook in reversed(_hooks(recipe, target))  # so that the first one is named
        if _is_for_us(recipe, hook) and hook.header.distributions and theirs not in hook.header.distributions
    }
    if found:
        hooks = {hook.entry.path: hook.header.distributions or () for hook in found.values()}
        lines = [f"{path} installs packages of {' and '.join(known)}" for path, known in hooks.items()]
        raise ConfigError(
            f"cannot be made of {recipe.config.suite}, which is {theirs}: {'; '.join(lines)}",
            where=f"target{'s' if len(found) > 1 else ''} {', '.join(found)}",
            hint=f"leave out what cannot be made, or write its hooks for {theirs} in hooks.d/extra",
        )


def left_out(recipe: Recipe, target: Target) -> tuple[str, ...]:
    """Hooks of a target that say they are not for this architecture."""
    return tuple(hook.entry.path for hook in _hooks(recipe, target) if not _is_for_us(recipe, hook))


def _hooks(recipe: Recipe, target: Target) -> list[hook_files.Hook]:
    return [hook_files.read(recipe.hooks_d, entry, whole_tree=recipe.whole_tree) for entry in target.hooks]


def _is_for_us(recipe: Recipe, hook: hook_files.Hook) -> bool:
    return hook.header.architectures is None or recipe.config.architecture in hook.header.architectures
