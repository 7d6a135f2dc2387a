"""image-builder boot: what it refuses, prints and returns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from image_builder.boot.check import BootResult
from image_builder.cli.boot import boot, find_image, report
from image_builder.errors import ConfigError, PipelineError

GOOD = BootResult(True, "login prompt", 24.31, "KVM", "debian login: ")
BAD = BootResult(False, "kernel panic: no init found", 3.2, "KVM", "\n".join(f"line {n}" for n in range(40)))
LOG = Path("/logs/disk.img.bios.console.log")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["{folder}/gone.img"], "there is no such file", id="no file"),
        pytest.param(["{folder}/root.tar.xz", "--check"], "unpack it first", id="no image"),
        pytest.param(["{folder}/a.iso", "--json"], "belong to --check", id="json alone"),
        pytest.param(["{folder}/a.iso", "--disk-size", "much"], "is no size", id="size"),
    ],
)
def test_bad_usage_is_said(tmp_path: Path, arguments: list[str], message: str) -> None:
    for name in ("a.iso", "root.tar.xz"):
        (tmp_path / name).touch()
    result = CliRunner().invoke(boot, [argument.format(folder=tmp_path) for argument in arguments])
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)


def test_a_path_is_a_file_and_not_a_target(tmp_path: Path) -> None:
    assert find_image("out/disk", builds=tmp_path) == Path("out/disk")
    assert find_image("livecd.debian.qcow2", builds=tmp_path) == Path("livecd.debian.qcow2")


def test_success_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    report(GOOD, file=Path("disk.img"), firmware="uefi", log_file=LOG, as_json=False)
    assert capsys.readouterr().out == "disk.img: boots by UEFI: login prompt after 24.3 s\n"


def test_failure_shows_the_end_of_the_console_and_where_the_rest_is() -> None:
    with pytest.raises(PipelineError) as caught:
        report(BAD, file=Path("disk.img"), firmware="bios", log_file=LOG, as_json=False)
    assert caught.value.exit_status == 1
    message = str(caught.value)
    assert "kernel panic: no init found (after 3.2 s)" in message
    assert "line 39" in message and "line 24\n" not in message
    assert str(LOG) in message


def test_json_is_printed_for_failures_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PipelineError):
        report(BAD, file=Path("/images/disk.img"), firmware="bios", log_file=LOG, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "image": "/images/disk.img",
        "firmware": "bios",
        "success": False,
        "reason": "kernel panic: no init found",
        "seconds": 3.2,
        "accelerator": "KVM",
        "log": str(LOG),
    }
