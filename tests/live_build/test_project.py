"""Which one kind of image plain live-build makes for several targets; what is brought into config/ and taken back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from image_builder.config import BuildConfig
from image_builder.errors import ConfigError
from image_builder.live_build.project import ADDED, add, kind_of, take_back
from image_builder.series.resolve import Target

ISO, NETBOOT, NONE = {"binary": "iso-hybrid"}, {"binary": "netboot"}, {"binary": "none"}


@pytest.mark.parametrize(
    ("directives", "kind"),
    [
        ([], "none"),
        ([{}], "none"),
        ([NONE, {}], "none"),
        ([NONE, ISO], "iso-hybrid"),
        ([NETBOOT, ISO], "netboot"),
    ],
)
def test_the_first_target_that_has_a_kind_decides(directives: list[Mapping[str, str]], kind: str) -> None:
    assert kind_of([Target(str(n), "", "", (), (), d, ()) for n, d in enumerate(directives)]) == kind


def files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "config/includes.chroot/etc/motd": "ours\n",
        "live-build/my/includes.chroot/etc/issue": "theirs\n",
        "live-build/my/hooks/021-x.chroot": "#!/bin/sh\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


CONFIG = BuildConfig(project="my", suite="noble", architecture="amd64", proposed=True)


def test_what_is_brought_into_the_configuration_is_taken_back_again(folder: Path) -> None:
    own = files(folder / "config")
    add(CONFIG, folder, {"extra-ppas.key.chroot": b"key"})
    assert files(folder / "config").keys() - own.keys() - {ADDED} == {
        "includes.chroot/etc/issue", "hooks/normal/021-x.chroot", "archives/extra-ppas.key.chroot",
        "archives/proposed.list.chroot", "archives/proposed.list.binary",
    }  # fmt: skip
    take_back(folder)
    assert files(folder / "config") == own
    take_back(folder)


def test_a_file_of_the_projects_own_is_not_written_over(folder: Path) -> None:
    mine = folder / "config/includes.chroot/etc/issue"
    mine.write_text("mine\n")
    with pytest.raises(ConfigError, match=r"config: differ from what live-build/my .*: includes\.chroot/etc/issue\n"):
        add(CONFIG, folder, {})
    assert mine.read_text() == "mine\n"
    mine.write_text("theirs\n")
    add(CONFIG, folder, {})
    take_back(folder)
    assert mine.read_text() == "theirs\n", "it was there before"
