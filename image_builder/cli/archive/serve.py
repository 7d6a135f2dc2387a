"""image-builder archive serve: the web view on this machine."""

from __future__ import annotations

import contextlib
import ipaddress
from pathlib import Path

import click

from image_builder.archive.pages.answers import Folder, Live, Site
from image_builder.archive.pages.files import BOOK
from image_builder.archive.pages.server import Server
from image_builder.cli.archive.context import Opened, archive_options
from image_builder.errors import ConfigError

PORT = 8790


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: one that is free.")
@click.option("--listen", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Others reach everybody.")
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="A name it is asked by besides localhost.")
@click.option(
    "--pages",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="What `archive pages` wrote there, instead of the database as it is.",
)
@archive_options
def serve(opened: Opened, port: int, listen: str, hosts: tuple[str, ...], folder: Path | None) -> None:
    """Show the web view on http://127.0.0.1:8790/ until Ctrl-C: read-only, and always as the database is."""
    site: Site
    if folder is None:
        site = Live(opened.database, opened.config.results)
    elif (folder / BOOK).is_file():
        site = Folder(folder)
    else:
        raise ConfigError("there are no pages", where=folder, hint=f"image-builder archive pages {folder} writes them")
    if not _is_own(listen):
        click.echo(f"everybody who reaches {listen} can read this; names it is asked by: --host", err=True)
    with Server(site, listen, port, hosts) as server:
        opened.print({"url": server.url}, [server.url])
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def _is_own(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
