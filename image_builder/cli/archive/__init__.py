"""image-builder archive: rebuild an archive from source, in stages."""

from __future__ import annotations

import click

from image_builder.cli.archive.table import TABLE
from image_builder.commands import Commands


@click.group(cls=Commands, table=TABLE)
def archive() -> None:
    """Rebuild an archive from source, in stages; see how far it is, and steer it.

    \b
    image-builder archive status                 how far it is
    image-builder archive why glibc              what it waits for
    image-builder archive give-back 'python-*'   try these again

    What is rebuilt, and how, stands in archive.yaml.
    """
