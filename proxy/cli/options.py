"""What resolve, lock and record are told in the same way: sources, keys, where things are kept, which instant."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from image_builder.errors import ConfigError
from proxy.archive.services import Service
from proxy.archive.services import parse as parse_service
from proxy.archive.sources import DEBIAN_KEYRING, Source, debian, parse

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386", "ppc64le": "ppc64el"}
STORE = Path("/var/lib/image-builder/archive")


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """SOURCE... and the options that say how they are read."""
    for add in (
        click.argument("words", nargs=-1, required=True, metavar="SOURCE..."),
        click.option("--arch", "architecture", default=ARCHITECTURES.get(platform.machine(), "amd64"),
                     show_default=True, help="Where a source names none."),
        click.option("--keyring", type=click.Path(path_type=Path, dir_okay=False), default=DEBIAN_KEYRING,
                     show_default=True, help="Where a source has no signed-by."),
        click.option("--source-packages", is_flag=True, help="deb-src too: keep Sources indices."),
        click.option("--store", type=click.Path(path_type=Path, file_okay=False), envvar="SNAPSHOT_PROXY_STORE",
                     default=STORE, show_default=True, help="The content store, with the history."),
    ):  # fmt: skip
        command = add(command)
    return command


def instant(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which instant, and who knows it."""
    for add in (
        click.option("--snapshot", metavar="STAMP", help="POSIX seconds, 20260301T120000Z, or now. Default: what"
                     " REPO_SNAPSHOT_STAMP or SNAPSHOT_SERVICE_TIMESTAMP says, else now."),
        click.option("--service", "services", multiple=True, metavar="[PREFIX=]PATTERN", help="A snapshot service,"
                     " for archives whose address begins so: https://HOST/{archive}/{stamp}/. May be repeated."),
        click.option("--allow-expired", is_flag=True, help="Take a Release that was past its Valid-Until by then."),
    ):  # fmt: skip
        command = add(command)
    return command


def sources_of(words: Sequence[str], architecture: str, keyring: Path, source_packages: bool) -> list[Source]:
    """What SOURCE can be: debian:SUITE, a file of sources.list(5), or one line of it in quotes. Raises ConfigError."""
    found: list[Source] = []
    for word in words:
        if word.startswith("debian:") and word != "debian:":
            made = debian(word.removeprefix("debian:"), architecture, keyring=keyring)
            found += [replace(one, source_packages=source_packages) for one in made]
            continue
        line = word.startswith(("deb ", "deb-src "))
        if not line and not Path(word).is_file():
            raise ConfigError(
                f"{word!r} is no source",
                where="SOURCE",
                hint="debian:SUITE, a .list or .sources file, or 'deb [signed-by=KEYRING] ADDRESS SUITE COMPONENT...'",
            )
        text, where = (word, "SOURCE") if line else (Path(word).read_text("utf-8", errors="replace"), word)
        options: dict[str, Any] = {"architecture": architecture, "source_packages": source_packages}
        found += parse(text, where=where, keyrings=(keyring,), **options)
    if not found:
        raise ConfigError("no source in them", where=" ".join(words), hint="deb lines; deb-src with --source-packages")
    return found


def services_of(words: Sequence[str]) -> list[Service]:
    return [parse_service(word) for word in words]
