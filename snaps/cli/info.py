"""`snap-tool info`: what the store knows of a snap, and which revision a channel or a cohort means."""

from __future__ import annotations

import json
from typing import Any

import click

from image_builder.errors import ConfigError
from snaps import channels
from snaps.cli.options import choice_options, store_options
from snaps.store import settings
from snaps.store.answers import Question
from snaps.store.client import StoreClient
from snaps.wishes import is_name


@click.command()
@click.argument("name", metavar="SNAP")
@choice_options
@store_options
@click.option("--json", "as_json", is_flag=True, help="The store's own JSON.")
def info(name: str, channel: str, cohort_key: str, arch: str, series: str, as_json: bool) -> None:
    """Tell what the store knows of SNAP: its publisher, and the revision in every channel.

    With --channel or --cohort-key also the revision a download would get.
    """
    if not is_name(name):
        raise ConfigError(f"{name!r} is no name of a snap", where="info")
    client = StoreClient(settings.from_environment(architecture=arch, series=series))
    value = client.info(name)
    chosen = None
    if channel or cohort_key:
        asked = channels.parse(channel or "stable", where="--channel")
        (chosen,) = client.offers([Question(name, asked, cohort_key or None)])
    if as_json:
        more = {} if chosen is None else {"chosen": {"revision": chosen.revision, "channel": chosen.channel}}
        click.echo(json.dumps({**value, **more}, indent=2))
        return
    for line in _lines(value):
        click.echo(line)
    if chosen is not None:
        of = f"cohort {cohort_key}" if cohort_key else "no cohort"
        click.echo(f"a download gets: {chosen.revision} ({chosen.version}) from {chosen.channel}, {of}")


def _lines(value: dict[str, Any]) -> list[str]:
    snap = value.get("snap") if isinstance(value.get("snap"), dict) else {}
    assert isinstance(snap, dict)
    publisher = snap.get("publisher") if isinstance(snap.get("publisher"), dict) else {}
    assert isinstance(publisher, dict)
    lines = [
        f"name:      {value['name']}",
        f"snap-id:   {value.get('snap-id', '')}",
        f"summary:   {snap.get('summary', '')}",
        f"publisher: {publisher.get('display-name', '')} ({publisher.get('id', '')})",
        f"license:   {snap.get('license', 'unset')}",
        "channels:",
    ]
    for row in value["channel-map"]:
        at = row.get("channel", {}) if isinstance(row, dict) else {}
        name = f"{at.get('track', 'latest')}/{at.get('name', '').removeprefix(str(at.get('track')) + '/')}"
        lines.append(
            f"  {name:<24} {row.get('revision', ''):>7}  {row.get('version', ''):<16} {row.get('base') or 'core'}"
        )
    return lines
