"""live-build's own configuration: what we ask of it, and what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.config import BuildConfig
from image_builder.errors import ConfigError
from image_builder.live_build.configuration import (
    LiveBuildConfig,
    agrees,
    image_options,
    options,
    parse,
    written_by_hand,
)

WRITTEN = LiveBuildConfig(
    {
        "common": '# LB_SYSTEM\nLB_SYSTEM="live"\n',
        "binary": 'LB_IMAGE_TYPE="iso-hybrid"\nLB_BOOTAPPEND_LIVE="boot=live quiet"\nLB_APT_INDICES="false"\n',
    },
    {},
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('LB_A="x y"\nLB_B=z\n  LB_C=\n', {"LB_A": "x y", "LB_B": "z", "LB_C": ""}),
        ("LB_A='x'\"y\"\\ z\n", {"LB_A": "xy z"}),
        ("# LB_A=x\nexport LB_B=y\nlb_c=z\n", {}),
        ('LB_A="never closed\nLB_B="y"\n', {"LB_B": "y"}),
        ('LB_A="x"\nLB_A="y"\n', {"LB_A": "y"}),
    ],
)
def test_assignments_are_read(text: str, found: dict[str, str]) -> None:
    assert parse(text) == found


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert all(name.isupper() for name in parse(text))


def test_a_variable_is_found_in_whatever_file_it_is() -> None:
    assert WRITTEN.variable("LB_IMAGE_TYPE") == "iso-hybrid"
    assert WRITTEN.variable("LB_SYSTEM") == "live"
    assert WRITTEN.variable("LB_NONE", "default") == "default"


def test_the_chroot_sees_of_the_binary_file_what_its_helpers_read() -> None:
    files = WRITTEN.for_chroot()
    assert files == {**WRITTEN.files, "binary": 'LB_IMAGE_TYPE="iso-hybrid"\nLB_APT_INDICES="false"\n'}


def test_files_written_by_lb_config_are_found(tmp_path: Path) -> None:
    assert written_by_hand(tmp_path) == {}
    (tmp_path / "config/chroot.d").mkdir(parents=True)
    for name in ("common", "bootstrap", "binary.trixie", "environment", "notes"):
        (tmp_path / "config" / name).write_text(name)
    assert written_by_hand(tmp_path) == {name: name for name in ("binary.trixie", "bootstrap", "common")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('LB_DISTRIBUTION="trixie"\nLB_ARCHITECTURE="amd64"\n', ""),
        ("", ""),
        ('LB_DISTRIBUTION="sid"\n', "config/: says LB_DISTRIBUTION=sid, but suite is trixie"),
        ('LB_ARCHITECTURE="arm64"\n', "config/: says LB_ARCHITECTURE=arm64, but architecture is amd64"),
    ],
)
def test_a_configuration_by_hand_has_to_agree(text: str, message: str) -> None:
    config = BuildConfig(architecture="amd64")
    if not message:
        agrees(config, {"bootstrap": text})
        return
    with pytest.raises(ConfigError, match=message) as caught:
        agrees(config, {"bootstrap": text})
    assert "lb config" in caught.value.hint


def pairs(words: list[str]) -> dict[str, str]:
    assert len(words) % 2 == 0
    assert all(name.startswith("--") for name in words[::2])
    return dict(zip(words[::2], words[1::2], strict=True))


def test_what_is_asked_of_lb_config() -> None:
    config = BuildConfig(architecture="arm64", suite="bookworm", archive_areas=("main", "contrib"), recommends=True)
    asked = pairs(options(config, "none"))
    wanted = {
        "--distribution": "bookworm", "--architecture": "arm64", "--archive-areas": "main contrib",
        "--apt-recommends": "true", "--security": "true", "--updates": "true", "--system": "normal",
    }  # fmt: skip
    assert wanted.items() <= asked.items()
    assert "--proposed-updates" not in asked


@pytest.mark.parametrize("suite", ["sid", "unstable"])
def test_a_rolling_suite_has_no_updates(suite: str) -> None:
    asked = pairs(options(BuildConfig(architecture="amd64", suite=suite), "none"))
    assert (asked["--security"], asked["--updates"]) == ("false", "false")


def test_the_users_own_words_come_last() -> None:
    config = BuildConfig(architecture="amd64", proposed=True, live_build=("--memtest", "none"))
    words = options(config, "none")
    assert words[-2:] == ["--memtest", "none"]
    assert pairs(words)["--proposed-updates"] == "true"


def test_an_image_is_made_only_where_one_is_asked_for() -> None:
    config = BuildConfig(architecture="amd64", environment={"SQUASHFS_COMP": "zstd"}, bootappend_live="boot=live")
    none, iso = (pairs(image_options(config, kind)) for kind in ("none", "iso-hybrid"))
    assert "--binary-image" not in none
    assert (iso["--binary-image"], iso["--chroot-squashfs-compression-type"]) == ("iso-hybrid", "zstd")
    assert iso["--bootappend-live"] == "boot=live"
