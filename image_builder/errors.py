"""The failures a user can act on, with the exit status each one ends the program with."""

from __future__ import annotations

import os


class PipelineError(Exception):
    """A failure the user can act on: what, where, and what to try.

    exit_status is what the command line ends with: 1 a build or check failed, 2 bad usage or
    configuration, 3 the surroundings failed (network, disk, missing tool) and a retry may help.
    """

    exit_status = 1

    def __init__(self, what: str, *, where: str | os.PathLike[str], hint: str = "") -> None:
        self.what, self.where, self.hint = what, os.fspath(where), hint
        super().__init__(f"{self.where}: {what}" + (f"\n  hint: {hint}" if hint else ""))


class ConfigError(PipelineError):
    """What the user asked for cannot be meant that way."""

    exit_status = 2


class SurroundingsError(PipelineError):
    """Network, disk, memory or a missing tool stopped the work; a retry may help."""

    exit_status = 3


class CommandError(PipelineError):
    """A program could not be started, ran too long, or failed."""
