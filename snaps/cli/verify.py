"""`snap-tool verify`: a seed, ours or another's, checked down to the root of trust."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from image_builder.errors import ConfigError
from snaps import model as models
from snaps import proofs, seed_check
from snaps.cli.seed import described


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--trust", "trust_file", type=click.Path(path_type=Path),
              help="Account and account-key of a private store's root, in place of Canonical's.")  # fmt: skip
@click.option("--model", "model_file", type=click.Path(path_type=Path),
              help="Vouch for this model's file: the seed has to have this very model.")  # fmt: skip
@click.option("--at", "at", metavar="TIME", help="When the keys must hold (2026-03-01T12:00:00Z; default: now).")
@click.option("--json", "as_json", is_flag=True, help="What was found, as JSON.")
def verify(directory: Path, trust_file: Path | None, model_file: Path | None, at: str | None, as_json: bool) -> None:
    """Check the seed in DIR, or in the root DIR: every signature, every snap's hash, name and revision, the whole set.

    Takes seeds with a seed.yaml, and systems of Ubuntu Core 20 and later. Prints NAME REVISION, one line per snap.
    """
    now = _instant(at)
    trust = proofs.trusted(trust_file, now)
    given = models.choose(model_file, trust) if model_file is not None else None
    seeds = seed_check.check(seed_check.locate(directory), trust=given.trust if given else trust, now=now)
    if given is not None:
        for seed in seeds:
            if seed.model != given.assertion.where:
                raise ConfigError(f"has the model {seed.model}, not {given.assertion.where}", where=seed.folder)
    if as_json:
        click.echo(json.dumps([described(seed) for seed in seeds], indent=2))
    for seed in seeds:
        for note in seed.notes:
            print(f"note: {note}", file=sys.stderr)
        label = f" system {seed.label}" if seed.label else ""
        print(f"{seed.folder}{label}: sound; {seed.model}, {seed.assertions} assertions", file=sys.stderr)
        for snap in seed.snaps if not as_json else ():
            click.echo(f"{snap.name} {snap.revision}")


def _instant(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time", param_hint="--at") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
