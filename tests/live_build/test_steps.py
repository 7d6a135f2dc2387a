"""A target's chain of steps: what each one runs, sees, and is keyed by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from image_builder.apt.solution import Package, Solution
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError
from image_builder.live_build.chain import chain, left_out, refuse_other_distributions
from image_builder.live_build.configuration import LiveBuildConfig
from image_builder.live_build.hooks import CLEAN_HOOK, EMPTY_HOOK
from image_builder.live_build.recipe import Recipe, Work
from image_builder.live_build.seeding import Seeding
from image_builder.live_build.stages import Call
from image_builder.live_build.steps import NO_UPDATE
from image_builder.live_build.tool_root import ToolRoot
from image_builder.lock import SnapPin
from image_builder.plan.tree import Node, StepSpec, grow
from image_builder.series.resolve import resolve

FILES = {
    "common": 'LB_IMAGE_NAME="live-image"\n',
    "bootstrap": 'LB_DISTRIBUTION="trixie"\n',
    "chroot": 'LB_LINUX_PACKAGES="none"\n',
    "binary": 'LB_IMAGE_TYPE="iso-hybrid"\nLB_BOOTAPPEND_LIVE="boot=live"\nLB_APT_INDICES="false"\n',
}
PLAIN = LiveBuildConfig(FILES, {"hooks/normal/1000-x.hook.chroot": "/usr/share/live/build/hooks/normal/1000-x"})
HOOKS = {
    "base/base.chroot": "# inputs:\n# packages:\necho $PROJECT",
    "base/kernel.chroot": "# packages: linux-image-cloud-$ARCH\n",
    "base/undeclared.chroot": "apt-get install vim\n",
    "base/early.chroot_early": "# packages:\n",
    "base/disk.binary": "# inputs: ovf\n",
    "base/qcow2.binary": "qemu-img\n",
    "base/named.binary": "echo $IMAGE_TARGET\n",
    "base/arm.binary": "# architectures: arm64\n",
    "base/seed.chroot": "# packages:\n# snaps: all\n",
    "base/late.binary": "# snaps: all\n",
    "base/boot.chroot": "# packages: zstd grub-cloud-amd64[amd64] shim-signed[arm64] linux-virtual[ubuntu]\n",
    "base/named-apart.chroot": "# packages: zstd $PACKAGES_CLOUD_KERNEL $PACKAGES_DISK_BOOT $PACKAGES_LIVE_BOOT\n",
    "base/debian.chroot": "# packages:\n# distributions: debian\n",
    "ovf/a.tmpl": "A",
}
SERIES = {
    "disk": "base/base.chroot base/kernel.chroot base/disk.binary",
    "qcow2": "base/base.chroot base/kernel.chroot base/disk.binary base/qcow2.binary",
    "squashfs": "base/base.chroot base/qcow2.binary",
    "free": "base/undeclared.chroot base/qcow2.binary",
    "named": "base/named.binary",
    "named-too": "base/named.binary",
    "early": "base/base.chroot base/early.chroot_early",
    "arm": "base/arm.binary",
    "snaps": "base/seed.chroot base/qcow2.binary",
    "few-snaps": "base/seed.chroot base/qcow2.binary",
    "late": "base/late.binary",
    "boot": "base/boot.chroot base/qcow2.binary",
    "debian": "base/debian.chroot base/qcow2.binary",
    "apart": "base/named-apart.chroot base/qcow2.binary",
    "iso": "#%_binary:_iso-hybrid base/base.chroot base/qcow2.binary",
}


def package(name: str) -> Package:
    return Package(name, "amd64", "1", "0" * 64, 1, f"http://mirror/{name}")


class FakeSolver:
    """apt that takes exactly what was asked for; versions: name -> version, where it is not 1."""

    def __init__(self, versions: Mapping[str, str] = {}) -> None:
        self.versions = versions

    def _package(self, name: str) -> Package:
        return dataclasses.replace(package(name), version=self.versions.get(name, "1"))

    def base(self) -> Solution:
        return Solution((self._package("base-files"),))

    def on_top(self, below: Solution, names: Sequence[str]) -> Solution:
        return Solution(tuple(map(self._package, names)), (), below) if names else below


class Ground:
    """A project folder with hooks, and the recipe made for it."""

    def __init__(self, folder: Path) -> None:
        self.project, self.hooks_d = folder / "project", folder / "hooks.d"
        self.config = self.project / "config"
        self.config.mkdir(parents=True)
        self.put(self.hooks_d, HOOKS)
        lines = {name: text.replace(" ", "\n").replace("_", " ") for name, text in SERIES.items()}
        self.put(self.hooks_d / "base/series", {n: t.replace("chroot early", "chroot_early") for n, t in lines.items()})

    def put(self, root: Path, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)

    def recipe(self, **changes: Any) -> Recipe:
        settings: dict[str, Any] = {
            "config": BuildConfig(architecture="amd64"),
            "project_dir": self.project,
            "hooks_d": self.hooks_d,
            "tools": ToolRoot(Path("/nonexistent"), "tools-digest", "1:20250505"),
            "lists": {"mirror_InRelease": "1" * 64},
            "lock_digest": "lock-1",
            "epoch": 1700000000,
            "plain": PLAIN,
            "images": {"iso-hybrid": dataclasses.replace(PLAIN, files={**FILES, "chroot": 'LB_UNION="overlay"\n'})},
            "chroot_calls": {
                "prepare": (Call("chroot_preseed", ()),),
                "packages": (Call("chroot_install-packages", ("install",)),),
                "finish": (Call("chroot_hooks", ()),),
            },
            "binary_calls": {"image": (Call("binary_rootfs", ()),), "pack": (Call("binary_iso", ()),)},
            "solver": FakeSolver(),
            "bootstrap": ("mmdebstrap", "trixie"),
            "apt_sources": "deb http://mirror/debian trixie main",
            "owners": {},
        }
        return Recipe(**{**settings, **changes})

    def chain(self, target: str, **changes: Any) -> list[StepSpec]:
        (found,) = resolve(self.hooks_d, [target]).targets
        return chain(self.recipe(**changes), found)

    def nodes(self, *targets: str, **changes: Any) -> list[Node]:
        roots = grow({target: self.chain(target, **changes) for target in targets})
        return [node for root in roots for node in root.walk()]

    def keys(self, target: str, **changes: Any) -> dict[str, str]:
        """Name of a step -> its key."""
        return {node.spec.name: node.key for node in self.nodes(target, **changes)}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def work(chain: Sequence[StepSpec], name: str) -> Work:
    (found,) = (spec.work for spec in chain if spec.name == name)
    assert isinstance(found, Work)
    return found


def staged(chain: Sequence[StepSpec], name: str) -> dict[str, str]:
    """Path -> text of what a step sees; a link as "-> target"."""
    items = work(chain, name).stage.items()
    return {p: f"-> {i.link}" if i.link else i.content().removeprefix(b"file\0").decode() for p, i in items}


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    assert before.keys() == after.keys()
    return [name for name in before if before[name] != after[name]]


BASE = ["base trixie amd64", "archives and preseed"]
PACKAGES = "packages (0 asked for)"


@pytest.mark.parametrize(
    ("target", "steps"),
    [
        ("disk", [PACKAGES, "chroot base/base.chroot", "chroot base/kernel.chroot", "finish",
                  "binary base/disk.binary"]),
        ("early", ["chroot_early base/early.chroot_early", PACKAGES, "chroot base/base.chroot", "finish"]),
        ("arm", [PACKAGES, "finish"]),  # not its architecture: not run
        ("iso", [PACKAGES, "chroot base/base.chroot", "finish", "image iso-hybrid", "binary base/qcow2.binary",
                 "pack iso-hybrid"]),
    ],
)  # fmt: skip
def test_a_chain_has_live_builds_steps_in_their_order(ground: Ground, target: str, steps: list[str]) -> None:
    assert [spec.name for spec in ground.chain(target)] == [*BASE, *steps]


def test_a_hook_left_out_for_the_architecture_is_said(ground: Ground) -> None:
    (target,) = resolve(ground.hooks_d, ["arm"]).targets
    assert left_out(ground.recipe(), target) == ("base/arm.binary",)
    there = ground.recipe(config=BuildConfig(architecture="arm64"))
    assert left_out(there, target) == ()
    assert [spec.name for spec in chain(there, target)][-1] == "binary base/arm.binary"


def test_imageformat_none_ends_with_the_root(ground: Ground) -> None:
    names = [s.name for s in ground.chain("iso", config=BuildConfig(architecture="amd64", image_format="none"))]
    assert names[-1] == "finish"


def test_targets_share_what_they_have_in_common_and_fork_where_a_chroot_hook_is_theirs(ground: Ground) -> None:
    nodes = ground.nodes("squashfs", "disk", "qcow2")
    assert [(n.spec.name, " ".join(n.targets)) for n in nodes if len(n.targets) > 1] == [
        *((name, "squashfs disk qcow2") for name in (*BASE, PACKAGES, "chroot base/base.chroot")),
        *((name, "disk qcow2") for name in ("chroot base/kernel.chroot", "finish", "binary base/disk.binary")),
    ]


def test_a_hook_that_looks_at_image_target_is_run_for_each(ground: Ground) -> None:
    nodes = [n for n in ground.nodes("named", "named-too") if n.spec.kind == "binary"]
    assert [n.spec.work.environment["IMAGE_TARGET"] for n in nodes] == ["named", "named-too"]
    others = {n.spec.work.environment["IMAGE_TARGET"] for n in ground.nodes("squashfs") if n.spec.kind == "binary"}
    assert others == {""}


def test_the_name_other_hooks_get_does_not_depend_on_what_is_built(ground: Ground) -> None:
    owners = {"base/qcow2.binary": "qcow2", "base/base.chroot": "disk"}
    for target in ("qcow2", "squashfs"):
        specs = ground.chain(target, owners=owners)
        assert work(specs, "binary base/qcow2.binary").environment["IMAGE_TARGET"] == "qcow2"
    assert (
        ground.keys("squashfs", owners=owners)["finish"]
        == {n.spec.name: n.key for n in ground.nodes("squashfs", "qcow2", owners=owners) if n.targets[0] == "squashfs"}[
            "finish"
        ]
    )


def test_every_hook_sees_the_names_of_livecd_rootfs(ground: Ground) -> None:
    config = BuildConfig(
        architecture="amd64", project="my", subproject="mini", subarch="raspi", environment={"EXTRA": "two words"}
    )
    for name in ("chroot base/base.chroot", "binary base/qcow2.binary"):
        assert work(ground.chain("qcow2", config=config), name).environment == {
            "EXTRA": "two words", "PROJECT": "my", "SUBPROJECT": "mini", "SUITE": "trixie", "ARCH": "amd64",
            "SUBARCH": "raspi", "SOURCE_DATE_EPOCH": "1700000000", "IMAGE_TARGET": "",
        }  # fmt: skip


# -- what is in whose key

ALL_ABOVE = ["chroot base/base.chroot", "finish", "binary base/qcow2.binary"]


@pytest.mark.parametrize(
    ("path", "lowest"),
    [
        ("config/archives/mine.list.chroot", "archives and preseed"),
        ("config/apt/apt.conf", "archives and preseed"),
        ("config/environment.chroot", "archives and preseed"),
        ("config/preseed/x.cfg.chroot", "archives and preseed"),
        ("config/includes.chroot_after_packages/etc/motd", PACKAGES),
        ("config/includes.chroot/etc/motd", PACKAGES),
        ("config/includes.binary/x", None),  # no step of these targets reads it
        ("config/bootloaders/grub-pc/grub.cfg", None),
        ("config/package-lists/x.list.binary", PACKAGES),
        ("config/hooks/normal/mine.hook.chroot", "finish"),
        ("config/notes.txt", None),
        ("hooks.d/base/base.chroot", "chroot base/base.chroot"),
        ("hooks.d/base/qcow2.binary", "binary base/qcow2.binary"),
        ("hooks.d/base/kernel.chroot", None),
        ("hooks.d/ovf/a.tmpl", None),
        ("hooks.d/lib/common.sh", "chroot base/base.chroot"),
    ],
)
def test_a_file_is_in_the_keys_of_the_steps_that_read_it(ground: Ground, path: str, lowest: str | None) -> None:
    before = ground.keys("squashfs")
    root = ground.hooks_d if path.startswith("hooks.d/") else ground.config
    ground.put(root, {path.partition("/")[2]: "# inputs: ovf\n"})
    names = list(before)
    assert changed(before, ground.keys("squashfs")) == (names[names.index(lowest) :] if lowest else [])


def test_binary_files_of_config_are_in_the_keys_of_the_image(ground: Ground) -> None:
    before = ground.keys("iso")
    ground.put(ground.config, {"includes.binary/x": "x", "bootloaders/grub-pc/grub.cfg": "x"})
    assert changed(before, ground.keys("iso")) == ["image iso-hybrid", "binary base/qcow2.binary", "pack iso-hybrid"]


def test_what_only_the_binary_phase_reads_of_live_builds_options_is_in_no_key_of_the_chroot(ground: Ground) -> None:
    def keys(binary: str) -> dict[str, str]:
        files = dataclasses.replace(PLAIN, files={**FILES, "binary": binary})
        return ground.keys("iso", plain=files, images={"iso-hybrid": files})

    before = keys('LB_BOOTAPPEND_LIVE="boot=live"\n')
    assert changed(before, keys('LB_BOOTAPPEND_LIVE="boot=live quiet"\n')) == ["image iso-hybrid",
        "binary base/qcow2.binary", "pack iso-hybrid"]  # fmt: skip
    assert (
        changed(before, keys('LB_BOOTAPPEND_LIVE="boot=live"\nLB_APT_INDICES="false"\n'))[0] == "archives and preseed"
    )


@pytest.mark.parametrize(
    ("change", "lowest"),
    [
        pytest.param({"lists": {"mirror_InRelease": "2" * 64}}, None, id="an index that gives the same packages"),
        pytest.param({"lock_digest": "lock-2"}, None, id="a moved lock"),
        pytest.param(
            {"solver": FakeSolver({"linux-image-cloud-amd64": "2"})}, "chroot base/kernel.chroot", id="kernel"
        ),
        pytest.param({"solver": FakeSolver({"base-files": "2"})}, BASE[0], id="base system"),
        pytest.param({"epoch": 1}, BASE[0], id="epoch"),
        pytest.param({"tools": ToolRoot(Path("/"), "other", "2")}, BASE[0], id="tool root"),
        pytest.param({"bootstrap": ("mmdebstrap", "--x", "trixie")}, BASE[0], id="how the base is made"),
    ],
)
def test_what_is_in_the_keys_of_hooks_that_declare_their_packages(
    ground: Ground, change: dict[str, Any], lowest: str | None
) -> None:
    before = ground.keys("disk")
    names = list(before)
    assert changed(before, ground.keys("disk", **change)) == (names[names.index(lowest) :] if lowest else [])


def test_a_hook_that_declares_nothing_is_keyed_by_the_instant_of_the_archive(ground: Ground) -> None:
    moved = changed(ground.keys("free"), ground.keys("free", lock_digest="lock-2"))
    assert moved == ["chroot base/undeclared.chroot", "finish", "binary base/qcow2.binary"]


def test_after_an_undeclared_hook_nobody_knows_what_apt_will_choose(ground: Ground) -> None:
    ground.put(ground.hooks_d, {"base/series/free": "base/undeclared.chroot\nbase/kernel.chroot\n"})
    spec = work(ground.chain("free"), "chroot base/kernel.chroot")
    assert (spec.solution, spec.archive) == (None, True)


def test_declared_packages_are_had_at_hand(ground: Ground) -> None:
    chain = ground.chain("disk")
    kernel = work(chain, "chroot base/kernel.chroot")
    assert kernel.solution is not None
    assert [p.name for p in kernel.solution.packages] == ["linux-image-cloud-amd64"], "$ARCH is replaced"
    without = work(chain, "chroot base/base.chroot")
    assert (without.solution, without.archive) == (None, False)
    assert "config/.frozen-lists" in kernel.stage
    assert "config/.frozen-lists" not in without.stage


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"architecture": "amd64"}, ["zstd", "grub-cloud-amd64"]),
        ({"architecture": "arm64"}, ["zstd", "shim-signed"]),
        ({"architecture": "amd64", "suite": "noble"}, ["zstd", "grub-cloud-amd64", "linux-virtual"]),
    ],
)
def test_packages_for_one_architecture_or_distribution(
    ground: Ground, settings: dict[str, Any], names: list[str]
) -> None:
    step = work(ground.chain("boot", config=BuildConfig(**settings)), "chroot base/boot.chroot")
    assert step.solution is not None
    assert [p.name for p in step.solution.packages] == names


RT = {"PACKAGES_CLOUD_KERNEL": "linux-image-rt-amd64,linux-headers-rt-amd64"}


@pytest.mark.parametrize(
    ("settings", "names", "seen"),
    [
        pytest.param(
            {}, ["zstd", "linux-image-cloud-amd64", "grub-cloud-amd64"], "linux-image-cloud-amd64", id="Debian"
        ),
        pytest.param(
            {"suite": "noble"},
            ["zstd", "linux-image-virtual", "grub-pc", "grub-efi-amd64-bin", "grub-efi-amd64-signed", "shim-signed",
             "grub-efi-amd64-signed", "shim-signed"],
            "linux-image-virtual", id="Ubuntu",
        ),
        pytest.param(
            {"environment": RT}, ["zstd", "linux-image-rt-amd64", "linux-headers-rt-amd64", "grub-cloud-amd64"],
            RT["PACKAGES_CLOUD_KERNEL"], id="what the project says wins",
        ),
    ],
)  # fmt: skip
def test_names_that_distributions_differ_in(
    ground: Ground, settings: dict[str, Any], names: list[str], seen: str
) -> None:
    config = BuildConfig(architecture="amd64", **settings)
    step = work(ground.chain("apart", config=config), "chroot base/named-apart.chroot")
    assert step.solution is not None
    assert [p.name for p in step.solution.packages] == names
    assert step.environment["PACKAGES_CLOUD_KERNEL"] == seen
    assert f"PACKAGES_CLOUD_KERNEL={seen}\n".encode() in step.stage["config/environment.chroot"].content()
    assert "PACKAGES_AZURE" not in step.environment, "what a hook does not look at is no matter of its"


def test_targets_with_another_distributions_packages_are_refused_all_at_once(ground: Ground) -> None:
    ground.put(ground.hooks_d, {"base/series/debian-too": "base/debian.chroot\nbase/named.binary\n"})
    targets = resolve(ground.hooks_d, ["debian", "squashfs", "debian-too"]).targets
    refuse_other_distributions(ground.recipe(), targets)
    there = ground.recipe(config=BuildConfig(architecture="amd64", suite="noble"))
    with pytest.raises(ConfigError) as caught:
        refuse_other_distributions(there, targets)
    assert str(caught.value).startswith(
        "targets debian, debian-too: cannot be made of noble, which is ubuntu:"
        " base/debian.chroot installs packages of debian\n"
    )
    refuse_other_distributions(there, targets[1:2])


def test_what_was_added_to_the_configuration_is_in_the_keys_of_who_reads_it(ground: Ground, tmp_path: Path) -> None:
    before = ground.keys("squashfs")
    names = list(before)
    for path, lowest in {
        "archives/extra-ppas.list.chroot": BASE[1],
        "package-lists/cloud.list.chroot_install": PACKAGES,
        "includes.chroot/etc/motd": PACKAGES,
        "hooks/normal/021-x.chroot": "finish",
        "hooks/normal/021-x.binary": None,
    }.items():
        folder = tmp_path / path.replace("/", "-")
        ground.put(folder, {path: "#vim\n"})
        after = ground.keys("squashfs", config_dir=folder)
        if lowest is None:
            assert after.keys() - before.keys() == {"binary config/hooks"}
        else:
            assert changed(before, after) == names[names.index(lowest) :]


def test_package_lists_decide_on_the_packages(ground: Ground) -> None:
    ground.put(ground.config, {"package-lists/a.list.chroot": "vim\n"})
    config = BuildConfig(architecture="amd64", packages=("curl",))
    chain = ground.chain("squashfs", config=config)
    step = work(chain, "packages (2 asked for)")
    assert step.solution is not None
    assert [p.name for p in step.solution.packages] == ["vim", "curl"]
    files = staged(chain, "packages (2 asked for)")
    assert files["config/package-lists/a.list.chroot"] == "vim\n"
    assert files["config/package-lists/image-builder.list.chroot"] == "curl\n"
    before, newer = (ground.keys("squashfs", solver=FakeSolver(v)) for v in ({}, {"vim": "2"}))
    assert changed(before, newer)[0] == "packages (1 asked for)"


@pytest.mark.parametrize("text", ["#if DISTRIBUTION trixie\nvim\n#endif\n", "! echo vim\n", "%s\n"])
def test_lists_that_cannot_be_known_are_keyed_by_the_instant(ground: Ground, text: str) -> None:
    ground.put(ground.config, {"package-lists/a.list.chroot": text})
    before, after = ground.keys("squashfs"), ground.keys("squashfs", lock_digest="lock-2")
    assert changed(before, after)[0].startswith("packages (")
    with_chroot = staged(ground.chain("squashfs"), next(n for n in before if n.startswith("packages (")))
    assert f'LB_BUILD_WITH_CHROOT="{"true" if "!" in text else "false"}"' in with_chroot["config/common"]


def test_packages_of_the_project_are_asked_for(ground: Ground) -> None:
    ground.put(ground.config, {"packages.chroot/mine_1.0_all.deb": "x"})
    step = work(ground.chain("squashfs"), PACKAGES)
    assert step.solution is not None
    assert [p.name for p in step.solution.packages] == ["mine"]


# -- what a step sees


def test_a_chroot_hook_sees_itself_and_what_it_declares_alone(ground: Ground) -> None:
    ground.put(ground.config, {"includes.chroot/etc/secret": "s", "package-lists/x.list.chroot": "vim"})
    seen = staged(ground.chain("squashfs"), "chroot base/base.chroot")
    assert sorted(seen) == [
        "config/binary", "config/bootstrap", "config/chroot", "config/common", "config/environment.chroot",
        "config/hooks.d/base/base.chroot", "config/hooks/live/000-none.chroot", "config/hooks/normal/001-base.chroot",
    ]  # fmt: skip
    assert seen["config/hooks/normal/001-base.chroot"] == HOOKS["base/base.chroot"]
    assert work(ground.chain("squashfs"), "chroot base/base.chroot").expects == ("001-base.chroot",)


def test_an_early_hook_goes_by_the_name_live_build_runs(ground: Ground) -> None:
    name = "chroot_early base/early.chroot_early"
    assert work(ground.chain("early"), name).expects == ("001-early.chroot",)
    assert "config/hooks/normal/001-early.chroot" in staged(ground.chain("early"), name)


def test_a_value_with_blanks_reaches_a_chroot_hook_by_a_wrapper(ground: Ground) -> None:
    config = BuildConfig(architecture="amd64", environment={"NAME": "two words"})
    chain = ground.chain("squashfs", config=config)
    seen = staged(chain, "chroot base/base.chroot")
    assert "export NAME='two words'" in seen["config/hooks/normal/001-base.chroot"]
    assert seen["config/.hooks/001-base.chroot"] == HOOKS["base/base.chroot"]
    assert "NAME" not in seen["config/environment.chroot"]
    assert all(work(chain, "chroot base/base.chroot").stage[p].mode & 0o111 for p in seen if "001-base" in p)


def test_the_projects_own_environment_stands_above_the_hooks_names(ground: Ground) -> None:
    ground.put(ground.config, {"environment.chroot": "FOO=1\n"})
    seen = staged(ground.chain("squashfs"), "chroot base/base.chroot")["config/environment.chroot"]
    assert seen.startswith("FOO=1\n\nPROJECT=debian\n")


def test_a_binary_hook_is_run_beside_the_root_with_its_inputs(ground: Ground) -> None:
    seen = staged(ground.chain("disk"), "binary base/disk.binary")
    assert {path for path in seen if path.startswith("hooks.d/")} == {"hooks.d/base/disk.binary", "hooks.d/ovf/a.tmpl"}
    assert 'cd .. && exec "$PWD/hooks.d/base/disk.binary"' in seen["config/hooks/normal/001-disk.binary"]


def test_what_auto_config_wrote_for_plain_live_build_changes_no_step(ground: Ground) -> None:
    before = ground.keys("disk")
    ground.put(ground.config, {path.removeprefix("config/"): "#!/bin/sh\n" for path in (EMPTY_HOOK, CLEAN_HOOK)})
    assert ground.keys("disk") == before


def test_hooks_of_the_project_keep_live_builds_rules(ground: Ground) -> None:
    ground.put(
        ground.config, {f"hooks/{path}": "#!/bin/sh\n" for path in ("normal/m.hook.chroot", "live/n.hook.binary")}
    )
    normal = ground.config / "hooks/normal"
    (normal / "001-base.chroot").symlink_to(ground.hooks_d / "base/base.chroot")  # of make-hooks: has a step of its own
    (normal / "1000-x.hook.chroot").symlink_to("/usr/share/live/build/hooks/normal/1000-x.hook.chroot")
    chain = ground.chain("disk")
    assert work(chain, "finish").expects == ("m.hook.chroot",)
    seen = staged(chain, "finish")
    assert "config/hooks/normal/001-base.chroot" not in seen
    assert seen["config/hooks/normal/1000-x.hook.chroot"].startswith("-> /usr/share/live/build/"), "lb config's own"
    assert [spec.name for spec in chain][-1] == "binary config/hooks"
    assert work(chain, "binary config/hooks").expects == ("n.hook.binary",)


def test_apt_asks_nobody_unless_the_project_brings_archives(ground: Ground) -> None:
    def common(name: str) -> str:
        return staged(ground.chain("squashfs"), name)["config/common"]

    assert NO_UPDATE in common("archives and preseed")
    assert NO_UPDATE in common("finish")
    assert NO_UPDATE not in common(PACKAGES)
    before = ground.keys("squashfs")
    assert changed(before, ground.keys("squashfs", lock_digest="lock-2")) == []
    ground.put(ground.config, {"archives/mine.list.chroot": "deb http://mine ./\n"})
    assert NO_UPDATE not in common("archives and preseed")
    moved = changed(ground.keys("squashfs"), ground.keys("squashfs", lock_digest="lock-2"))
    assert moved[0] == "archives and preseed"


def test_a_base_made_by_debootstrap_is_another_step(ground: Ground) -> None:
    before = ground.keys("squashfs")
    config = BuildConfig(architecture="amd64", base="debootstrap")
    assert changed(before, ground.keys("squashfs", config=config)) == list(before)
    step = work(ground.chain("squashfs", config=config), BASE[0])
    assert "helper bootstrap_debootstrap" in step.script
    assert "config/bootstrap" in step.stage


@pytest.mark.parametrize("word", ["project", "subproject", "suite", "subarch"])
def test_what_hooks_see_of_the_configuration_is_in_their_keys(ground: Ground, word: str) -> None:
    before = ground.keys("named")["binary base/named.binary"]
    config = BuildConfig.model_validate({"architecture": "amd64", word: "other"})
    assert ground.keys("named", config=config)["binary base/named.binary"] != before


def test_settings_of_one_machine_are_in_no_key(ground: Ground) -> None:
    config = BuildConfig(
        architecture="amd64", jobs=7, timeout_s=5, store=Path("/srv"), output=Path("o"), keep_going=False
    )
    assert ground.keys("qcow2") == ground.keys("qcow2", config=config)


def test_the_callers_environment_is_in_no_key(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ground.keys("iso")
    for name in ("HOSTNAME", "PROJECT", "TZ", "LC_ALL", "PATH"):
        monkeypatch.setenv(name, "/elsewhere")
    assert ground.keys("iso") == before


def snap(name: str, revision: int = 1) -> SnapPin:
    fields = {"name": name, "snap_id": "a" * 32, "revision": revision, "sha3_384": "0" * 96, "size_bytes": 1}
    return SnapPin.model_validate({**fields, "channel": "latest/stable"})


def test_a_hook_that_seeds_snaps(ground: Ground) -> None:
    pins = (snap("hello"), snap("other"), snap("snapd"))
    seeding = Seeding(pins, ("hello", "other"), {"few-snaps": ("hello",)})
    step = next(s for s in ground.chain("snaps", seeding=seeding) if s.kind == "chroot")
    assert isinstance(step.work, Work)
    assert step.work.snaps == pins
    assert step.work.environment["SNAP_SEED"] == "/var/lib/image-builder/snap-seed"
    assert b"SNAP_SEED=/var/lib/image-builder/snap-seed\n" in step.work.stage["config/environment.chroot"].content()
    assert "preseed" in step.work.script.splitlines()
    few = next(s for s in ground.chain("few-snaps", seeding=seeding) if s.kind == "chroot")
    assert few.inputs["snaps"] != step.inputs["snaps"]
    assert {k: v for k, v in few.inputs.items() if k != "snaps"} == {
        k: v for k, v in step.inputs.items() if k != "snaps"
    }


def test_other_steps_know_nothing_of_snaps(ground: Ground) -> None:
    def keys(revision: int) -> dict[str, str]:
        seeding = Seeding((snap("hello", revision), snap("snapd")), ("hello",))
        return {n.spec.name: n.key for n in ground.nodes("squashfs", "snaps", seeding=seeding)}

    before, after = keys(1), keys(2)
    changed = {name for name, key in before.items() if after[name] != key}
    assert {"chroot base/seed.chroot", "finish"} >= changed - {"binary base/qcow2.binary"}
    assert "chroot base/seed.chroot" in changed
    assert "chroot base/base.chroot" not in changed


def test_what_snap_preseed_takes_from_the_host_is_in_the_key(ground: Ground) -> None:
    for host in ("", "features"):
        seeding = Seeding((snap("hello"), snap("snapd")), ("hello",), host=host)
        step = next(s for s in ground.chain("snaps", seeding=seeding) if s.kind == "chroot")
        assert step.inputs.get("AppArmor of this host", "") == host


def test_snaps_come_too_late_for_a_binary_hook(ground: Ground) -> None:
    with pytest.raises(ConfigError, match="the root is finished when it runs"):
        ground.chain("late")
