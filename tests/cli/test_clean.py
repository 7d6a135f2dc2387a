"""`image-builder clean`: old builds go, the newest and what is no build stay."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from image_builder.cli.clean import clean

BUILDS = ("2026-11-21T10.00.00Z", "2026-11-21T11.00.00Z", "2026-11-21T12.00.00Z")


@pytest.fixture
def builds(tmp_path: Path) -> Path:
    folder = tmp_path / "builds"
    for name in BUILDS:
        (folder / name / "logs").mkdir(parents=True)
        (folder / name / "build-record.json").write_text("{}")
    (folder / BUILDS[0] / "build-record.json").unlink()  # killed: nothing but logs
    (folder / "latest").symlink_to(BUILDS[2])
    (folder / "mine").mkdir()
    (folder / "mine/notes").touch()
    return folder


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ([], [BUILDS[2], "latest", "mine"]),
        (["--keep", "2"], [BUILDS[1], BUILDS[2], "latest", "mine"]),
        (["--keep", "9"], [*BUILDS, "latest", "mine"]),
        (["--keep", "0"], ["mine"]),
        (["--keep", "0", "--dry-run"], [*BUILDS, "latest", "mine"]),
    ],
)
def test_what_is_left(builds: Path, options: list[str], left: list[str]) -> None:
    made = CliRunner().invoke(clean, ["-C", str(builds.parent), *options])
    assert made.exit_code == 0
    assert sorted(p.name for p in builds.iterdir()) == left
    gone = 0 if "9" in options else len(BUILDS) - int(options[1] if options else 1)
    assert [Path(line).name for line in made.output.splitlines()] == list(BUILDS[:gone]), "said, also when not done"


def test_nothing_to_clean(tmp_path: Path) -> None:
    made = CliRunner().invoke(clean, ["-C", str(tmp_path)])
    assert (made.exit_code, made.output) == (0, "")
