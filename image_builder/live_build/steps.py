"""From a target's hooks to its chain of steps: what each one runs, sees, and is keyed by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from image_builder.apt.solution import Solution
from image_builder.config import BuildConfig
from image_builder.live_build import hooks as hook_files
from image_builder.live_build import package_lists, scripts, staging
from image_builder.live_build.configuration import LiveBuildConfig
from image_builder.live_build.stages import Call
from image_builder.live_build.tool_root import ToolRoot
from image_builder.plan.tree import StepSpec
from image_builder.series.resolve import Target

# apt-get update then changes nothing: with no source to ask and told to leave the lists alone.
NO_UPDATE = "-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts=/dev/null -o APT::Get::List-Cleanup=0"
EMPTY_HOOK = staging.text("#!/bin/sh\n", mode=0o755)  # without one in hooks/live, live-build runs none


class Solver(Protocol):
    """Asks apt, or recalls what it said."""

    def base(self) -> Solution: ...
    def on_top(self, below: Solution, names: Sequence[str]) -> Solution: ...


@dataclass(frozen=True)
class Work:
    """What the executor needs to carry a step out."""

    script: str
    stage: staging.Stage  # files below /build: config/..., hooks.d/...
    environment: Mapping[str, str]
    solution: Solution | None = None  # packages to have at hand; None: none, or apt fetches what it needs
    archive: bool = False  # sees apt's frozen lists
    expects: tuple[str, ...] = ()  # names of hooks live-build has to say it ran


@dataclass(frozen=True)
class Recipe:
    """Everything that is the same for all targets of a build."""

    config: BuildConfig
    project_dir: Path
    hooks_d: Path
    tools: ToolRoot
    lists: Mapping[str, str]  # name in /var/lib/apt/lists -> SHA-256 of every frozen InRelease
    lock_digest: str
    epoch: int  # SOURCE_DATE_EPOCH
    plain: LiveBuildConfig  # for everything up to the finished root
    images: Mapping[str, LiveBuildConfig]  # by kind of image
    chroot_calls: Mapping[str, tuple[Call, ...]]
    binary_calls: Mapping[str, tuple[Call, ...]]
    solver: Solver
    bootstrap: tuple[str, ...]  # mmdebstrap's words
    apt_sources: str
    owners: Mapping[str, str]  # hook -> the first series file, by name, that lists it
    whole_tree: bool = False  # a foreign hooks.d
    config_dir: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "config_dir", self.project_dir / "config")

    # -- what steps have in common

    def environment(self, image_target: str) -> dict[str, str]:
        """What every hook sees; the same names livecd-rootfs and launchpad-buildd use."""
        return {
            **self.config.environment,
            "PROJECT": self.config.project,
            "SUBPROJECT": self.config.subproject,
            "SUITE": self.config.suite,
            "ARCH": self.config.architecture,
            "SUBARCH": self.config.subarch,
            "SOURCE_DATE_EPOCH": str(self.epoch),
            "IMAGE_TARGET": image_target,
        }

    def _spec(self, kind: str, name: str, work: Work, more: Mapping[str, str], **place: object) -> StepSpec:
        inputs = {
            "the step itself": hashlib.sha256(work.script.encode()).hexdigest(),
            **{f"environment {n}": v for n, v in work.environment.items()},
            **more,
        }
        return StepSpec(kind=kind, name=name, inputs=inputs, work=work, **place)  # type: ignore[arg-type]

    def _conf(self, conf: Mapping[str, str], *, apt_options: str = "", **variables: str) -> dict[str, staging.Item]:
        """live-build's configuration files, with this step's own variables at the end of config/common."""
        lines = [f'{name}="{value}"' for name, value in variables.items()]
        lines += [
            f'APT_OPTIONS="${{APT_OPTIONS:---yes}} -o Acquire::Retries=5 -o APT::Update::Error-Mode=any {apt_options}"'
        ]
        common = conf.get("common", "") + "\n" + "\n".join(lines) + "\n"
        return {f"config/{n}": staging.text(t) for n, t in {**conf, "common": common}.items()}

    def _parts(self, names: Sequence[str]) -> dict[str, staging.Item]:
        found = staging.parts(self.config_dir, names)
        local = staging.folder(self.project_dir / "local", "local")
        return {f"config/{path}": item for path, item in found.items()} | local

    def _project_environment(self, image_target: str, **more: str) -> dict[str, staging.Item]:
        """The project's config/environment*, and the hooks' own names (and more) added to the chroot's."""
        found = self._parts(staging.ENVIRONMENT_FILES)
        theirs = found.get("config/environment.chroot")
        above = theirs.content().removeprefix(b"file\0").decode() if theirs else ""
        ours = hook_files.environment_file({**self.environment(image_target), **more})
        return {**found, "config/environment.chroot": staging.text(f"{above}\n{ours}")}

    def _frozen_lists(self) -> dict[str, staging.Item]:
        """What apt has to see; not part of a key: another index with the same packages is no reason to build."""
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(self.lists.items()))
        return {"config/.frozen-lists": staging.text(lines)}

    # -- the steps

    def chain(self, target: Target) -> list[StepSpec]:
        """All steps of one target, lowest first."""
        kind = target.directives.get("binary", "none")
        hooks = [hook_files.read(self.hooks_d, entry, whole_tree=self.whole_tree) for entry in target.hooks]
        hooks = [
            h for h in hooks if h.header.architectures is None or self.config.architecture in h.header.architectures
        ]
        steps = [self._base(), self._prepare()]
        known: Solution | None = self.solver.base()
        for hook in hooks:
            if hook.entry.phase == "chroot_early":
                known, step = self._chroot_hook(hook, known, target.name)
                steps.append(step)
        lists = self._package_lists()
        wanted = package_lists.wanted(lists)
        # live-build installs the project's own packages too, without being asked
        local = tuple(sorted({p.name.partition("_")[0] for p in self.config_dir.glob("packages.chroot/*.deb")}))
        unsure = wanted.dynamic or any(self.config_dir.glob("packages/*.deb"))
        known = self.solver.on_top(known, (*wanted.names, *local)) if known and not unsure else None
        steps.append(self._packages(lists, wanted, known))
        for hook in hooks:
            if hook.entry.phase == "chroot":
                known, step = self._chroot_hook(hook, known, target.name)
                steps.append(step)
        steps.append(self._finish(kind))
        if self.config.image_format == "none":
            return steps
        if kind != "none":
            steps.append(self._image(kind))
        steps += [self._binary_hook(hook, kind, target.name) for hook in hooks if hook.entry.phase == "binary"]
        if theirs := self._project_hooks(".binary"):
            steps.append(self._project_binary_hooks(kind, theirs))
        if kind != "none":
            steps.append(self._pack(kind))
        return steps

    def left_out(self, target: Target) -> tuple[str, ...]:
        """Hooks of a target that say they are not for this architecture."""
        return tuple(h.entry.path for h in self._hooks(target) if not self._is_for_us(h))

    def _hooks(self, target: Target) -> list[hook_files.Hook]:
        return [hook_files.read(self.hooks_d, entry, whole_tree=self.whole_tree) for entry in target.hooks]

    def _is_for_us(self, hook: hook_files.Hook) -> bool:
        return hook.header.architectures is None or self.config.architecture in hook.header.architectures

    def _base(self) -> StepSpec:
        environment = {"SOURCE_DATE_EPOCH": str(self.epoch)}
        solution = self.solver.base()
        more = {"tool root": self.tools.digest, "packages": solution.digest}
        if self.config.base == "debootstrap":
            stage = {**self._conf(self.plain.for_chroot()), **self._parts(())}
            work = Work(scripts.debootstrap(), stage, environment)
            more["live-build's options"] = staging.digest(stage)
        else:
            script = scripts.base(self.bootstrap, self.apt_sources, self.config.hostname)
            work = Work(script, {}, environment, solution, archive=True)
        return self._spec("base", f"base {self.config.suite} {self.config.architecture}", work, more)

    def _prepare(self) -> StepSpec:
        files = self._parts(staging.PREPARE_PARTS)
        own = any(path.startswith(("config/archives/", "config/packages")) for path in files)
        # The frozen lists are in place: live-build's updates have nothing to bring. With archives of the
        # project's own they have; and live-build then runs apt-ftparchive inside the root.
        conf = self._conf(
            self.plain.for_chroot(),
            apt_options="" if own else NO_UPDATE,
            LB_BUILD_WITH_CHROOT="true" if own else "false",
        )
        stage = {**conf, **self._project_environment(""), **files}
        more = {"config": staging.digest(stage)}
        if own:
            more["archives of the project"] = self.lock_digest
        work = Work(scripts.prepare(self.chroot_calls.get("prepare", ())), {**stage, **self._frozen_lists()},
                    {"SOURCE_DATE_EPOCH": str(self.epoch)}, archive=True)  # fmt: skip
        return self._spec("prepare", "archives and preseed", work, more)

    def _package_lists(self) -> dict[str, str]:
        folder = self.config_dir / "package-lists"
        found = {
            p.name: p.read_text() for p in sorted(folder.glob("*")) if p.is_file() and package_lists.is_read(p.name)
        }
        if self.config.packages:
            found[Path(package_lists.OWN_LIST).name] = package_lists.own_list(self.config.packages)
        return found

    def _packages(self, lists: Mapping[str, str], wanted: package_lists.Wanted, solution: Solution | None) -> StepSpec:
        files = self._parts(staging.PACKAGES_PARTS)
        files |= {f"config/package-lists/{name}": staging.text(text) for name, text in lists.items()}
        conf = self._conf(self.plain.for_chroot(), LB_BUILD_WITH_CHROOT="true" if wanted.executes else "false")
        # Every kernel and every package with a part in it makes the initramfs anew; the step makes it once, at the end.
        once = solution is not None and any(name == "initramfs-tools" for name, _ in solution.installed)
        stage = {**conf, **self._project_environment("", **({"INITRD": "No"} if once else {})), **files}
        more = {"config": staging.digest(stage)}
        more["packages"] = solution.digest if solution else self.lock_digest
        live_pass = bool(wanted.dynamic) or any(name.endswith(".list.chroot_live") for name in lists)
        script = scripts.packages(self.chroot_calls.get("packages", ()), live_pass=live_pass, initramfs=once)
        work = Work(script, stage, {"SOURCE_DATE_EPOCH": str(self.epoch)}, solution, archive=True)
        return self._spec("packages", f"packages ({len(wanted.names)} asked for)", work, more)

    def _image_target(self, hook: hook_files.Hook, target: str) -> str:
        """IMAGE_TARGET for a hook: the target, if the hook looks at it; then targets do not share the step.

        For all others it is one name whatever is built, so that the step can be shared.
        """
        return target if hook.reads("IMAGE_TARGET") else self.owners.get(hook.entry.path, "")

    def _chroot_hook(
        self, hook: hook_files.Hook, known: Solution | None, target: str
    ) -> tuple[Solution | None, StepSpec]:
        """A hook in the root, and what apt will know of the root after it."""
        more = {"hook": hook.digest}
        names = None if hook.header.packages is None else tuple(self._expanded(n) for n in hook.header.packages)
        if names is None or known is None:
            # It may use the archive in any way, so the instant itself is its input.
            after, prefetch = None, None
            more["packages"] = self.lock_digest
        elif names:
            after = prefetch = self.solver.on_top(known, names)
            more["packages"] = prefetch.digest
        else:
            after, prefetch = known, None
        image_target = self._image_target(hook, target)
        environment = self.environment(image_target)
        name = f"{hook.name.removesuffix('_early')}"
        stage = {**self._conf(self.plain.for_chroot()), **self._project_environment(image_target)}
        if names != ():
            stage |= self._frozen_lists()
        script = hook.files[f"hooks.d/{hook.entry.path}"]
        wrapper = hook_files.wrapper(environment, f"/live-build/config/.hooks/{name}")
        if wrapper:
            stage[f"config/.hooks/{name}"] = script
            script = staging.text(wrapper, mode=0o755)
        visible = {f"config/{path}": item for path, item in hook.files.items()}
        stage |= {**visible, f"config/hooks/normal/{name}": script, "config/hooks/live/000-none.chroot": EMPTY_HOOK}
        more["config"] = staging.digest(
            {p: i for p, i in stage.items() if p.removeprefix("config/") in self.plain.files}
        )
        work = Work(
            scripts.chroot_hook(archive=names != ()), stage, environment, prefetch, archive=names != (), expects=(name,)
        )
        kind = "early" if hook.entry.phase == "chroot_early" else "chroot"
        spec = self._spec(kind, f"{hook.entry.phase} {hook.entry.path}", work, more, hooks=(hook.entry.path,))
        return after, spec

    def _expanded(self, word: str) -> str:
        return word.replace("$ARCH", self.config.architecture).replace("$SUITE", self.config.suite)

    def _finish(self, kind: str) -> StepSpec:
        conf = self.plain if kind == "none" else self.images[kind]
        indices = conf.variable("LB_APT_INDICES", "true") == "true"
        stage = self._conf(conf.for_chroot(), apt_options="" if indices else NO_UPDATE)
        stage |= self._project_environment("") | self._parts(staging.FINISH_PARTS)
        stage |= {f"config/{path}": staging.Item(link=to) for path, to in conf.default_hooks.items()}
        theirs = staging.folder(self.config_dir / "hooks", "config/hooks")
        theirs = {
            p: i for p, i in theirs.items() if p.endswith((".chroot", ".container")) and not self._generated(p, i)
        }
        if theirs:  # a hook of the project's own may read any file of config/
            stage = {**self._parts([p.name for p in self.config_dir.iterdir() if p.name != "hooks"]), **stage, **theirs}
        stage |= {"config/hooks/live/000-none.chroot": EMPTY_HOOK}
        more = {"config": staging.digest(stage)}
        if indices or theirs:
            more["packages"] = self.lock_digest
        script = scripts.finish(self.chroot_calls.get("finish", ()), hostname=self.config.hostname, indices=indices)
        expects = tuple(Path(path).name for path in theirs)
        work = Work(script, stage, self.environment(""), archive=indices or bool(theirs), expects=expects)
        return self._spec("finish", "finish", work, more, image=kind)

    def _project_hooks(self, *suffixes: str) -> dict[str, staging.Item]:
        """Hooks of the project's own in config/hooks, which keep live-build's rules."""
        found = staging.folder(self.config_dir / "hooks", "config/hooks")
        return {p: i for p, i in found.items() if p.endswith(suffixes) and not self._generated(p, i)}

    def _generated(self, path: str, item: staging.Item) -> bool:
        """Links made by make-hooks (they have steps of their own) or by `lb config` (defaults)."""
        if item.link is None:
            return False
        if item.link.startswith("/usr/share/live/build/"):
            return True
        to = (self.project_dir / path).resolve()
        return to.is_relative_to(self.hooks_d.resolve())

    def _image(self, kind: str) -> StepSpec:
        stage = self._binary_stage(kind)
        work = Work(scripts.image(self.binary_calls.get("image", ())), stage, self.environment(""))
        return self._spec("image", f"image {kind}", work, {"config": staging.digest(stage)}, image=kind)

    def _binary_stage(self, kind: str) -> dict[str, staging.Item]:
        conf = self.plain if kind == "none" else self.images[kind]
        stage = self._conf(conf.files, LB_BUILD_WITH_CHROOT="false")
        return {**stage, **self._project_environment(""), **self._parts(staging.IMAGE_PARTS)}

    def _binary_hook(self, hook: hook_files.Hook, kind: str, target: str) -> StepSpec:
        image_target = self._image_target(hook, target)
        conf = self.plain if kind == "none" else self.images[kind]
        stage = {**self._conf(conf.for_chroot()), **self._parts(staging.ENVIRONMENT_FILES), **hook.files}
        # live-build runs binary hooks in binary/; those of hooks.d run in the folder above it.
        start = f'#!/bin/sh\ncd .. && exec "$PWD/hooks.d/{hook.entry.path}" "$@"\n'
        stage[f"config/hooks/normal/{hook.name}"] = staging.text(start, mode=0o755)
        work = Work(scripts.binary_hook(), stage, self.environment(image_target), expects=(hook.name,))
        more = {"hook": hook.digest, "config": staging.digest({p: i for p, i in stage.items() if p not in hook.files})}
        return self._spec("binary", f"binary {hook.entry.path}", work, more, hooks=(hook.entry.path,), image=kind)

    def _project_binary_hooks(self, kind: str, theirs: staging.Stage) -> StepSpec:
        stage = {**self._binary_stage(kind), **theirs}
        work = Work(scripts.binary_hook(), stage, self.environment(""), expects=tuple(Path(p).name for p in theirs))
        return self._spec("binary", "binary config/hooks", work, {"config": staging.digest(stage)}, image=kind)

    def _pack(self, kind: str) -> StepSpec:
        stage = self._binary_stage(kind)
        script = scripts.pack(self.binary_calls.get("pack", ()), self.config.project)
        work = Work(script, stage, self.environment(""))
        return self._spec("pack", f"pack {kind}", work, {"config": staging.digest(stage)}, image=kind)
