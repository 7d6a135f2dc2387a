"""Where commands that only look take an archive from: index files, else the archives of the configuration."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from image_builder.archive.configuration import CONFIG_NAME, load_archive_config
from image_builder.archive.indices.packages import read_packages
from image_builder.archive.indices.sources import latest, read_sources
from image_builder.archive.model import BinaryPackage, SourcePackage
from image_builder.errors import ConfigError

FILE = click.Path(dir_okay=False, exists=True, path_type=Path)


@dataclass(frozen=True)
class Indices:
    """An archive to look at."""

    sources: Sequence[SourcePackage]
    binaries: Sequence[BinaryPackage]
    architecture: str


def index_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --sources, --packages, --architecture and --config; it gets a function that reads Indices."""

    @click.option("--sources", type=FILE, multiple=True, metavar="FILE", help="An index of source packages (Sources).")
    @click.option("--packages", type=FILE, multiple=True, metavar="FILE", help="An index of binary packages.")
    @click.option("--architecture", metavar="NAME", default="amd64", show_default=True, help="With --sources.")
    @click.option(
        "--config",
        "config_file",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="IMAGE_BUILDER_ARCHIVE_CONFIG",
        default=Path(CONFIG_NAME),
        show_default=True,
        metavar="FILE",
        help="Without --sources: the configuration that names the archives, and what of them is built.",
    )
    @functools.wraps(command)
    def wrapped(
        sources: tuple[Path, ...], packages: tuple[Path, ...], architecture: str, config_file: Path, **words: Any
    ) -> None:
        command(lambda: _read(sources, packages, architecture, config_file), **words)

    return wrapped


def _read(sources: Sequence[Path], packages: Sequence[Path], architecture: str, config_file: Path) -> Indices:
    if bool(sources) != bool(packages):
        raise ConfigError("--sources and --packages belong together", where="the command line")
    if sources:
        found = latest(one for path in sources for one in read_sources(path))
        return Indices(list(found.values()), [one for path in packages for one in read_packages(path)], architecture)
    from image_builder.archive.rebuild.ground import laid, utc

    config = load_archive_config(config_file)
    ground = laid(config, update=False, now=utc(time.time()))
    chosen = {name for one in config.passes for name in ground.chosen(one)}
    kept = [one for name, one in ground.archive.sources.items() if name in chosen]
    return Indices(kept, ground.old_binaries(ground.native), ground.native)
