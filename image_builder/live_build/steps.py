"""The single steps of a target: what each one runs, sees, and is keyed by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from image_builder.apt.solution import Solution
from image_builder.errors import ConfigError
from image_builder.live_build import hooks as hook_files
from image_builder.live_build import package_lists, scripts, staging
from image_builder.live_build.headers import chosen
from image_builder.live_build.recipe import Recipe, Work, step
from image_builder.live_build.seeding import SEED_AT
from image_builder.plan.tree import StepSpec

# apt-get update then changes nothing: with no source to ask and told to leave the lists alone.
NO_UPDATE = "-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null -o APT::Get::List-Cleanup=0"
EMPTY_HOOK = staging.text("#!/bin/sh\n", mode=0o755)  # without one in hooks/live, live-build runs none


def base(recipe: Recipe) -> StepSpec:
    """The base system, by mmdebstrap or debootstrap."""
    environment = {"SOURCE_DATE_EPOCH": str(recipe.epoch)}
    solution = recipe.solver.base()
    more = {"tool root": recipe.tools.digest, "packages": solution.digest}
    if not recipe.config.pinned:
        more["network"] = "open"  # nothing above it may be taken for a layer of a pinned build
    if recipe.config.base == "debootstrap":
        stage = {**recipe.conf(recipe.plain.for_chroot()), **recipe.parts(())}
        work = Work(scripts.debootstrap(), stage, environment)
        more["live-build's options"] = staging.digest(stage)
    else:
        script = scripts.base(recipe.bootstrap, recipe.apt_sources, recipe.config.hostname)
        work = Work(script, {}, environment, solution, archive=True)
    return step("base", f"base {recipe.config.suite} {recipe.config.architecture}", work, more)


def prepare(recipe: Recipe) -> StepSpec:
    """The project's archives, keys, apt settings and preseeds."""
    files = recipe.parts(staging.PREPARE_PARTS)
    own = any(path.startswith(("config/archives/", "config/packages")) for path in files)
    # The frozen lists are in place: live-build's updates have nothing to bring. With archives of the
    # project's own they have; and live-build then runs apt-ftparchive inside the root.
    conf = recipe.conf(
        recipe.plain.for_chroot(),
        apt_options="" if own else NO_UPDATE,
        LB_BUILD_WITH_CHROOT="true" if own else "false",
    )
    stage = {**conf, **recipe.project_environment(""), **files}
    more = {"config": staging.digest(stage)}
    if own:
        more["archives of the project"] = recipe.lock_digest
    work = Work(scripts.prepare(recipe.chroot_calls.get("prepare", ())), {**stage, **recipe.frozen_lists()},
                {"SOURCE_DATE_EPOCH": str(recipe.epoch)}, archive=True)  # fmt: skip
    return step("prepare", "archives and preseed", work, more)


def packages(
    recipe: Recipe, lists: Mapping[str, str], wanted: package_lists.Wanted, solution: Solution | None
) -> StepSpec:
    """All package lists at once. solution: what apt adds for them; None: nobody can tell beforehand."""
    files = recipe.parts(staging.PACKAGES_PARTS)
    files |= {f"config/package-lists/{name}": staging.text(text) for name, text in lists.items()}
    conf = recipe.conf(recipe.plain.for_chroot(), LB_BUILD_WITH_CHROOT="true" if wanted.executes else "false")
    # Every kernel and every package with a part in it makes the initramfs anew; the step makes it once, at the end.
    once = solution is not None and any(name == "initramfs-tools" for name, _ in solution.installed)
    stage = {**conf, **recipe.project_environment("", **({"INITRD": "No"} if once else {})), **files}
    more = {"config": staging.digest(stage)}
    more["packages"] = solution.digest if solution else recipe.lock_digest
    live_pass = bool(wanted.dynamic) or any(name.endswith(".list.chroot_live") for name in lists)
    script = scripts.packages(recipe.chroot_calls.get("packages", ()), live_pass=live_pass, initramfs=once)
    work = Work(script, stage, {"SOURCE_DATE_EPOCH": str(recipe.epoch)}, solution, archive=True)
    return step("packages", f"packages ({len(wanted.names)} asked for)", work, more)


def chroot_hook(
    recipe: Recipe, hook: hook_files.Hook, known: Solution | None, target: str
) -> tuple[Solution | None, StepSpec]:
    """A hook in the root, and what apt will know of the root after it."""
    more = {"hook": hook.digest}
    called = recipe.packages_of(hook)
    names = None if hook.header.packages is None else _asked_for(recipe, hook.header.packages, called)
    if names is None or known is None:
        # It may use the archive in any way, so the instant itself is its input.
        after, prefetch = None, None
        more["packages"] = recipe.lock_digest
    elif names:
        after = prefetch = recipe.solver.on_top(known, names)
        more["packages"] = prefetch.digest
    else:
        after, prefetch = known, None
    image_target = recipe.image_target(hook, target)
    seed = recipe.seeding.taken(hook.header.snaps, target, hook.entry.path)
    where = {} if seed is None else {"SNAP_SEED": f"/{SEED_AT}"}
    if seed is not None:
        more["snaps"] = recipe.seeding.digest(seed)
        more |= {"AppArmor of this host": recipe.seeding.host} if recipe.seeding.host else {}
    environment = {**called, **recipe.environment(image_target), **where}
    name = f"{hook.name.removesuffix('_early')}"
    stage = {**recipe.conf(recipe.plain.for_chroot()), **recipe.project_environment(image_target, **called, **where)}
    if names != ():
        stage |= recipe.frozen_lists()
    script = hook.files[f"hooks.d/{hook.entry.path}"]
    wrapper = hook_files.wrapper(environment, f"/live-build/config/.hooks/{name}")
    if wrapper:
        stage[f"config/.hooks/{name}"] = script
        script = staging.text(wrapper, mode=0o755)
    visible = {f"config/{path}": item for path, item in hook.files.items()}
    stage |= {**visible, f"config/hooks/normal/{name}": script, "config/hooks/live/000-none.chroot": EMPTY_HOOK}
    more["config"] = staging.digest({p: i for p, i in stage.items() if p.removeprefix("config/") in recipe.plain.files})
    work = Work(
        scripts.chroot_hook(archive=names != (), snaps=seed is not None), stage, environment, prefetch,
        archive=names != (), expects=(name,), snaps=seed,
    )  # fmt: skip
    kind = "early" if hook.entry.phase == "chroot_early" else "chroot"
    made = step(kind, f"{hook.entry.phase} {hook.entry.path}", work, more, hooks=(hook.entry.path,))
    return after, made


