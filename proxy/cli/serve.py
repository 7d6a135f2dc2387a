"""`snapshot-proxy serve`: the frozen archive for whoever asks, until it is stopped."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from image_builder.errors import ConfigError
from image_builder.lock import ArchivePin, Lock
from proxy.archive import services as snapshot_services
from proxy.archive import stamp as stamps
from proxy.archive.assemble import assemble
from proxy.archive.freeze import freeze, thaw
from proxy.archive.sources import Source
from proxy.blobs import Blobs
from proxy.cli.options import instant, services_of, shared, sources_of
from proxy.process import Running, start
from proxy.store.upkeep import in_use

PROGRESS_S = 10.0


@click.command()
@instant
@shared
@click.option("--lock", "path", type=click.Path(path_type=Path, dir_okay=False), default="image-builder.lock",
              show_default=True, help="Serve what it pins, if it is there and pins all SOURCEs.")  # fmt: skip
@click.option("--listen", multiple=True, default=["127.0.0.1:8080"], show_default=True, metavar="HOST:PORT",
              help="Where to listen; port 0: any. May be repeated.")  # fmt: skip
@click.option("--offline", is_flag=True, help="Fetch nothing: what is not in the store is refused.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False),
              help="For requests.log, proxy.log and ca.pem. Default: a temporary one, removed at the end.")  # fmt: skip
@click.option("--mitmproxy", "python", type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="PYTHON",
              help="A Python that has mitmproxy. Default: an environment made for it the first time.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Lines of JSON: where it listens; at the end what it did.")
def serve(
    words: tuple[str, ...], architecture: str, keyring: Path, source_packages: bool, store: Path,
    snapshot: str | None, services: tuple[str, ...], allow_expired: bool, path: Path, listen: tuple[str, ...],
    offline: bool, folder: Path | None, python: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Serve the frozen archive: as http_proxy, as https_proxy, and to connections that were redirected here.

    \b
    snapshot-proxy serve debian:trixie
    apt-get -o Acquire::http::Proxy=http://127.0.0.1:8080 update

    Programs that use HTTPS need the CA in ca.pem; it ends with this command. The instant is that of the lock, or
    the one --snapshot names; without both it is now. Ctrl-C and SIGTERM end it, with exit status 0.
    """
    for address in listen:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"{address!r} is no HOST:PORT", where="--listen")
    sources = sources_of(words, architecture, keyring, source_packages)
    cache = store.absolute()
    with in_use(Blobs(cache / "sha256")) as use, tempfile.TemporaryDirectory(prefix="snapshot-proxy-") as temporary:
        pins = _pins(sources, path, snapshot, services, keyring, cache, allow_expired)
        at = {pin.uri: pin.stamp or pin.date for pin in pins}
        configured = services_of(services)
        frozen = assemble(
            pins, sources, keyring=keyring, cache=cache, stamp=stamps.text(max(at.values())),
            services={uri: snapshot_services.bases(uri, when, configured) for uri, when in at.items()},
        )  # fmt: skip
        use.of(frozen)
        place = folder or Path(temporary)
        with start(frozen, cache / "sha256", place, listen=listen, python=python, offline=offline) as running:
            _say(running, as_json)
            with suppress(KeyboardInterrupt):  # Ctrl-C, SIGTERM: so it is meant to end
                while not running.died.wait(PROGRESS_S):
                    if sys.stderr.isatty():
                        print(f"\r{running.counters().text()}", end="", file=sys.stderr, flush=True)
            running.check()
        if as_json:
            print(json.dumps(running.summary()), flush=True)
        else:
            print(f"\rended: {running.counters().text()}", file=sys.stderr)


def _pins(
    sources: list[Source], path: Path, snapshot: str | None, services: tuple[str, ...], keyring: Path, cache: Path,
    allow_expired: bool,
) -> list[ArchivePin]:  # fmt: skip
    """Of the lock where it fits, else resolved now; the indices are in the store then."""
    now = datetime.now(UTC)
    asked = stamps.asked(os.environ, now=now, option=snapshot)
    lock = Lock.read(path)
    wanted = [(s.uri, s.suite, s.components, s.architectures) for s in sources]
    if (
        lock is not None
        and not lock.missing(wanted)
        and (asked is None or (not asked.is_now and lock.covers(asked.at)))
    ):
        print(f"{path}: {lock.age(now)}", file=sys.stderr)
        thaw(lock.archives, sources, keyring=keyring, cache=cache)
        return list(lock.archives)
    print("no lock that fits: resolved now, and not written", file=sys.stderr)
    return freeze(
        sources, keyring=keyring, cache=cache, now=now, allow_expired=allow_expired, stamp=asked,
        services=services_of(services), pins=lock.archives if lock else (),
    )  # fmt: skip


def _say(running: Running, as_json: bool) -> None:
    addresses = [f"http://{f'[{host}]' if ':' in host else host}:{port}" for host, port in running.addresses]
    if as_json:
        print(json.dumps({"addresses": addresses, "ca": str(running.ca), "log": str(running.journal)}), flush=True)
        return
    print(f"serving {running.stamp} at {' '.join(addresses)}; CA {running.ca}; log {running.journal}", flush=True)
