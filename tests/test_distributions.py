"""Whose suites those are, and what follows from it for the whole configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from image_builder.architectures import runs_natively
from image_builder.build.archive import sources
from image_builder.config import BuildConfig
from image_builder.distributions import BY_NAME, DEBIAN, UBUNTU, of_suite
from image_builder.live_build.configuration import options
from image_builder.live_build.hooks import PLAIN

PORTS = "http://ports.ubuntu.com/ubuntu-ports"


@pytest.mark.parametrize(
    ("suite", "name"), [("noble", "ubuntu"), ("jammy", "ubuntu"), ("trixie", "debian"), ("", "debian")]
)
def test_the_suite_tells_the_distribution(suite: str, name: str) -> None:
    assert of_suite(suite) == name


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        pytest.param(
            {"suite": "noble", "architecture": "amd64"},
            {"distribution": "ubuntu", "project": "ubuntu", "hostname": "ubuntu", "archive_areas": ("main", "universe"),
             "mirror": "http://archive.ubuntu.com/ubuntu", "security_mirror": "http://security.ubuntu.com/ubuntu",
             "tool_mirror": "http://deb.debian.org/debian"},
            id="noble",
        ),
        pytest.param(
            {"suite": "noble", "architecture": "arm64"}, {"mirror": PORTS, "security_mirror": PORTS}, id="ports"
        ),
        pytest.param(
            {"suite": "noble", "mirror": "http://m/u", "project": "ubuntu-cpc", "archive_areas": "main restricted"},
            {"mirror": "http://m/u", "project": "ubuntu-cpc", "archive_areas": ("main", "restricted")},
            id="what is said wins",
        ),
        pytest.param(
            {"suite": "zesty-one", "distribution": "ubuntu", "architecture": "i386"},
            {"mirror": "http://archive.ubuntu.com/ubuntu", "distribution": "ubuntu"},
            id="a suite that is not known yet",
        ),
        pytest.param(
            {"mirror": "http://m/debian"}, {"tool_mirror": "http://m/debian", "project": "debian"}, id="Debian"
        ),
    ],
)  # fmt: skip
def test_what_is_not_said_is_as_the_distribution_has_it(settings: dict[str, Any], wanted: dict[str, Any]) -> None:
    made = BuildConfig(**settings)
    assert {name: getattr(made, name) for name in wanted} == wanted


def test_an_unknown_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match="'debian' or 'ubuntu'"):
        BuildConfig(distribution="gentoo")  # type: ignore[arg-type]


def test_ubuntus_pockets(tmp_path: Path) -> None:
    config = BuildConfig(suite="noble", architecture="amd64", proposed=True)
    found = sources(config, tmp_path, Path("/keys"))
    main = "http://archive.ubuntu.com/ubuntu"
    assert [(s.uri, s.suite) for s in found] == [
        (main, "noble"), (main, "noble-updates"), ("http://security.ubuntu.com/ubuntu", "noble-security"),
        (main, "noble-proposed"),
    ]  # fmt: skip
    assert {s.components for s in found} == {("main", "universe")}


@pytest.mark.parametrize(
    ("suite", "architecture", "variable", "names"),
    [
        ("trixie", "amd64", "PACKAGES_CLOUD_KERNEL", "linux-image-cloud-amd64"),
        ("trixie", "arm64", "PACKAGES_VM_KERNEL", "linux-image-arm64"),
        ("trixie", "amd64", "PACKAGES_DISK_BOOT", "grub-cloud-amd64"),
        ("trixie", "riscv64", "PACKAGES_DISK_BOOT", ""),
        ("noble", "arm64", "PACKAGES_CLOUD_KERNEL", "linux-image-virtual"),
        ("noble", "amd64", "PACKAGES_LIVE_BOOT", "grub-efi-amd64-signed,shim-signed"),
        ("noble", "amd64", "PACKAGES_RESOLVED", "systemd-resolved"),
        ("jammy", "amd64", "PACKAGES_RESOLVED", ""),
    ],
)
def test_what_packages_are_called(suite: str, architecture: str, variable: str, names: str) -> None:
    assert BY_NAME[of_suite(suite)].packages(suite, architecture)[variable] == names


def test_both_have_names_for_the_same_and_live_build_can_pass_them_on() -> None:
    assert set(DEBIAN.names) == set(UBUNTU.names)
    for theirs in (DEBIAN, UBUNTU):
        assert all(PLAIN.fullmatch(words) for words in theirs.packages("x", "amd64").values())


def test_the_page_has_the_same_names() -> None:
    page = (Path(__file__).parents[1] / "docs/ubuntu.md").read_text()
    for theirs in (DEBIAN, UBUNTU):
        for variable, by_architecture in theirs.names.items():
            assert f"| `{variable}` |" in page
            for names in by_architecture.values():
                assert f"`{names.replace('$ARCH', 'ARCH')}`" in page, variable


def test_a_rolling_suite_has_no_pockets_but_what_is_asked_for() -> None:
    assert DEBIAN.pockets("sid", updates=True, security=True, proposed=False) == [("sid", False)]
    assert UBUNTU.pockets("noble", updates=False, security=False, proposed=True) == [
        ("noble", False), ("noble-proposed", False),
    ]  # fmt: skip


def test_live_build_is_told_of_ubuntus_keys_and_nothing_of_proposed_updates() -> None:
    words = options(BuildConfig(suite="noble", architecture="amd64", proposed=True), "none")
    said = dict(zip(words[::2], words[1::2], strict=True))
    assert said["--keyring-packages"] == "ubuntu-keyring"
    assert said["--mirror-chroot-security"] == "http://security.ubuntu.com/ubuntu"
    assert (said["--mode"], "--proposed-updates" in said) == ("debian", False)


def test_debians_options_are_as_they_were() -> None:
    words = options(BuildConfig(architecture="amd64", proposed=True), "none")
    assert "--keyring-packages" not in words
    assert "--proposed-updates" in words


@pytest.mark.parametrize(
    ("architecture", "native", "answer"),
    [("amd64", "amd64", True), ("i386", "amd64", True), ("amd64", "i386", False), ("arm64", "amd64", False)],
)
def test_whose_programs_a_processor_runs(architecture: str, native: str, answer: bool) -> None:
    assert runs_natively(architecture, native) is answer
