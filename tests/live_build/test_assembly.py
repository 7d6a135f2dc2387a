"""What a build reads as config/: the project's own, live-build/PROJECT copied onto it, archives that were asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from image_builder.config import BuildConfig
from image_builder.errors import ConfigError
from image_builder.live_build.assembly import config_folder, copy_tree, proposed, tree

CPC = BuildConfig(suite="noble", architecture="amd64", project="ubuntu-cpc")


def put(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def read(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return put(tmp_path / "project", {
        "config/package-lists/own.list.chroot": "vim\n",
        "config/includes.chroot/etc/motd": "ours\n",
        "live-build/ubuntu-cpc/includes.chroot/etc/motd": "theirs\n",
        "live-build/ubuntu-cpc/includes.binary/README": "on the medium\n",
        "live-build/ubuntu-cpc/package-lists/cloud.list.chroot_install": "cloud-init\n",
        "live-build/ubuntu-cpc/hooks/021-early.chroot": "#!/bin/sh\n",
        "live-build/ubuntu-cpc/hooks/099-late.binary": "#!/bin/sh\n",
        "live-build/ubuntu-cpc/hooks/live/a.chroot": "#!/bin/sh\n",
        "live-build/ubuntu-cpc/hooks.d/base/series/all": "",
        "live-build/other/includes.chroot/etc/motd": "nobody asked for it\n",
    })  # fmt: skip


def test_without_a_tree_it_is_the_projects_own(project: Path, tmp_path: Path) -> None:
    config = BuildConfig(architecture="amd64")
    assert config_folder(config, project, tmp_path / "cache") == project / "config"
    assert not (tmp_path / "cache").exists()


def test_the_tree_is_copied_onto_the_configuration(project: Path, tmp_path: Path) -> None:
    before = read(project)
    assert read(config_folder(CPC, project, tmp_path / "cache")) == {
        "hooks/live/a.chroot": "#!/bin/sh\n",
        "hooks/normal/021-early.chroot": "#!/bin/sh\n",
        "hooks/normal/099-late.binary": "#!/bin/sh\n",
        "includes.binary/README": "on the medium\n",
        "includes.chroot/etc/motd": "theirs\n",
        "package-lists/cloud.list.chroot_install": "cloud-init\n",
        "package-lists/own.list.chroot": "vim\n",
    }
    assert read(project) == before


def test_a_project_without_a_config_folder(tmp_path: Path) -> None:
    put(tmp_path / "live-build/ubuntu-cpc", {"includes.chroot/etc/motd": "x"})
    assert read(config_folder(CPC, tmp_path, tmp_path / "cache")) == {"includes.chroot/etc/motd": "x"}


def test_archives_replace_those_of_the_same_name(project: Path, tmp_path: Path) -> None:
    put(project, {"config/archives/extra-ppas.list.chroot": "deb http://old x main\n"})
    found = config_folder(
        BuildConfig(architecture="amd64"), project, tmp_path / "cache", {"extra-ppas.list.chroot": b"new\n"}
    )
    assert (found / "archives/extra-ppas.list.chroot").read_text() == "new\n"
    assert (project / "config/archives/extra-ppas.list.chroot").read_text() == "deb http://old x main\n"


def test_hooks_are_copied_and_other_links_kept(project: Path, tmp_path: Path) -> None:
    theirs = project / "live-build/ubuntu-cpc"
    (theirs / "hooks/021-early.chroot").unlink()
    (theirs / "hooks/021-early.chroot").symlink_to("../hooks.d/base/series/all")
    (theirs / "includes.chroot/etc/os").symlink_to("/usr/lib/os")
    (theirs / "includes.chroot/lib64").symlink_to("usr/lib64")
    copy_tree(theirs, tmp_path / "out")
    assert not (tmp_path / "out/hooks/normal/021-early.chroot").is_symlink()
    assert (tmp_path / "out/includes.chroot/etc/os").readlink() == Path("/usr/lib/os")
    assert (tmp_path / "out/includes.chroot/lib64").is_symlink(), "a link to a folder is a link"


def test_modes_and_empty_folders_are_kept(project: Path, tmp_path: Path) -> None:
    theirs = project / "live-build/ubuntu-cpc"
    (theirs / "includes.chroot/root").mkdir(mode=0o700)
    (theirs / "hooks/099-late.binary").chmod(0o755)
    copy_tree(theirs, tmp_path / "out")
    assert (tmp_path / "out/includes.chroot/root").stat().st_mode & 0o777 == 0o700
    assert os.access(tmp_path / "out/hooks/normal/099-late.binary", os.X_OK)


def test_an_early_hook_has_another_place(project: Path, tmp_path: Path) -> None:
    put(project, {"live-build/ubuntu-cpc/hooks/01-x.chroot_early": ""})
    with pytest.raises(
        ConfigError, match=r"01-x\.chroot_early: is an early hook.*\n  hint: move it to ubuntu-cpc/hooks"
    ):
        config_folder(CPC, project, tmp_path / "cache")


def test_a_hook_that_leads_nowhere(project: Path, tmp_path: Path) -> None:
    (project / "live-build/ubuntu-cpc/hooks/030-x.chroot").symlink_to("../gone")
    with pytest.raises(ConfigError, match=r"030-x\.chroot: is a link to nothing\n  hint: it leads to \.\./gone"):
        config_folder(CPC, project, tmp_path / "cache")


def test_which_tree_is_the_projects(project: Path) -> None:
    assert tree(CPC, project) == project / "live-build/ubuntu-cpc"
    assert tree(BuildConfig(), project) is None


def test_proposed() -> None:
    assert proposed(CPC) == {}
    asked = CPC.model_copy(update={"proposed": True})
    line = b"deb http://archive.ubuntu.com/ubuntu noble-proposed main universe\n"
    assert proposed(asked) == {"proposed.list.chroot": line, "proposed.list.binary": line}
    pinned = proposed(asked.model_copy(update={"proposed_priority": 500}))
    assert pinned["proposed.pref.chroot"] == b"Package: *\nPin: release a=noble-proposed\nPin-Priority: 500\n"
    debian = BuildConfig(architecture="amd64", proposed=True, proposed_priority=400)
    assert proposed(debian) == {
        f"proposed.pref.{phase}": b"Package: *\nPin: release n=trixie-proposed-updates\nPin-Priority: 400\n"
        for phase in ("chroot", "binary")
    }
