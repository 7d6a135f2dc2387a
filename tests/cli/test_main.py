"""The command line as a whole: what is printed, and the exit status."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from image_builder.cli import COMMANDS, cli, main
from image_builder.cli.targets import targets
from image_builder.commands import explained
from image_builder.errors import CommandError, ConfigError, PipelineError, SurroundingsError

Main = Callable[..., tuple[object, str, str]]


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Main]:
    """Run the program with these arguments: (exit status, stdout, stderr)."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def run_main(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["image-builder", *arguments])
        status: object = 0
        try:
            main()
        except SystemExit as e:
            status = e.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    yield run_main
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def targets_raises(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Let `image-builder targets` end in an exception."""

    def targets_raises(error: BaseException) -> None:
        def callback(**_: object) -> None:
            raise error

        monkeypatch.setattr(targets, "callback", callback)

    return targets_raises


def test_every_command_can_be_loaded_and_says_what_it_is_for() -> None:
    for name in COMMANDS:
        made = CliRunner().invoke(cli, [name, "--help"])
        assert made.exit_code == 0, name
        assert made.output.startswith("Usage: "), name
    overview = CliRunner().invoke(cli, ["--help"]).output
    assert all(f"  {name} " in overview for name in COMMANDS if name != "live-build")
    assert "live-build " not in overview.partition("Commands:")[2], "for auto/ alone"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["biuld"], "Did you mean 'build'?"),
        (["frobnicate"], "No such command 'frobnicate'."),
        (["build", "--no-such-option"], "No such option"),
        (["build", "--jobs", "many"], "is not a valid integer"),
        (["build", "-C", "/nonexistent"], "/nonexistent: no such folder"),
        (["clean", "--keep", "-1"], "-1 is not in the range"),
    ],
)
def test_bad_usage_ends_with_2(run_main: Main, arguments: list[str], message: str) -> None:
    status, out, err = run_main(*arguments)
    assert (status, out) == (2, "")
    assert message in err


def test_a_bad_configuration_ends_with_2_and_says_where(run_main: Main, tmp_path: Path) -> None:
    (tmp_path / "image-builder.yaml").write_text("suite: trixie\nsutie: sid\n")
    status, out, err = run_main("build", "-C", str(tmp_path))
    assert (status, out) == (2, "")
    assert err == f"error: {tmp_path}/image-builder.yaml:2: unknown key 'sutie'; did you mean 'suite'?\n"


def test_building_without_root_ends_with_3(
    run_main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    status, _, err = run_main("build", "-C", str(tmp_path), "--store", str(tmp_path / "store"))
    assert status == 3
    assert "building needs root" in err
    assert "hint: run it with sudo" in err
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PipelineError("broke", where="here", hint="mend it"), 1),
        (CommandError("broke", where="here", hint="mend it"), 1),
        (ConfigError("broke", where="here", hint="mend it"), 2),
    ],
)
def test_every_kind_of_failure_has_its_exit_status(
    run_main: Main, targets_raises: Callable[[BaseException], None], error: PipelineError, status: int
) -> None:
    targets_raises(error)
    assert run_main("targets") == (status, "", "error: here: broke\n  hint: mend it\n")


def test_a_failure_of_the_surroundings_tells_in_one_line_what_the_machine_lacks(
    run_main: Main, targets_raises: Callable[[BaseException], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGE_BUILDER_STORE", str(tmp_path / "store"))
    (tmp_path / "image-builder.yaml").write_text(f"keyring: {tmp_path}/none.gpg\n")
    targets_raises(SurroundingsError("broke", where="here", hint="mend it"))
    status, out, err = run_main("targets")
    assert (status, out) == (3, "")
    first, second, third = err.splitlines()
    assert (first, second) == ("error: here: broke", "  hint: mend it")
    assert third.startswith("this machine: ")
    assert f"keyring: {tmp_path}/none.gpg is not there (mend: " in third


def test_a_status_a_command_ends_with_by_clicks_exit_is_kept(
    run_main: Main, targets_raises: Callable[[BaseException], None]
) -> None:
    targets_raises(click.exceptions.Exit(7))
    assert run_main("targets") == (7, "", "")


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGHUP])
def test_what_stops_it_is_no_traceback(
    run_main: Main, monkeypatch: pytest.MonkeyPatch, number: signal.Signals | None
) -> None:
    def callback(**_: object) -> None:
        if number is None:
            raise KeyboardInterrupt
        signal.raise_signal(number)

    monkeypatch.setattr(targets, "callback", callback)
    status, _, err = run_main("targets")
    assert status == 130
    assert err == "\nstopped; finished layers are kept, the same command goes on from there\n"


@pytest.mark.parametrize("end", ["pass", "sys.exit(7)"])
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_is_done_cannot_be_stopped_any_more(number: str, end: str) -> None:
    """A signal while Python ends, which is when it has forgotten its handlers."""
    program = f"""
import atexit, signal, sys
from image_builder.cli import main
from image_builder.cli.targets import targets

def callback(**_):
    print("done")
    {end}

atexit.register(signal.raise_signal, signal.{number})
targets.callback, sys.argv[1:] = callback, ["targets"]
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0 if end == "pass" else 7, "done\n", "")


def test_a_bug_keeps_its_traceback(run_main: Main, targets_raises: Callable[[BaseException], None]) -> None:
    targets_raises(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        run_main("targets")


def test_the_chain_of_causes_is_told_once_each() -> None:
    try:
        try:
            try:
                raise OSError("EIO")
            except OSError as e:
                raise CommandError("umount failed", where="umount /x") from e
        except CommandError as e:
            raise PipelineError("cannot clean up", where="step", hint="look") from e
    except PipelineError as e:
        assert explained(e) == "error: step: cannot clean up\n  hint: look\nbecause: umount /x: umount failed"


def test_the_version_is_the_packages(run_main: Main) -> None:
    status, out, _ = run_main("--version")
    assert status == 0
    assert out.startswith("image-builder, version ")
