"""Logging in on a serial line, played turn by turn."""

from __future__ import annotations

import re

from image_builder.boot.console import Verdict
from image_builder.boot.dialogue import Dialogue, Output

LOGIN = ("root", "secret")


def run_as_shell(typed: str, output: str, status: int) -> str:
    """What a terminal shows for a typed command: its echo, then what printf makes of the marks, and a prompt."""
    number = re.search(r"<%s (\d+)>", typed)
    assert number is not None
    echo = typed.replace("\n", "\r\n").replace("\r", "")
    return f"{echo}\n<image-builder {number[1]}>\n{output}\n<image-builder {number[1]} {status}>\nroot@debian:~# "


def logged_in(dialogue: Dialogue) -> str:
    """Take a dialogue past the password; return what it types then."""
    assert dialogue.feed("debian login: ") == "root\n"
    assert dialogue.feed("root\nPassword: ") == "secret\n"
    return dialogue.feed("\nLinux debian 6.12\n\nroot@debian:~# ")


def test_without_a_login_the_prompt_is_the_end() -> None:
    dialogue = Dialogue()
    assert dialogue.feed("debian login: ") == ""
    assert dialogue.result == Verdict(True, "login prompt")


def test_commands_give_their_output() -> None:
    dialogue = Dialogue(login=LOGIN, commands=["df /", "true"])
    typed = logged_in(dialogue)
    assert "df /" in typed
    table = "Filesystem 1K-blocks\n/dev/vda1 10000000"
    typed = dialogue.feed(run_as_shell(typed, table, 0))
    assert "true" in typed
    assert dialogue.result is None
    dialogue.feed(run_as_shell(typed, "", 0))
    assert dialogue.result == Verdict(True, "login prompt, logged in")
    assert dialogue.outputs == [Output("df /", 0, table), Output("true", 0, "")]


def test_a_command_that_fails_ends_it() -> None:
    dialogue = Dialogue(login=LOGIN, commands=["mountpoint /data", "true"])
    typed = logged_in(dialogue)
    assert dialogue.feed(run_as_shell(typed, "/data is not a mountpoint", 32)) == ""
    assert dialogue.result == Verdict(False, "`mountpoint /data` ended with 32: /data is not a mountpoint")


def test_output_may_hold_what_elsewhere_is_a_failure() -> None:
    dialogue = Dialogue(login=LOGIN, commands=["cat notes"])
    typed = logged_in(dialogue)
    dialogue.feed(run_as_shell(typed, "Kernel panic - not syncing: an example", 0))
    assert dialogue.result == Verdict(True, "login prompt, logged in")


def test_a_refused_login_is_a_failure() -> None:
    dialogue = Dialogue(login=LOGIN)
    dialogue.feed("debian login: ")
    dialogue.feed("root\nPassword: ")
    assert dialogue.feed("\n\nLogin incorrect\ndebian login: ") == ""
    assert dialogue.result == Verdict(False, "the login as root was refused")


def test_a_refused_login_is_repeated_while_the_password_is_being_set() -> None:
    dialogue = Dialogue(login=LOGIN, patient=True)
    dialogue.feed("debian login: ")
    dialogue.feed("root\nPassword: ")
    assert dialogue.feed("\n\nLogin incorrect\n") == ""
    assert "1 were" in dialogue.waits_for
    assert dialogue.feed("debian login: ") == "root\n"
    assert dialogue.feed("root\nPassword: ") == "secret\n"
    dialogue.feed("\nroot@debian:~# ")
    assert dialogue.result == Verdict(True, "login prompt, logged in")


def test_cloud_init_is_waited_for_before_the_login() -> None:
    dialogue = Dialogue(login=LOGIN)
    assert dialogue.feed("cloud-init[1]: Cloud-init v. 25.1.4 running 'init-local'\n\ndebian login: ") == ""
    assert dialogue.feed("cloud-init[9]: Cloud-init v. 25.1.4 finished at Sat\n") == "root\n"


def test_a_name_that_was_typed_too_early_is_typed_again() -> None:
    dialogue = Dialogue(login=LOGIN)
    assert dialogue.silence() == ""
    dialogue.feed("debian login: ")
    assert dialogue.silence() == "\n"
    assert dialogue.feed("\n\ndebian login: ") == "root\n"


def test_a_panic_during_the_login_is_a_failure() -> None:
    dialogue = Dialogue(login=LOGIN)
    dialogue.feed("debian login: ")
    dialogue.feed("root\n[  40.0] Kernel panic - not syncing: Attempted to kill init!\n")
    assert dialogue.result == Verdict(False, "kernel panic: Attempted to kill init!")


def test_what_is_waited_for() -> None:
    assert Dialogue().waits_for == "a login prompt or cloud-init's end"
    dialogue = Dialogue(login=LOGIN, commands=["df"])
    logged_in(dialogue)
    assert dialogue.waits_for == "the end of `df`"
