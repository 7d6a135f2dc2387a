"""`snapshot-proxy resolve`: which InRelease was the newest at an instant, and who says so."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from image_builder.lock import instant_text
from proxy.archive import stamp as stamps
from proxy.archive.resolve import Resolved
from proxy.archive.resolve import resolve as ask
from proxy.archive.stamp import Stamp
from proxy.cli.options import instant, services_of, shared, sources_of


@click.command()
@instant
@shared
@click.option("--json", "as_json", is_flag=True, help="The answers as JSON on stdout.")
def resolve(
    words: tuple[str, ...], architecture: str, keyring: Path, source_packages: bool, store: Path,
    snapshot: str | None, services: tuple[str, ...], allow_expired: bool, as_json: bool,
) -> None:  # fmt: skip
    """Say for each suite which InRelease was the newest at an instant, and who was asked.

    SOURCE is debian:SUITE, a file in one of apt's two formats, or a line "deb ADDRESS SUITE COMPONENT...". Nothing
    is written but what was found, into the store. Exit status 1 or 3 when a suite has no answer.
    """
    now = datetime.now(UTC)
    at = stamps.asked(os.environ, now=now, option=snapshot) or Stamp(now.replace(microsecond=0), is_now=True)
    found = ask(
        sources_of(words, architecture, keyring, source_packages), at, keyring=keyring, cache=store.absolute(),
        now=now, configured=services_of(services), allow_expired=allow_expired,
    )  # fmt: skip
    if as_json:
        print(json.dumps({"stamp": instant_text(at.at), "suites": [_plain(one) for one in found]}, indent=2))
    else:
        for one in found:
            _show(one)
    refused = [one.refusal() for one in found if one.pin is None]
    for error in refused:
        print(f"error: {error}", file=sys.stderr)
    if refused:
        raise click.exceptions.Exit(max(error.exit_status for error in refused))


def _show(one: Resolved) -> None:
    if one.pin is None:
        return
    pin, signer = one.pin, one.pin.signer or "nobody: trusted=yes"
    print(f"{pin.uri} {pin.suite}  {instant_text(pin.date)}  {pin.inrelease_sha256}  by {signer}")
    for step in one.steps:
        print(f"  {step.provider}: {'has it' if step.ok else step.said}")


def _plain(one: Resolved) -> dict[str, Any]:
    return {
        "uri": one.source.uri,
        "suite": one.source.suite,
        "pin": None if one.pin is None else one.pin.model_dump(mode="json", by_alias=True),
        "provider": one.provider or None,
        "asked": [{"provider": s.provider, "has_it": s.ok, "said": "" if s.ok else s.said} for s in one.steps],
        "warnings": list(one.warnings),
    }
