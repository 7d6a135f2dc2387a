"""image-builder archive export, import-state."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from image_builder.archive.database.exchange import export as write_all
from image_builder.archive.database.exchange import import_state as read_all
from image_builder.cli.archive.context import Opened, archive_options
from image_builder.errors import SurroundingsError


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default="-")
@archive_options
def export(opened: Opened, file: Path) -> None:
    """Write the whole database to FILE, or stdout: one JSON object a line, as it was at one moment."""
    if str(file) == "-":
        number = write_all(opened.database, sys.stdout)
    else:
        part = file.with_name(f".{file.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as out:
                number = write_all(opened.database, out)
                out.flush()
                os.fsync(out.fileno())
            part.replace(file)
        except OSError as e:
            raise SurroundingsError(f"cannot be written: {e.strerror or e}", where=file) from e
        finally:
            part.unlink(missing_ok=True)
    click.echo(f"{number} rows", err=True)


@click.command("import-state")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@archive_options
def import_state(opened: Opened, file: Path) -> None:
    """Read FILE, which export wrote, into a database in which nothing was begun."""
    try:
        if str(file) == "-":
            number = read_all(opened.new_database, sys.stdin, "stdin")
        else:
            with file.open(encoding="utf-8") as lines:
                number = read_all(opened.new_database, lines, str(file))
    except (OSError, UnicodeDecodeError) as e:
        raise SurroundingsError(f"cannot be read: {e}", where=file) from e
    opened.print({"rows": number}, ())
    click.echo(f"{number} rows", err=True)
