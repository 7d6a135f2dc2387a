"""`snapshot-proxy store`: care for the content store, and share it with other hosts."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from image_builder.errors import ConfigError
from image_builder.files import in_bytes
from image_builder.lock import Lock
from proxy.archive.assemble import assemble
from proxy.archive.frozen import FrozenSet
from proxy.archive.sources import DEBIAN_KEYRING, Source
from proxy.blobs import Blobs
from proxy.cli.mirror import size
from proxy.cli.options import STORE
from proxy.store import share, upkeep


def _bytes(ctx: click.Context, param: click.Parameter, text: str) -> int:
    try:
        return in_bytes(text)
    except ValueError as e:
        raise click.BadParameter(str(e), ctx, param) from e


@click.group()
@click.option(
    "--store",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SNAPSHOT_PROXY_STORE",
    default=STORE,
    show_default=True,
    help="The content store.",
)
@click.pass_context
def store(ctx: click.Context, folder: Path) -> None:
    """Verify and prune the files kept by SHA-256, take them from another host or give them to it.

    Served by any web server (FOLDER/sha256/HASH as BASE/sha256/HASH) the store is asked first by hosts that have
    BASE in IMAGE_BUILDER_SHARED_STORES.
    """
    ctx.obj = Blobs(folder.absolute() / "sha256")


@store.command()
@click.pass_obj
def verify(kept: Blobs) -> None:
    """Read every file; damaged ones are removed and listed, and the exit status is 1 then."""
    damaged = upkeep.verify(kept)
    for one in damaged:
        print(f"{one.path.name}: damaged (it has {one.found}); removed")
    if damaged:
        sys.exit(1)


@store.command()
@click.option("--max-size", "max_bytes", callback=_bytes, required=True, metavar="SIZE", help="20G, 512M, 0.")
@click.option(
    "--keep",
    "locks",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="LOCK",
    help="What this lock names stays; several are possible.",
)
@click.option("--keyring", type=click.Path(path_type=Path), default=DEBIAN_KEYRING, show_default=True)
@click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
@click.pass_obj
def prune(kept: Blobs, max_bytes: int, locks: tuple[Path, ...], keyring: Path, dry_run: bool) -> None:
    """Remove what was not used for longest until the rest fits; what somebody uses stays."""
    keep: set[str] = set()
    for path in locks:
        keep |= named_by(path, kept, keyring)
    gone = upkeep.prune(kept, max_bytes, keep=keep, dry_run=dry_run)
    for sha256 in gone.removed:
        print(sha256)
    print(f"{size(gone.freed_bytes)} {'would be ' if dry_run else ''}freed, {size(gone.left_bytes)} left")


@store.command()
@click.argument("source")
@click.pass_obj
def pull(kept: Blobs, source: str) -> None:
    """Take what another store has and this one has not, by rsync: HOST:FOLDER/sha256, rsync://…, a folder."""
    got = share.pull(kept, source)
    print(f"{len(got.taken)} files taken")
    for name in got.refused:
        print(f"{name}: is not what its name says; not taken")
    if got.refused:
        sys.exit(1)


@store.command()
@click.argument("target")
@click.pass_obj
def push(kept: Blobs, target: str) -> None:
    """Give another store what it has not, by rsync."""
    share.push(kept, target)


def named_by(path: Path, kept: Blobs, keyring: Path) -> set[str]:
    """Every file a lock names, as far as its indices are here."""
    lock = Lock.read(path)
    if lock is None:
        raise ConfigError("there is no such lock", where=path)
    sources = [Source(pin.uri, pin.suite, pin.components, pin.architectures, (keyring,)) for pin in lock.archives]
    frozen = FrozenSet(assemble(lock.archives, sources, keyring=keyring, cache=kept.folder.parent), kept.folder.parent)
    try:
        return frozen.hashes()
    finally:
        frozen.close()
