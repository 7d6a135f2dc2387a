"""What all steps of one build are made from: its settings, live-build's configuration, the project's files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from image_builder import distributions
from image_builder.apt.solution import Solution
from image_builder.config import BuildConfig
from image_builder.live_build import hooks as hook_files
from image_builder.live_build import package_lists, staging
from image_builder.live_build.configuration import LiveBuildConfig
from image_builder.live_build.seeding import Seeding
from image_builder.live_build.stages import Call
from image_builder.live_build.tool_root import ToolRoot
from image_builder.lock import SnapPin
from image_builder.plan.tree import StepSpec


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
    snaps: tuple[SnapPin, ...] | None = None  # sees a seed of these
    tree: tuple[str, ...] = ()  # files of the work tree that alone decide its result


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
    seeding: Seeding = field(default_factory=Seeding)
    config_dir: Path = Path()  # config/ with what was added to it; left out: the project's own

    def __post_init__(self) -> None:
        if self.config_dir == Path():
            object.__setattr__(self, "config_dir", self.project_dir / "config")

    # -- the environment

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

    def packages_of(self, hook: hook_files.Hook) -> dict[str, str]:
        """What packages are called here, by the variables a hook looks at; the project's environment may say others."""
        named = distributions.BY_NAME[self.config.distribution].packages(self.config.suite, self.config.architecture)
        return {n: self.config.environment.get(n, words) for n, words in named.items() if hook.reads(n)}

    def image_target(self, hook: hook_files.Hook, target: str) -> str:
        """IMAGE_TARGET for a hook: the target, if the hook looks at it; then targets do not share the step.

        For all others it is one name whatever is built, so that the step can be shared.
        """
        return target if hook.reads("IMAGE_TARGET") else self.owners.get(hook.entry.path, "")

    def project_environment(self, image_target: str, **more: str) -> dict[str, staging.Item]:
        """The project's config/environment*, and the hooks' own names (and more) added to the chroot's."""
        found = self.parts(staging.ENVIRONMENT_FILES)
        theirs = found.get("config/environment.chroot")
        above = theirs.content().removeprefix(b"file\0").decode() if theirs else ""
        ours = hook_files.environment_file({**self.environment(image_target), **more})
        return {**found, "config/environment.chroot": staging.text(f"{above}\n{ours}")}

    # -- live-build's configuration

    def image(self, kind: str) -> LiveBuildConfig:
        """What `lb config` wrote for a kind of image; "none": live-build makes none."""
        return self.plain if kind == "none" else self.images[kind]

    def conf(self, conf: Mapping[str, str], *, apt_options: str = "", **variables: str) -> dict[str, staging.Item]:
        """live-build's configuration files, with one step's own variables at the end of config/common."""
        lines = [f'{name}="{value}"' for name, value in variables.items()]
        lines += [
            f'APT_OPTIONS="${{APT_OPTIONS:---yes}} -o Acquire::Retries=5 -o APT::Update::Error-Mode=any {apt_options}"'
        ]
        common = conf.get("common", "") + "\n" + "\n".join(lines) + "\n"
        return {f"config/{n}": staging.text(t) for n, t in {**conf, "common": common}.items()}

    # -- the project's files

    def parts(self, names: Sequence[str]) -> dict[str, staging.Item]:
        """Files and folders of config/, and all of local/, which is first in live-build's PATH."""
        found = staging.parts(self.config_dir, names)
        local = staging.folder(self.project_dir / "local", "local")
        return {f"config/{path}": item for path, item in found.items()} | local

    def package_lists(self) -> dict[str, str]:
        """Every package list live-build reads, name -> text; the one of the settings included."""
        folder = self.config_dir / "package-lists"
        found = {
            p.name: p.read_text() for p in sorted(folder.glob("*")) if p.is_file() and package_lists.is_read(p.name)
        }
        if self.config.packages:
            found[Path(package_lists.OWN_LIST).name] = package_lists.own_list(self.config.packages)
        return found

    def project_hooks(self, *suffixes: str) -> dict[str, staging.Item]:
        """Hooks of the project's own in config/hooks, which keep live-build's rules."""
        found = staging.folder(self.config_dir / "hooks", "config/hooks")
        return {p: i for p, i in found.items() if p.endswith(suffixes) and not self._generated(p, i)}

    def _generated(self, path: str, item: staging.Item) -> bool:
        """Links made by make-hooks (they have steps of their own), `lb config` (defaults) or auto/config."""
        if path in (hook_files.EMPTY_HOOK, hook_files.CLEAN_HOOK):
            return True
        if item.link is None:
            return False
        if item.link.startswith("/usr/share/live/build/"):
            return True
        to = (self.project_dir / path).resolve()
        return to.is_relative_to(self.hooks_d.resolve())

    # -- the archive

    def frozen_lists(self) -> dict[str, staging.Item]:
        """What apt has to see; not part of a key: another index with the same packages is no reason to build."""
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(self.lists.items()))
        return {"config/.frozen-lists": staging.text(lines)}


def step(kind: str, name: str, work: Work, more: Mapping[str, str], **place: object) -> StepSpec:
    """A step with all it is keyed by: its script, its environment, and more. place: hooks, image."""
    inputs = {
        "the step itself": hashlib.sha256(work.script.encode()).hexdigest(),
        **{f"environment {n}": v for n, v in work.environment.items()},
        **more,
    }
    return StepSpec(kind=kind, name=name, inputs=inputs, work=work, **place)  # type: ignore[arg-type]
