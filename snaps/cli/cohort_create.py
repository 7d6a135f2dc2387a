"""`snap-tool cohort-create`: keys that fix what a channel means, for 90 days."""

from __future__ import annotations

import json

import click

from image_builder.errors import ConfigError
from snaps.cli.options import store_options
from snaps.store import settings
from snaps.store.client import StoreClient
from snaps.wishes import is_name


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="SNAP...")
@store_options
@click.option("--json", "as_json", is_flag=True, help="A JSON mapping of names to keys.")
def cohort_create(names: tuple[str, ...], arch: str, series: str, as_json: bool) -> None:
    """Make a cohort key for each SNAP. One snap: the key alone; several: lines "SNAP KEY".

    Everybody who asks with the same key gets the same revisions, for up to 90 days. A lock pins for good.
    """
    if bad := [name for name in names if not is_name(name)]:
        raise ConfigError(f"{bad[0]!r} is no name of a snap", where="cohort-create")
    client = StoreClient(settings.from_environment(architecture=arch, series=series))
    keys = client.cohorts(list(dict.fromkeys(names)))
    if as_json:
        click.echo(json.dumps(keys, indent=2))
    elif len(keys) == 1:
        click.echo(keys[names[0]])
    else:
        for name, key in keys.items():
            click.echo(f"{name} {key}")
