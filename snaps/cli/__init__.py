"""snap-tool's command line: arguments in, exit status out; the only place of this package that prints and exits."""

from __future__ import annotations

import logging
import os
import signal
import sys
from importlib import import_module
from types import FrameType

import click

from image_builder.errors import PipelineError

# command -> (module, what --help says); loaded when asked for
COMMANDS = {
    "cohort-create": ("snaps.cli.cohort_create", "Make cohort keys: one view of the store for many downloads."),
    "info": ("snaps.cli.info", "Tell what the store knows of a snap."),
    "download": ("snaps.cli.download", "Fetch snaps with the assertions that prove them."),
    "lock": ("snaps.cli.lock", "Pin snaps, with all they need, to revisions."),
    "seed": ("snaps.cli.seed", "Write the seed of a lock for snapd's first boot."),
    "verify": ("snaps.cli.verify", "Check a seed down to the root of trust."),
}


class Commands(click.Group):
    """Loads a command's module only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
    """Run the command; print what went wrong; exit."""

    def terminated(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGHUP, terminated)
    try:
        status = cli.main(prog_name="snap-tool", standalone_mode=False)
        if isinstance(status, int):
            sys.exit(status)  # click gives back what a command ends with by Exit
    except click.ClickException as e:
        e.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        print("stopped; what was fetched so far is kept, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except PipelineError as e:
        print(f"error: {e}", file=sys.stderr)
        cause = e.__cause__
        while isinstance(cause, PipelineError):
            print(f"because: {cause}", file=sys.stderr)
            cause = cause.__cause__
        sys.exit(e.exit_status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
