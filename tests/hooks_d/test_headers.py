"""What the shipped hooks say of themselves: description, declared inputs, declared packages, series that fit."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from image_builder.distributions import DEBIAN

HOOKS = Path(__file__).parents[2] / "hooks.d"
BINARY = sorted((HOOKS / "base").glob("*.binary"))
CHROOT = sorted((HOOKS / "base").glob("*.chroot"))
SERIES = sorted((HOOKS / "base/series").iterdir())


def header(hook: Path, field: str) -> list[str]:
    """The words after `# FIELD:` in the comment block that opens the hook."""
    lines = hook.read_text().splitlines()
    block = [line for line in lines[1 : lines.index("")] if line.startswith("#")]
    return [word for line in block if line.startswith(f"# {field}:") for word in line.split(":", 1)[1].split()]


def name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("hook", BINARY + CHROOT, ids=name)
def test_a_hook_is_executable_and_says_what_it_does(hook: Path) -> None:
    assert hook.stat().st_mode & 0o111 == 0o111
    shebang, description, *_ = hook.read_text().splitlines()
    assert shebang in {"#!/bin/sh", "#!/bin/bash"}
    assert re.fullmatch(r"# [A-Z].*\.", description)
    assert re.search(r"^set -eu", hook.read_text(), re.MULTILINE)


@pytest.mark.parametrize("hook", BINARY, ids=name)
def test_declared_inputs_are_exactly_the_files_read(hook: Path) -> None:
    read = set(re.findall(r'"\$here/\.\./([^"]+)"', hook.read_text()))
    assert set(header(hook, "inputs")) == read
    assert all((HOOKS / path).is_file() for path in read)


@pytest.mark.parametrize("hook", BINARY, ids=name)
def test_a_binary_hook_finds_the_tree_from_either_folder(hook: Path) -> None:
    text = hook.read_text()
    own_folder, tree = text.index('self=$(readlink -f "$0")'), text.index("[ -d chroot ] || cd ..")
    assert own_folder < tree < text.index('lib/common.sh"')


@pytest.mark.parametrize("hook", CHROOT, ids=name)
def test_a_chroot_hook_stands_alone_and_declares_its_packages(hook: Path) -> None:
    text = hook.read_text()
    assert "readlink" not in text or "$0" not in text  # it is copied into the root, away from its neighbours
    declared = header(hook, "packages")
    if "apt-get install" not in text:
        assert declared == ["none"]
        return
    call = re.search(r"apt-get install ((?:.*\\\n)*.*)\n", text)
    assert call
    # What distributions call differently: ${PACKAGES_X:-as Debian calls it}
    words = re.sub(r"\$\{(PACKAGES_\w+)[^}]*\}", r"$\1", call[1]).split()
    assert sorted(word for word in words if word != "\\" and not word.startswith("--")) == sorted(declared)


@pytest.mark.parametrize("hook", CHROOT, ids=name)
def test_a_hook_that_is_told_no_names_takes_debians(hook: Path) -> None:
    """Plain live-build sets none, where nobody has written them into its environment."""
    text = hook.read_text()
    defaults = re.findall(r"\$\{(PACKAGES_\w+):?-([^}]*)\}", text)
    assert {variable for variable, _ in defaults} == set(re.findall(r"PACKAGES_[A-Z]\w*", text))
    for architecture in ("amd64", "arm64"):
        known = DEBIAN.packages("trixie", architecture)
        by_case = re.search(rf"^ *{architecture}\) boot=(\S*)", text, re.MULTILINE)
        for variable, default in defaults:
            names = (
                default.replace("$ARCH", architecture).replace("$boot", by_case[1] if by_case else "").replace(" ", ",")
            )
            if "grub-cloud-amd64" not in names or architecture == "amd64":
                assert names == known[variable]


@pytest.mark.parametrize("series", SERIES, ids=name)
def test_a_series_names_what_exists(series: Path) -> None:
    first, *lines = series.read_text().splitlines()
    assert re.fullmatch(r"# [A-Z].*", first)
    for line in lines:
        match line.split():
            case ["depends", other]:
                assert (series.parent / other).is_file()
            case ["provides", artefact]:
                assert artefact.startswith("livecd.$PROJECT.")
            case ["#%", "binary:", kind]:
                assert kind in {"iso-hybrid", "netboot", "none"}
            case ["#%", "pack:", "none"]:
                pass
            case [hook]:
                assert (HOOKS / hook).is_file()
            case other:
                pytest.fail(f"{series.name}: {other}")


def test_every_shipped_hook_is_used_and_every_target_is_in_all() -> None:
    used = {line for series in SERIES for line in series.read_text().splitlines()}
    assert {f"base/{hook.name}" for hook in BINARY + CHROOT} <= used
    # base and snaps are parts of targets: they make nothing by themselves
    wanted = {f"depends {series.name}" for series in SERIES if "\nprovides " in series.read_text()}
    assert wanted == {line for line in (HOOKS / "base/series/all").read_text().splitlines() if line.startswith("dep")}
