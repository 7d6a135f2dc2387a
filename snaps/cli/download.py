"""`snap-tool download`: snap files with the assertions that prove them, of a lock or of a channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from image_builder.errors import ConfigError, PipelineError
from image_builder.files import write_whole
from image_builder.lock import Lock
from snaps import channels, proofs
from snaps.assertions.crosscheck import check_file
from snaps.assertions.parse import Assertion
from snaps.cli import display
from snaps.cli.options import Ground, choice_options, file_options, ground, store_options
from snaps.closure import subset
from snaps.download import download as fetch_files
from snaps.lock import wanted
from snaps.locked import have
from snaps.store.answers import Question
from snaps.wishes import Wish, joined, parse


@click.command()
@click.argument("names", nargs=-1, metavar="[SNAP...]")
@click.option("--lock", "lock_path", type=click.Path(path_type=Path),
              help="Fetch what this lock pins: all of it, or SNAPs with what they need.")  # fmt: skip
@click.option("-d", "--directory", type=click.Path(path_type=Path), default=Path(), help="Where the files go.")
@click.option("--revision", type=click.IntRange(1), help="This revision; excludes --channel and --cohort-key.")
@click.option("-j", "--jobs", type=click.IntRange(1), default=4, show_default=True, help="Downloads at once.")
@choice_options
@store_options
@file_options
def download(
    names: tuple[str, ...], lock_path: Path | None, directory: Path, revision: int | None, jobs: int, channel: str,
    cohort_key: str, arch: str, series: str, cache: Path | None, trust_file: Path | None,
) -> None:  # fmt: skip
    """Fetch SNAPs (NAME or NAME=CHANNEL), or those of a lock: NAME_REVISION.snap and .assert, verified.

    A broken download goes on where it ended. Prints the files, one per line.
    """
    if lock_path is not None and (revision or channel):
        raise click.UsageError("a lock has its own revisions: leave out --channel and --revision")
    if revision and (channel or len(names) != 1):
        raise click.UsageError("--revision is for one snap, and excludes --channel")
    if lock_path is None and not names:
        raise click.UsageError("which snaps? Name them, or give a lock by --lock")
    on = ground(arch=arch, series=series, cache=cache, trust_file=trust_file)
    if lock_path is not None:
        _of_lock(lock_path, names, on, directory, jobs)
    else:
        _of_channels(_wishes(names, channel, revision), on, directory, jobs, "" if revision else cohort_key)


def _wishes(names: Sequence[str], channel: str, revision: int | None) -> tuple[Wish, ...]:
    found = []
    for name in names:
        wish = parse(name, where="download")
        at = channels.parse(channel, where="--channel") if channel and "=" not in name else wish.channel
        found.append(Wish(wish.name, at, wish.classic, revision, "download"))
    return joined(found)


def _of_channels(wishes: Sequence[Wish], on: Ground, directory: Path, jobs: int, cohort_key: str) -> None:
    offers = on.client.offers([Question(w.name, w.channel, cohort_key or None, w.revision) for w in wishes])
    with display.shown() as progress:
        fetch_files(on.client, [wanted(offer) for offer in offers], on.files, progress, jobs=jobs)
    for offer in offers:
        proved = proofs.fetched([(offer.snap_id, offer.sha3_384)], on.client, on.trust, on.now)
        known = proofs.database(proved, on.trust, on.now)
        check_file(
            known, name=offer.name, snap_id=offer.snap_id, revision=offer.revision, sha3_384=offer.sha3_384,
            size_bytes=offer.size_bytes,
        )  # fmt: skip
        _put(on, directory, f"{offer.name}_{offer.revision}", offer.sha3_384, proved)


def _of_lock(path: Path, names: Sequence[str], on: Ground, directory: Path, jobs: int) -> None:
    lock = Lock.read(path)
    if lock is None or not lock.snaps:
        raise ConfigError("pins no snaps", where=path, hint="snap-tool lock SNAP...")
    pins = subset(lock.snaps, names, where=str(path)) if names else lock.snaps
    with display.shown() as progress:
        have(pins, on.client, on.files, progress, jobs=jobs)
    known = proofs.database(proofs.read(lock.snap_assertions, where=str(path)), on.trust, on.now)
    proofs.check(known, pins)
    for pin in pins:
        _put(on, directory, f"{pin.name}_{pin.revision}", pin.sha3_384, proofs.needed(known, [pin]))


def _put(on: Ground, directory: Path, stem: str, sha3_384: str, proved: Sequence[Assertion]) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise PipelineError(f"cannot be made: {e.strerror}", where=directory) from e
    on.files.place(sha3_384, directory / f"{stem}.snap")
    write_whole(directory / f"{stem}.assert", "\n".join(one.text for one in proved))
    click.echo(directory / f"{stem}.snap")
