"""A plan says what there is to build and what cannot be, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

from packages_by_hand import binary, source

from image_builder.archive.configuration import ArchiveConfig, Blacklisted, Toolchain
from image_builder.archive.importer import Archive
from image_builder.archive.indices.local import LocalPackages
from image_builder.archive.planning import plan
from image_builder.archive.states import State
from image_builder.cli.archive.plan import _lines, _plain

SOURCES = [
    source("hello", Build_Depends="libhello-dev"),
    source("libhello", Architecture="any all", Build_Depends="doxygen <!nodoc>", Build_Depends_Indep="texlive"),
    source("linux", Build_Depends="nothing"),
    source("arm-only", Architecture="arm64"),
    source("another"),
    source("barred"),
]
BINARIES = [
    binary("build-essential"),
    binary("libhello-dev", "1", Source="libhello", Depends="libhello1 (= 1)"),
    binary("libhello1", "2", Source="libhello (1)"),
]
MINE = binary("libhello1", "1")


def test_plan(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("%barred: !amd64\n")
    config = ArchiveConfig.model_validate(
        {
            "sources": ["deb http://localhost/debian trixie main"],
            "architectures": ["amd64"],
            "architecture_rules": "rules",
            "blacklist": [Blacklisted(package="li[n]ux", reason="too long")],
            "toolchain": Toolchain(build_profiles=("nodoc",)),
        },
        context={"folder": tmp_path},
    )
    chosen = {one.name for one in SOURCES} - {"another"}
    archive = Archive({one.name: one for one in SOURCES}, BINARIES)
    found = plan(config, archive, config.passes[1], chosen, tmp_path / "cache")
    assert found.counts == {
        "all": {State.BD_UNINSTALLABLE: 1},
        "amd64": {
            State.BD_UNINSTALLABLE: 1,
            State.NEEDS_BUILD: 1,
            State.NOT_FOR_US: 1,
            State.AUTO_NOT_FOR_US: 1,
        },
    }
    assert list(_lines("rebuild", [found], 1)) == [
        "rebuild stage 1, against both",
        "  all: 1 BD-Uninstallable",
        "  amd64: 1 Auto-Not-For-Us, 1 BD-Uninstallable, 1 Needs-Build, 1 Not-For-Us",
        "  hello 1 (amd64) cannot be built:",
        "    needs libhello-dev; libhello-dev 1 needs libhello1 (= 1), but there is only libhello1 2",
        "  and 1 more: --all shows them",
    ]
    (first, second) = _plain(found)["blocked"]  # type: ignore[misc]
    assert (first["source"], second["architecture"]) == ("hello", "all")
    assert second["problem"] == "needs texlive, which no package provides"
    assert [reason["kind"] for reason in first["reasons"]] == ["missing"]
    archive = Archive(archive.sources, BINARIES, LocalPackages({}, {"libhello1": MINE}, {}, {}))
    found = plan(config, archive, config.passes[1], chosen, tmp_path / "cache")
    assert [package.key.source for package in found.blocked] == ["libhello"]
