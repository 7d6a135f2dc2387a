"""snap-tool's command line: arguments in, exit status out; the only place of this package that prints and exits."""

from __future__ import annotations

import logging
import sys

import click

from image_builder.commands import Commands, run_command

# command -> (module, what --help says); loaded when asked for
COMMANDS = {
    "cohort-create": ("snaps.cli.cohort_create", "Make cohort keys: one view of the store for many downloads."),
    "info": ("snaps.cli.info", "Tell what the store knows of a snap."),
    "download": ("snaps.cli.download", "Fetch snaps with the assertions that prove them."),
    "lock": ("snaps.cli.lock", "Pin snaps, with all they need, to revisions."),
    "seed": ("snaps.cli.seed", "Write the seed of a lock for snapd's first boot."),
    "verify": ("snaps.cli.verify", "Check a seed down to the root of trust."),
}


@click.group(cls=Commands, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="live-image-builder", prog_name="snap-tool")
@click.option("--debug", is_flag=True, help="Log every program that is started.")
def cli(debug: bool) -> None:
    """Choose snaps once, fetch them, prove them, and seed them into images.

    \b
    snap-tool lock hello=stable go/classic=1.22   pin them, with their bases and snapd
    snap-tool download --lock image-builder.lock  fetch what is pinned
    snap-tool seed DIR                            write what snapd installs at the first boot

    Environment: UBUNTU_STORE_AUTH or UBUNTU_STORE_AUTH_DATA_FILENAME (credentials), UBUNTU_STORE_ID (brand store),
    UBUNTU_STORE_URL, UBUNTU_STORE_ARCH, SNAPPY_STORE_NO_CDN, COHORT_KEY. Options win over it.

    Exit status: 0 done; 1 refused; 2 bad usage or configuration; 3 the surroundings failed (network, disk, missing
    tool) and a retry may help.
    """
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr
    )


def main() -> None:
    """Run the command and exit."""
    run_command(
        cli, "snap-tool", stopped="stopped; what was fetched so far is kept, the same command goes on from there"
    )
