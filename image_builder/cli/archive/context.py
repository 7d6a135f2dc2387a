"""What the commands of a rebuild have in common: its configuration, database and run; and how answers are printed."""

from __future__ import annotations

import difflib
import functools
import getpass
import json
import os
import time
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from image_builder.archive.configuration import CONFIG_NAME, ArchiveConfig, load_archive_config
from image_builder.archive.database.open import open_database
from image_builder.archive.database.records import Run
from image_builder.archive.database.store import Database
from image_builder.archive.states import Package
from image_builder.errors import PipelineError


class Opened:
    """A rebuild on the command line. What is needed is read and opened when it is asked for."""

    def __init__(self, ctx: click.Context, file: Path, database: str | None, run: str | None, as_json: bool) -> None:
        self._ctx, self._file, self._address, self._run = ctx, file, database, run
        self.as_json = as_json

    @cached_property
    def config(self) -> ArchiveConfig:
        """The configuration. Raises ConfigError."""
        return load_archive_config(self._file, options={"database": self._address})

    @cached_property
    def database(self) -> Database:
        """The database, closed when the command ends. With --database, no configuration has to be there.

        Raises PipelineError where there is none.
        """
        return self._open(make=False)

    @cached_property
    def new_database(self) -> Database:
        """The same, made if it is not there."""
        return self._open(make=True)

    def _open(self, *, make: bool) -> Database:
        weights = self.config.schedule.weights if self._address is None or self._file.exists() else None
        address = self._address or self.config.database
        database = open_database(address, weights=weights, make=make)
        self._ctx.call_on_close(database.close)
        return database

    @cached_property
    def run(self) -> Run:
        """The run that is meant: that of --run, by name or stage, else the newest. Raises PipelineError."""
        return self.run_called(self._run)

    def run_called(self, name: str | None) -> Run:
        """The run of that name, or the newest of that stage; None: the newest. Raises PipelineError."""
        runs = self.database.runs()
        if name is not None and not name.isdigit():
            return self.database.run(name)
        if name is not None:
            runs = [run for run in runs if run.stage == int(name)]
        if not runs:
            wanted = "no run was begun" if name is None else f"no run of stage {name} was begun"
            raise PipelineError(wanted, where=self.database.where, hint="image-builder archive run begins one")
        return runs[-1]

    @staticmethod
    def now() -> float:
        """POSIX seconds."""
        return time.time()

    @staticmethod
    def user() -> str:
        """Who typed the command, also through sudo."""
        return os.environ.get("SUDO_USER") or getpass.getuser()

    def print(self, value: object, lines: Iterable[str]) -> None:
        """Print what was asked for: the value as JSON, or the lines."""
        if self.as_json:
            click.echo(json.dumps(value, indent=1, ensure_ascii=False))
        else:
            for line in lines:
                click.echo(line)


def archive_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --config, --database, --run and --json; it gets an Opened as its first argument."""

    @click.option(
        "--config",
        "config_file",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="IMAGE_BUILDER_ARCHIVE_CONFIG",
        default=Path(CONFIG_NAME),
        show_default=True,
        metavar="FILE",
        help="The configuration of the rebuild.",
    )
    @click.option(
        "--database", metavar="ADDRESS", help="A path or postgresql://…, instead of that of the configuration."
    )
    @click.option("--run", "run_name", metavar="NAME", help="A run by name or by its stage. Default: the newest.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @functools.wraps(command)
    def wrapped(config_file: Path, database: str | None, run_name: str | None, as_json: bool, **words: Any) -> None:
        ctx = click.get_current_context()
        command(Opened(ctx, config_file, database, run_name, as_json), **words)

    return wrapped


def one_package(opened: Opened, name: str, suite: str | None, architecture: str | None) -> list[Package]:
    """The package of that name, for each suite and architecture. Raises PipelineError where there is none."""
    found = opened.database.packages(opened.run.identity, suite=suite, architecture=architecture, pattern=literal(name))
    if found:
        return found
    names = {package.key.source for package in opened.database.packages(opened.run.identity)}
    near = difflib.get_close_matches(name, names, n=1)
    raise PipelineError(
        "is not known", where=f"{opened.run.name}: {name}", hint=f"did you mean {near[0]!r}?" if near else ""
    )


def literal(name: str) -> str:
    """The pattern that matches this name only."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
