"""live-build's own configuration: the options we pass to `lb config`, and the files it writes.

`lb config` runs in the tool root, once per set of options; what it wrote is remembered in the store.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from image_builder import distributions
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError, PipelineError
from image_builder.layers import Store
from image_builder.live_build.tool_root import ToolRoot
from image_builder.sandbox import Bind, Sandbox, execute
from image_builder.scratch import scratch

CONFFILES = ("all", "common", "bootstrap", "chroot", "binary", "source")
# Variables live-build keeps in config/binary that its chroot helpers read all the same.
CHROOT_VARIABLES_IN_BINARY = (
    "LB_IMAGE_TYPE",
    "LB_APT_INDICES",
    "LB_BUILD_WITH_CHROOT",
    "LB_DEBIAN_INSTALLER",
    "LB_FIRMWARE_CHROOT",
    "LB_SWAP_FILE_PATH",
    "LB_SWAP_FILE_SIZE",
)


@dataclass(frozen=True)
class LiveBuildConfig:
    """What `lb config` wrote. files: path below config/ -> text; default_hooks: path -> link target."""

    files: Mapping[str, str]
    default_hooks: Mapping[str, str]

    def variable(self, name: str, default: str = "") -> str:
        """The value of one LB_ variable, "LB_APT_INDICES"."""
        for text in self.files.values():
            if (value := parse(text).get(name)) is not None:
                return value
        return default

    def for_chroot(self) -> dict[str, str]:
        """The same files with only those lines of config/binary that the chroot helpers read."""
        kept = [
            line
            for line in self.files.get("binary", "").splitlines()
            if line.partition("=")[0] in CHROOT_VARIABLES_IN_BINARY
        ]
        return {**self.files, "binary": "\n".join(kept) + "\n"}


def parse(text: str) -> dict[str, str]:
    """Variables of a configuration file: the shell assignments live-build writes, nothing cleverer."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*([A-Z][A-Z0-9_]*)=(.*)", line)
        if match:
            try:
                found[match[1]] = " ".join(shlex.split(match[2]))
            except ValueError:
                continue
    return found


def written_by_hand(project_dir: Path) -> dict[str, str]:
    """The configuration files that stand in the project's config/, from an `lb config` of its owner."""
    folder = project_dir / "config"
    names = [p for p in sorted(folder.glob("*")) if p.name.partition(".")[0] in CONFFILES and p.is_file()]
    return {p.name: p.read_text(encoding="utf-8") for p in names}


def agrees(config: BuildConfig, files: Mapping[str, str]) -> None:
    """Raise ConfigError where config/ (from `lb config`) says another thing than what was asked for."""
    values: dict[str, str] = {}
    for text in files.values():
        values |= parse(text)
    for variable, asked, name in (
        ("LB_DISTRIBUTION", config.suite, "suite"),
        ("LB_ARCHITECTURE", config.architecture, "architecture"),
    ):
        if values.get(variable, asked) != asked:
            raise ConfigError(
                f"says {variable}={values[variable]}, but {name} is {asked}",
                where="config/",
                hint="run `lb config` again, or remove config/common and the files beside it",
            )


def options(config: BuildConfig, image: str) -> list[str]:
    """The words after `lb config noauto` for one kind of image: "none", "iso-hybrid" or "netboot"."""

    def yes(value: bool) -> str:
        return "true" if value else "false"

    areas = " ".join(config.archive_areas)
    theirs = distributions.BY_NAME[config.distribution]
    pockets = config.suite not in theirs.rolling
    made = [
        # Also for Ubuntu: in the mode of that name live-build writes no source for the security pocket.
        "--mode", "debian",
        "--distribution", config.suite,
        "--architecture", config.architecture,
        "--archive-areas", areas,
        "--mirror-bootstrap", config.mirror,
        "--mirror-chroot", config.mirror,
        "--mirror-chroot-security", config.security_mirror,
        "--mirror-binary", config.mirror,
        "--mirror-binary-security", config.security_mirror,
        "--security", yes(config.security and pockets),
        "--updates", yes(config.updates and pockets),
        # Debian 12's live-build does not know it; Ubuntu's pocket has another name, see assembly.proposed
        *(["--proposed-updates", "true"] if config.proposed and theirs == distributions.DEBIAN else []),
        *(["--keyring-packages", theirs.keyring_package] if theirs != distributions.DEBIAN else []),
        "--apt-recommends", yes(config.recommends),
        "--apt-source-archives", "false",
        "--apt-indices", "false",
        "--cache", "false",
        "--firmware-chroot", "false",
        "--firmware-binary", "false",
        "--debian-installer", "none",
        "--zsync", "false",
    ]  # fmt: skip
    return [*made, *image_options(config, image), *config.live_build]


def image_options(config: BuildConfig, image: str) -> list[str]:
    """The options that make it that kind of image, whatever else is configured."""
    if image == "none":
        return [
            "--system", "normal", "--initramfs", "none", "--initsystem", "none",
            "--linux-packages", "none", "--chroot-filesystem", "none", "--build-with-chroot", "false",
        ]  # fmt: skip
    compression = config.environment.get("SQUASHFS_COMP", "xz")
    return [
        "--chroot-squashfs-compression-type", compression,
        "--system", "live", "--initramfs", "live-boot", "--initsystem", "systemd",
        "--linux-packages", "linux-image", "--binary-image", image, "--build-with-chroot", "false",
        "--bootappend-live", config.bootappend_live,
    ]  # fmt: skip


def configure(
    store: Store, tools: ToolRoot, config: BuildConfig, image: str, by_hand: Mapping[str, str]
) -> LiveBuildConfig:
    """Run `lb config` for one kind of image, or recall what it wrote for the same question.

    by_hand: configuration files of the project's config/; when there are any they say everything but
    the kind of image. Raises ConfigError with live-build's own words when it refuses an option.
    """
    arguments = [*image_options(config, image), *config.live_build] if by_hand else options(config, image)
    question = json.dumps([tools.digest, arguments, dict(by_hand)], sort_keys=True)
    key = hashlib.sha256(question.encode()).hexdigest()
    answer = store.recall("lb-config", key)
    if answer is None:
        with scratch(store.downloads()) as folder:
            answer = _ask(folder, tools, arguments, by_hand)
        store.remember("lb-config", key, answer)
    return LiveBuildConfig(answer["files"], answer["default_hooks"])


def _ask(
    folder: Path, tools: ToolRoot, arguments: Sequence[str], by_hand: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    work, log = folder / "work", folder / "log"
    (work / "config").mkdir(parents=True)
    for name, text in by_hand.items():
        (work / "config" / name).write_text(text)
    sandbox = Sandbox(
        root=tools.path,
        binds=[Bind(work, "/build", read_only=False)],
        work_tree="/work",
        network="none",
        environment={"SOURCE_DATE_EPOCH": "0"},
    )
    outcome = execute(sandbox, ["sh", "-c", 'cd /build && exec lb config noauto "$@"', "lb", *arguments], log=log)
    if outcome.exit_status != 0:
        said = log.read_text(errors="replace")[-2000:]
        raise ConfigError(
            f"refused the options:\n{said}", where="lb config", hint="see live_build in image-builder.yaml"
        )
    written = work / "config"
    files = {p.name: p.read_text() for p in sorted(written.iterdir()) if p.is_file()}
    hooks = {
        str(p.relative_to(written)): str(p.readlink()) for p in sorted(written.glob("hooks/*/*")) if p.is_symlink()
    }
    if not hooks:
        raise PipelineError("linked none of its default hooks", where="lb config")
    return {"files": files, "default_hooks": hooks}
