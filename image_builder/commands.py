"""What the project's commands have in common: loading one when it is called, signals, errors and exit status."""

from __future__ import annotations

import difflib
import os
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import Any

import click

from image_builder.errors import PipelineError

Table = Mapping[str, tuple[str, str]]  # command -> (module that has it, what --help says)


class Commands(click.Group):
    """Loads a command's module only when it is called: no command waits for modules it does not use.

    hidden: commands that other programs call, which --help does not list.
    """

    def __init__(self, *args: Any, table: Table, hidden: Collection[str] = (), **words: Any) -> None:
        super().__init__(*args, **words)
        self._table = table
        self._shown = {name: text for name, (_, text) in table.items() if name not in hidden}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self._shown)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._table:
            return None
        command = getattr(import_module(self._table[cmd_name][0]), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(self._shown.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as e:
            near = difflib.get_close_matches(args[0], self._table, n=1)
            if not near:
                raise
            raise click.UsageError(f"{e.message} Did you mean {near[0]!r}?", ctx) from e


def run_command(
    cli: click.Group, name: str, *, stopped: str, failed: Callable[[PipelineError], None] | None = None
) -> None:
    """Run the command line; print what went wrong, with the whole chain of causes; exit.

    stopped: said after Ctrl-C and SIGTERM. failed: called after an error has been printed, to say more of it.
    """

    def terminated(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGHUP, terminated)
    try:
        status = _status(cli, name, stopped, failed)
    finally:  # commands end by sys.exit, too
        _cannot_be_stopped()
    sys.exit(status)


def _cannot_be_stopped() -> None:
    """Python forgets its handlers before it ends: a Ctrl-C then would kill a program that has done all it was to do."""
    waiting = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    while waiting:
        with suppress(KeyboardInterrupt):  # by one that came a moment ago
            signal.signal(waiting[-1], signal.SIG_IGN)
            waiting.pop()


def _status(cli: click.Group, name: str, stopped: str, failed: Callable[[PipelineError], None] | None) -> int:
    try:
        status = cli.main(prog_name=name, standalone_mode=False)
        return status if isinstance(status, int) else 0  # click gives back what a command ends with by Exit
    except click.ClickException as e:
        e.show()
        return 2
    except (click.Abort, KeyboardInterrupt):  # click has ended the line of the ^C
        print(stopped, file=sys.stderr)
        return 130
    except PipelineError as e:
        print(explained(e), file=sys.stderr)
        if failed is not None:
            failed(e)
        return e.exit_status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def explained(error: BaseException) -> str:
    """An error and the causes below it that say more, one paragraph each."""
    parts = [f"error: {error}"]
    cause = error.__cause__
    while isinstance(cause, PipelineError):
        parts.append(f"because: {cause}")
        cause = cause.__cause__
    return "\n".join(parts)
