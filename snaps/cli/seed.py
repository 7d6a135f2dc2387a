"""`snap-tool seed`: what snapd installs at the first boot, from a lock."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from image_builder.errors import ConfigError
from image_builder.files import give_to_caller, write_whole
from image_builder.lock import Lock
from snaps import model as models
from snaps import preseed as preseeding
from snaps import proofs
from snaps import seed as seeds
from snaps.cli import display
from snaps.cli.options import default_cache, file_options, lock_option, store_options
from snaps.closure import subset
from snaps.files import SnapFiles
from snaps.locked import have
from snaps.preseed import Outcome
from snaps.seed import SeedSnap
from snaps.seed_check import Seed
from snaps.store import settings
from snaps.store.client import StoreClient


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.argument("names", nargs=-1, metavar="[SNAP...]")
@lock_option
@click.option("--model", "model_file", type=click.Path(path_type=Path),
              help="Model with the account and account-key that prove it (default: generic-classic).")  # fmt: skip
@click.option("--preseed", "root", type=click.Path(path_type=Path),
              help="Call snap-preseed in this root afterwards, if it has one and the host allows it.")  # fmt: skip
@click.option("--link", is_flag=True, help="Link the snaps to the cache where possible, instead of copying them.")
@click.option("--report", type=click.Path(path_type=Path), help="Write what was seeded, as JSON.")
@store_options
@file_options
def seed(
    directory: Path, names: tuple[str, ...], lock_path: Path, model_file: Path | None, root: Path | None, link: bool,
    report: Path | None, arch: str, series: str, cache: Path | None, trust_file: Path | None,
) -> None:  # fmt: skip
    """Write seed.yaml, snaps and assertions of a lock into DIR, new or empty: all snaps, or SNAPs with their needs.

    In an image DIR is var/lib/snapd/seed. The same lock gives the same bytes. The result is verified before it
    appears. Snaps that are not in the cache are fetched, at the lock's revisions.
    """
    now = datetime.now(UTC)
    lock = Lock.read(lock_path)
    if lock is None or not lock.snaps:
        raise ConfigError("pins no snaps", where=lock_path, hint="snap-tool lock SNAP...")
    pins = subset(lock.snaps, names, where=str(lock_path)) if names else lock.snaps
    files = SnapFiles(cache or default_cache())
    model = models.choose(model_file, proofs.trusted(trust_file, now))
    with display.shown() as progress:
        have(pins, StoreClient(settings.from_environment(architecture=arch, series=series)), files, progress)
    directory.absolute().parent.mkdir(parents=True, exist_ok=True)
    written = seeds.write(
        directory,
        [SeedSnap(pin, files.path(pin.sha3_384)) for pin in pins],
        proofs.read(lock.snap_assertions, where=str(lock_path)),
        model=model,
        now=now,
        link=link,
    )
    if not link:  # else the cache's own files would change hands
        give_to_caller(directory)
    outcome = preseeding.preseed(root) if root is not None else None
    if report is not None:
        write_whole(report, json.dumps(described(written, outcome), indent=2) + "\n")
        give_to_caller(report)
    for note in written.notes:
        print(f"note: {note}", file=sys.stderr)
    if outcome is not None:
        print(f"preseed: {'' if outcome.done else 'not done: '}{outcome.why}", file=sys.stderr)
    print(f"{directory}: {len(written.snaps)} snaps, {written.assertions} assertions, {written.model}", file=sys.stderr)


def described(seed: Seed, outcome: Outcome | None = None) -> dict[str, object]:
    """A seed in JSON; preseeded only where it was asked for."""
    snaps = [
        {
            "name": snap.name,
            "revision": snap.revision,
            "channel": snap.channel,
            "file": snap.file,
            "snap_id": snap.snap_id,
            "sha3_384": snap.sha3_384,
            "size_bytes": snap.size_bytes,
            "publisher": snap.publisher,
        }
        for snap in seed.snaps
    ]
    found: dict[str, object] = {
        "folder": str(seed.folder),
        "label": seed.label,
        "model": seed.model,
        "assertions": seed.assertions,
        "snaps": snaps,
        "notes": list(seed.notes),
    }
    if outcome is not None:
        found["preseed"] = {"done": outcome.done, "why": outcome.why}
    return found
