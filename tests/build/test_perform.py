"""What a step's log file is called, why a step that ended is a failure, what the user is told then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from image_builder.build.diagnose import OUT_OF_MEMORY, Diagnosis
from image_builder.build.perform import LOG_END, StepError, is_empty, judged, log_name, place_of
from image_builder.live_build.recipe import Work
from image_builder.plan.tree import Node, StepSpec
from image_builder.sandbox import Outcome

Grow = Callable[..., dict[str, Node]]


def node(name: str, key: str = "0123456789" * 6) -> Node:
    return Node(StepSpec("binary", name, {}), key, None, targets=["disk", "wsl"])


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("finish", "finish.01234567.log"),
        ("base trixie amd64", "base-trixie-amd64.01234567.log"),
        ("binary base/squashfs.binary", "binary-base-squashfs.binary.01234567.log"),
        ("packages (3 asked for)", "packages-3-asked-for.01234567.log"),
        ("chroot ../../etc/passwd", "chroot-..-..-etc-passwd.01234567.log"),
    ],
)
def test_a_log_is_named_for_its_step_and_stays_in_its_folder(step: str, name: str) -> None:
    assert log_name(node(step)) == name


def test_logs_of_steps_that_have_one_name_do_not_mix() -> None:
    assert log_name(node("finish", "a" * 64)) != log_name(node("finish", "b" * 64))


EXPECTS = ("001-one.binary", "002-two.binary")
RAN = "Executing hook config/hooks/normal/001-one.binary...\nExecuting hook config/hooks/normal/002-two.binary...\n"


def judge(said: str, **more: Any) -> Diagnosis | None:
    outcome = Outcome(**{"exit_status": 0, "seconds": 1.0, **more})
    return judged(Work("", {}, {}, expects=EXPECTS), outcome, said, timeout_s=60)


def test_a_step_that_ran_all_its_hooks_is_no_failure() -> None:
    assert judge(RAN) is None


@pytest.mark.parametrize(
    ("said", "missed"),
    [
        ("Begin executing hooks...\n", "001-one.binary, 002-two.binary"),
        (RAN.splitlines(keepends=True)[0], "002-two.binary"),
        (RAN.replace("/002-two.binary...", "/002-two.binary-too..."), "002-two.binary"),
    ],
)
def test_a_hook_live_build_left_out_is_one_though_it_ended_well(said: str, missed: str) -> None:
    found = judge(said)
    assert found is not None
    assert (found.reason, found.surroundings) == (f"live-build did not run {missed}, and did not say so", False)


def test_the_exit_status_tells_before_a_hook_that_did_not_come_to_its_turn() -> None:
    found = judge("Begin executing hooks...\n", exit_status=7)
    assert found is not None
    assert found.reason == "exit status 7"


def test_out_of_memory_is_what_the_kernel_says_and_only_of_a_failure() -> None:
    assert judge("No space left on device", exit_status=1, out_of_memory=True) == OUT_OF_MEMORY
    assert judge(RAN, out_of_memory=True) is None, "something else on this machine was killed"


def test_a_timeout_is_one_whatever_the_command_made_of_its_signal() -> None:
    found = judge(RAN, exit_status=0, timed_out=True)
    assert found is not None
    assert found.reason == "timeout: not done after 60 s"


def test_only_the_end_of_the_log_gives_the_reason() -> None:
    """What went wrong in the beginning was mended by a second try, or the step would not have gone on."""
    found = judge("Could not connect to mirror\n" + "x\n" * LOG_END + "hook failed\n", exit_status=1)
    assert found is not None
    assert found.reason == "exit status 1"


def test_the_user_is_told_step_targets_reason_last_lines_log_and_what_to_do() -> None:
    why = Diagnosis("no space left on the disk", "make room", surroundings=True)
    error = StepError(node("binary base/disk.binary"), why, Path("/b/logs/disk.log"), "cp: error\nexit 1")
    assert str(error) == (
        "binary base/disk.binary (of disk, wsl): no space left on the disk\n"
        "  | cp: error\n"
        "  | exit 1\n"
        "  the whole log: /b/logs/disk.log\n"
        "  hint: make room"
    )


@pytest.mark.parametrize(("surroundings", "status"), [(True, 3), (False, 1)])
def test_a_retry_may_help_when_the_surroundings_were_at_fault(surroundings: bool, status: int) -> None:
    error = StepError(node("x"), Diagnosis("why", "", surroundings), Path("/log"), "")
    assert error.exit_status == status


def test_a_place_is_the_names_from_the_root_down(tree: Grow) -> None:
    nodes = tree("a: base finish", "b: base other")
    again = tree("c: base finish")
    assert place_of(nodes["finish"]) == place_of(again["finish"])
    assert len({place_of(n) for n in nodes.values()}) == 3


@pytest.mark.parametrize(
    ("files", "empty"),
    [
        ([], True),
        (["config/common", "hooks.d/base/x.binary", "local/bin/x", ".build/binary_hooks", "binary/x"], True),
        (["livecd.debian.img"], False),
        (["chroot/etc/motd"], False),
    ],
)
def test_a_hook_that_changed_only_live_builds_own_marks_declined(tmp_path: Path, files: list[str], empty: bool) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert is_empty(tmp_path) is empty
