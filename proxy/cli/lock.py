"""`snapshot-proxy lock`: pin archives to one instant, without a build."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from image_builder.files import give_to_caller
from image_builder.lock import Lock, instant_text
from proxy.archive import stamp as stamps
from proxy.archive.freeze import freeze
from proxy.cli.options import instant, services_of, shared, sources_of


@click.command()
@instant
@shared
@click.option("--lock", "path", type=click.Path(path_type=Path, dir_okay=False), default="image-builder.lock",
              show_default=True, help="The file.")  # fmt: skip
@click.option("--update", is_flag=True, help="Make a new one even if there is one that will do.")
@click.option("--json", "as_json", is_flag=True, help="The lock as JSON on stdout.")
def lock(
    words: tuple[str, ...], architecture: str, keyring: Path, source_packages: bool, store: Path,
    snapshot: str | None, services: tuple[str, ...], allow_expired: bool, path: Path, update: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write a lock: for each suite its InRelease at one instant, verified, and its indices into the store.

    A lock that is there and pins all SOURCEs at the instant asked for is only shown; what else it has, snaps and
    tools, stays in a new one. Suites it has at that instant are taken from it.
    """
    now = datetime.now(UTC)
    asked = stamps.asked(os.environ, now=now, option=snapshot)
    sources = sources_of(words, architecture, keyring, source_packages)
    old = Lock.read(path)
    good = old is not None and not old.missing([(s.uri, s.suite, s.components, s.architectures) for s in sources])
    made = old
    if old is None or update or not good or (asked and (asked.is_now or not old.covers(asked.at))):
        pins = freeze(
            sources, keyring=keyring, cache=store.absolute(), now=now, allow_expired=allow_expired, stamp=asked,
            services=services_of(services), pins=old.archives if old and not update else (),
        )  # fmt: skip
        made = Lock(created=now, archives=tuple(pins))
        if old is not None:
            made = old.model_copy(update={"created": made.created, "archives": made.archives})
        made.write(path)
        give_to_caller(path)
    assert made is not None
    if as_json:
        print(made.text(), end="")
        return
    print(f"{path}: {'as it was' if made is old else 'made now'}, {made.age(now)}")
    for pin in made.archives:
        print(f"  {pin.uri} {pin.suite}  {instant_text(pin.date)}  {pin.inrelease_sha256[:16]}  by {pin.signer}")