def _asked_for(recipe: Recipe, words: tuple[str, ...], called: Mapping[str, str]) -> tuple[str, ...]:
    """called: variable -> names that stand for it."""
    config = recipe.config
    names = chosen(words, {config.architecture, config.distribution})
    meant = " ".join(called.get(name.removeprefix("$"), name) if name.startswith("$") else name for name in names)
    meant = meant.replace("$ARCH", config.architecture).replace("$SUITE", config.suite)
    return tuple(meant.replace(",", " ").split())


def finish(recipe: Recipe, kind: str) -> StepSpec:
    """live-build's default hooks, the project's own, and the clean-up: the root as it is handed over."""
    conf = recipe.image(kind)
    indices = conf.variable("LB_APT_INDICES", "true") == "true"
    stage = recipe.conf(conf.for_chroot(), apt_options="" if indices else NO_UPDATE)
    stage |= recipe.project_environment("") | recipe.parts(staging.FINISH_PARTS)
    stage |= {f"config/{path}": staging.Item(link=to) for path, to in conf.default_hooks.items()}
    theirs = recipe.project_hooks(".chroot", ".container")
    if theirs:  # a hook of the project's own may read any file of config/
        stage = {**recipe.parts([p.name for p in recipe.config_dir.iterdir() if p.name != "hooks"]), **stage, **theirs}
    stage |= {"config/hooks/live/000-none.chroot": EMPTY_HOOK}
    more = {"config": staging.digest(stage)}
    if indices or theirs:
        more["packages"] = recipe.lock_digest
    script = scripts.finish(recipe.chroot_calls.get("finish", ()), hostname=recipe.config.hostname, indices=indices)
    expects = tuple(Path(path).name for path in theirs)
    work = Work(script, stage, recipe.environment(""), archive=indices or bool(theirs), expects=expects)
    return step("finish", "finish", work, more, image=kind)


def image(recipe: Recipe, kind: str) -> StepSpec:
    """What live-build itself puts beside the root for an image: squashfs, boot loaders, menus."""
    stage = _binary_stage(recipe, kind)
    work = Work(scripts.image(recipe.binary_calls.get("image", ())), stage, recipe.environment(""))
    return step("image", f"image {kind}", work, {"config": staging.digest(stage)}, image=kind)


def _binary_stage(recipe: Recipe, kind: str) -> dict[str, staging.Item]:
    conf = recipe.image(kind)
    stage = recipe.conf(conf.files, LB_BUILD_WITH_CHROOT="false")
    return {**stage, **recipe.project_environment(""), **recipe.parts(staging.IMAGE_PARTS)}


def binary_hook(recipe: Recipe, hook: hook_files.Hook, kind: str, target: str) -> StepSpec:
    """A hook of hooks.d beside the finished root. Raises ConfigError for one that wants to seed snaps."""
    if hook.header.snaps is not None:
        raise ConfigError(
            "declares `# snaps:`, but the root is finished when it runs", where=hook.entry.path,
            hint="let a .chroot hook seed them",
        )  # fmt: skip
    image_target = recipe.image_target(hook, target)
    conf = recipe.image(kind)
    stage = {**recipe.conf(conf.for_chroot()), **recipe.parts(staging.ENVIRONMENT_FILES), **hook.files}
    # live-build runs binary hooks in binary/; those of hooks.d run in the folder above it.
    start = f'#!/bin/sh\ncd .. && exec "$PWD/hooks.d/{hook.entry.path}" "$@"\n'
    stage[f"config/hooks/normal/{hook.name}"] = staging.text(start, mode=0o755)
    environment = recipe.environment(image_target)
    work = Work(scripts.binary_hook(), stage, environment, expects=(hook.name,), tree=hook.header.tree)
    more = {"hook": hook.digest, "config": staging.digest({p: i for p, i in stage.items() if p not in hook.files})}
    return step("binary", f"binary {hook.entry.path}", work, more, hooks=(hook.entry.path,), image=kind)


def project_binary_hooks(recipe: Recipe, kind: str, theirs: staging.Stage) -> StepSpec:
    """The project's own binary hooks, all in one step."""
    stage = {**_binary_stage(recipe, kind), **theirs}
    work = Work(scripts.binary_hook(), stage, recipe.environment(""), expects=tuple(Path(p).name for p in theirs))
    return step("binary", "binary config/hooks", work, {"config": staging.digest(stage)}, image=kind)


def pack(recipe: Recipe, kind: str) -> StepSpec:
    """Checksums, and the image itself."""
    stage = _binary_stage(recipe, kind)
    script = scripts.pack(recipe.binary_calls.get("pack", ()), recipe.config.project)
    work = Work(script, stage, recipe.environment(""))
    return step("pack", f"pack {kind}", work, {"config": staging.digest(stage)}, image=kind)
