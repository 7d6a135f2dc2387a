"""`image-builder targets`: stdout is the list, problems do not hide what is whole."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from image_builder.cli.targets import targets
from image_builder.series.resolve import SeriesErrors


@pytest.fixture
def hooks_d(tmp_path: Path) -> Path:
    folder = tmp_path / "hooks.d"
    (folder / "base/series").mkdir(parents=True)
    (folder / "base/disk.binary").touch()
    (folder / "base/series/disk").write_text("# A [raw] disk\n#% binary: none\nbase/disk.binary\nprovides d.img\n")
    (folder / "base/series/qcow2").write_text("depends disk\nprovides d.qcow2\nprovides d.json\n")
    return folder


def test_table(hooks_d: Path) -> None:
    done = CliRunner().invoke(targets, ["--hooks-source", str(hooks_d)])
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[1:] == [
        ["disk", "A", "[raw]", "disk", "d.img"],
        ["qcow2", "disk", "d.qcow2,", "d.json"],
    ]


def test_json(hooks_d: Path) -> None:
    done = CliRunner().invoke(targets, ["--hooks-source", str(hooks_d), "--json"])
    assert [target["name"] for target in json.loads(done.stdout)] == ["disk", "qcow2"]
    assert json.loads(done.stdout)[1] == {
        "name": "qcow2",
        "series": "base/series/qcow2",
        "description": "",
        "depends": ["disk"],
        "provides": ["d.qcow2", "d.json"],
        "directives": {"binary": "none"},
        "hooks": [{"path": "base/disk.binary", "phase": "binary", "series": "base/series/disk", "line": 3}],
    }


def test_the_folders_own_hooks_d_is_the_default(hooks_d: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hooks_d.parent)
    assert "qcow2" in CliRunner().invoke(targets, []).stdout


def test_a_broken_target_is_an_error_after_the_whole_ones(hooks_d: Path) -> None:
    (hooks_d / "base/series/broken").write_text("base/gone.binary\n")
    done = CliRunner().invoke(targets, ["--hooks-source", str(hooks_d)])
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["disk", "qcow2"]
    assert isinstance(done.exception, SeriesErrors)
    assert "base/series/broken line 1" in str(done.exception)
