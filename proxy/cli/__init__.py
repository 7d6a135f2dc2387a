"""The command line of the proxy: arguments in, exit status out; the only place that prints an error and exits."""

from __future__ import annotations

import logging
import sys

import click

from image_builder.commands import Commands, run_command

# command -> (module below proxy.cli, what --help says). Loaded when asked for.
COMMANDS = {
    "serve": ("proxy.cli.serve", "Serve the frozen archive."),
    "resolve": ("proxy.cli.resolve", "Say which InRelease of each suite was the newest at an instant."),
    "lock": ("proxy.cli.lock", "Pin archives to an instant, in a lock file."),
    "record": ("proxy.cli.record", "Follow suites over time, for archives without a snapshot service."),
    "mirror": ("proxy.cli.mirror", "Fetch beforehand what a build will need."),
    "store": ("proxy.cli.store", "Verify, prune and share what was kept."),
}


@click.group(cls=Commands, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="live-image-builder", prog_name="snapshot-proxy")
@click.option("--debug", is_flag=True, help="Log what is asked and what is started.")
def cli(debug: bool) -> None:
    """The package archive as it was at one instant, verified, and served so that nothing else can be reached.

    \b
    snapshot-proxy lock debian:trixie                     pin the archive as it is now
    snapshot-proxy lock debian:trixie --snapshot 20260301T120000Z
    snapshot-proxy mirror apt curl                        fetch what is pinned, beforehand
    snapshot-proxy serve                                  serve it

    Companies' proxies are taken from http_proxy, https_proxy and no_proxy; logins of private archives from apt's
    auth.conf, or from lines of that kind in SNAPSHOT_PROXY_AUTH.

    Exit status: 0 done; 1 a check failed; 2 bad usage; 3 the surroundings failed (network, disk, missing tool) and
    a retry may help.
    """
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr
    )


def main() -> None:
    """Run the command and exit."""
    run_command(cli, "snapshot-proxy", stopped="stopped; what was kept stays, the same command goes on from there")
