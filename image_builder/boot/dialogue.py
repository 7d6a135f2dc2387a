"""What to answer on a serial console: log in, give commands, collect what they print (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from image_builder.boot.console import CLOUD_INIT_DONE, CLOUD_INIT_RUNS, LOGIN, Verdict, verdict

PASSWORD = re.compile(r"^Password: ?", re.MULTILINE)
INCORRECT = re.compile(r"^Login incorrect", re.MULTILINE)
SHELL = re.compile(r"^[^\n]{0,60}[#$] ", re.MULTILINE)
MARK = "image-builder"


@dataclass(frozen=True)
class Output:
    """What one command printed, both streams, to the letter, and its exit status."""

    command: str
    status: int
    text: str


class Dialogue:
    """Goes from power-on to a verdict; fed with the console's text, it returns what to type.

    Without a login the boot itself is the verdict. With one, it ends after the last command, at the first
    that fails, or when the login is refused. patient: a refused login is tried again, since the password is
    still being set.
    """

    def __init__(
        self, *, login: tuple[str, str] | None = None, commands: Sequence[str] = (), patient: bool = False
    ) -> None:
        self.result: Verdict | None = None
        self.outputs: list[Output] = []
        self._login, self._commands = login, list(commands)
        self._patient, self._refused = patient, 0
        self._state = "boot"
        self._text = ""  # since the last answer
        self._boot = ""
        self._booted = "booted"

    def feed(self, text: str) -> str:
        """Take more of the console's text, return what to type now (often nothing)."""
        self._text += text
        self._boot += text
        typed = ""
        while self.result is None:
            answer = self._step()
            if answer is None:
                break
            typed += answer
        return typed

    def silence(self) -> str:
        """What to type after some seconds without output: a getty may have thrown away the name typed too early."""
        return "\n" if self._state == "password" and self.result is None else ""

    @property
    def waits_for(self) -> str:
        """For the message of a timeout."""
        return {
            "boot": "a login prompt" if self._login else "a login prompt or cloud-init's end",
            "password": "a password prompt",
            "shell": "a shell prompt",
            "again": f"a login that is not refused (as {self._refused} were)",
            "command": f"the end of `{self._commands[0]}`" if self._commands else "",
        }[self._state]

    def _step(self) -> str | None:
        """One answer, or None to wait for more text."""
        if self._state != "command" and (seen := verdict(self._boot)):
            if not seen.success or self._login is None:
                self.result = seen
                return None
            self._booted = seen.reason
        steps = {
            "boot": self._name,
            "password": self._password,
            "shell": self._shell,
            "again": self._again,
            "command": self._collect,
        }
        return steps[self._state]()

    def _name(self) -> str | None:
        # The prompt comes before cloud-init has set the password, where cloud-init is there at all.
        busy = CLOUD_INIT_RUNS.search(self._boot) and not CLOUD_INIT_DONE.search(self._boot)
        if busy or self._login is None or not LOGIN.search(self._boot):
            return None
        # A prompt from before may have messages behind it by now; the first name typed is good for it all the same.
        return self._answer("password", self._login[0] + "\n")

    def _password(self) -> str | None:
        assert self._login is not None
        if PASSWORD.search(self._text):
            return self._answer("shell", self._login[1] + "\n")
        if LOGIN.search(self._text.partition("\n")[2]):  # a new prompt after the echo of what was typed
            return self._answer("password", self._login[0] + "\n")
        return None

    def _shell(self) -> str | None:
        assert self._login is not None
        if INCORRECT.search(self._text):
            if self._patient:
                self._refused += 1
                self._state = "again"
                return ""
            self.result = Verdict(False, f"the login as {self._login[0]} was refused")
        elif SHELL.search(self._text):
            return self._next()
        return None

    def _again(self) -> str | None:
        assert self._login is not None
        return self._answer("password", self._login[0] + "\n") if LOGIN.search(self._text) else None

    def _next(self) -> str | None:
        if not self._commands:
            self.result = Verdict(True, f"{self._booted}, logged in")
            return None
        number = len(self.outputs)
        # The marks are put together by printf: the terminal's echo of this line does not hold them whole.
        # Not on the line itself: kernel messages go to this console too, and would land in the output.
        line = f"dmesg -n 1 2>/dev/null; printf '\\n<%s {number}>\\n' {MARK}; {{ {self._commands[0]}; }} 2>&1; "
        return self._answer("command", line + f"printf '\\n<%s {number} %d>\\n' {MARK} $?\n")

    def _collect(self) -> str | None:
        number = len(self.outputs)
        found = re.search(rf"^<{MARK} {number}>\n(.*?)\n<{MARK} {number} (\d+)>", self._text, re.M | re.S)
        if found is None:
            return None
        output = Output(self._commands.pop(0), int(found[2]), found[1])
        self.outputs.append(output)
        if output.status != 0:
            lines = output.text.strip().splitlines()
            said = f": {lines[-1]}" if lines else ""
            self.result = Verdict(False, f"`{output.command}` ended with {output.status}{said}")
            return None
        return self._next()

    def _answer(self, state: str, typed: str) -> str:
        self._state, self._text = state, ""
        return typed
