"""`snap-tool lock`: the snaps part of a lock, made, shown, or renewed with the difference said first."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from image_builder.errors import ConfigError
from image_builder.files import give_to_caller, write_whole
from image_builder.lock import Lock, duration
from snaps import manifest, wishes
from snaps.channels import Channel
from snaps.cli import display
from snaps.cli.options import choice_options, file_options, ground, lock_option, store_options
from snaps.difference import difference
from snaps.lock import SnapSet, resolve, unmet
from snaps.wishes import Wish


@click.command()
@click.argument("names", nargs=-1, metavar="[SNAP...]")
@click.option("--snaps", "snaps_file", type=click.Path(path_type=Path),
              help="YAML: a list of snaps, or a mapping with one under `snaps`.")  # fmt: skip
@click.option("--revisions", type=click.Path(path_type=Path), help="A seed.manifest: pin these revisions.")
@click.option("--write-revisions", type=click.Path(path_type=Path), help="Write a seed.manifest of the result.")
@click.option("--update", is_flag=True, help="Ask the store anew. Says what changes, then changes it.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would change; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="The snaps of the lock as JSON on stdout.")
@lock_option
@choice_options
@store_options
@file_options
def lock(
    names: tuple[str, ...], snaps_file: Path | None, revisions: Path | None, write_revisions: Path | None,
    update: bool, dry_run: bool, as_json: bool, lock_path: Path, channel: str, cohort_key: str, arch: str, series: str,
    cache: Path | None, trust_file: Path | None,
) -> None:  # fmt: skip
    """Pin SNAPs (NAME[/classic][=CHANNEL]) and all they need: bases, snapd, providers of content.

    A lock that is there and has them so is only shown. What else is in the lock stays.
    """
    before = Lock.read(lock_path)
    pins = before.snaps if before else ()
    asked = _asked(names, snaps_file, revisions, channel)
    if not asked and not pins:
        raise click.UsageError("which snaps? Name them, or give a file by --snaps")
    if update and not asked:
        raise click.UsageError("--update needs the snaps again: the lock does not tell those asked for from the others")
    problems = unmet(asked, pins)
    if pins and not update and problems:
        raise ConfigError("\n".join(problems), where=lock_path, hint="make it anew with --update")
    if update or (asked and not pins):
        on = ground(arch=arch, series=series, cache=cache, trust_file=trust_file)
        with display.shown() as progress:
            found = resolve(
                asked,
                on.client,
                on.files,
                trust=on.trust,
                now=on.now,
                progress=progress,
                cohort_key=cohort_key,
                known=before.snap_assertions if before else (),
            )
        before = _renewed(before, found, lock_path, on.now, dry_run=dry_run)
    assert before is not None
    if write_revisions is not None and not dry_run:
        write_whole(write_revisions, manifest.text((pin.name, pin.revision) for pin in before.snaps))
        give_to_caller(write_revisions)
    _show(before, as_json=as_json)


def _asked(names: Sequence[str], file: Path | None, revisions: Path | None, channel: str) -> tuple[Wish, ...]:
    found = [wishes.parse(f"{name}={channel}" if channel and "=" not in name else name, where="SNAP") for name in names]
    if file is not None:
        found += wishes.read(file)
    if revisions is None:
        return wishes.joined(found)
    try:
        pinned = manifest.parse(revisions.read_text(encoding="utf-8"), where=str(revisions))
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"cannot be read: {e}", where=revisions) from e
    if pinned.sets:
        raise ConfigError(f"names the validation set {pinned.sets[0]!r}, which cannot be applied here", where=revisions)
    by_name = {wish.name: wish for wish in wishes.joined(found)}
    for name, revision in pinned.revisions.items():
        wish = by_name.get(name, Wish(name, Channel(), where=str(revisions)))
        by_name[name] = Wish(name, wish.channel, wish.classic, revision, wish.where)
    return tuple(by_name.values())


def _renewed(before: Lock | None, found: SnapSet, path: Path, now: datetime, *, dry_run: bool) -> Lock:
    """Say what changes, then write it. The same snaps leave the lock as it is: then nothing is built anew."""
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    lines = difference(before.snaps if before else (), found.pins)
    if before is not None and not lines:
        print(f"{path}: no snap changes", file=sys.stderr)
        return before
    print(f"{path}: {'would change' if dry_run else 'changes'}:", file=sys.stderr)
    for line in lines:
        print(f"  {line}", file=sys.stderr)
    parts = {"snaps": found.pins, "snap_assertions": found.assertions}
    made = (before or Lock(created=now)).model_copy(update=parts)
    if not dry_run:
        made.write(path)
        give_to_caller(path)
    return made


def _show(shown: Lock, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([pin.model_dump(mode="json") for pin in shown.snaps], indent=2))
        return
    for pin in shown.snaps:
        age = ""
        if pin.cohort_created is not None:
            age = f"  cohort made {duration((datetime.now(UTC) - pin.cohort_created).total_seconds())} ago"
        kind = "classic" if pin.classic else pin.type
        print(f"{pin.name:<24} {pin.revision:>7}  {pin.channel:<20} {kind:<8} {pin.base or '-'}{age}")
