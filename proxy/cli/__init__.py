"""The command line of the proxy: arguments in, exit status out; the only place that prints an error and exits."""

from __future__ import annotations

import logging
import os
import signal
import sys
from importlib import import_module
from types import FrameType

import click

from image_builder.errors import PipelineError

# command -> (module below proxy.cli, what --help says). Loaded when asked for.
COMMANDS = {
    "serve": ("serve", "Serve the frozen archive."),
    "resolve": ("resolve", "Say which InRelease of each suite was the newest at an instant."),
    "lock": ("lock", "Pin archives to an instant, in a lock file."),
    "record": ("record", "Follow suites over time, for archives without a snapshot service."),
    "mirror": ("mirror", "Fetch beforehand what a build will need."),
    "store": ("store", "Verify, prune and share what was kept."),
}


class Commands(click.Group):
    """Loads a command's module only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"proxy.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
    """Run the command; print what went wrong, with the whole chain of causes; exit."""

    def terminated(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGHUP, terminated)
    try:
        status = cli.main(prog_name="snapshot-proxy", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)  # click gives back what a command ends with by Exit
    except click.ClickException as e:
        e.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        print("stopped; what was kept stays, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except PipelineError as e:
        print(explained(e), file=sys.stderr)
        sys.exit(e.exit_status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def explained(error: BaseException) -> str:
    """An error and the causes below it that say more, one paragraph each."""
    parts = [f"error: {error}"]
    cause = error.__cause__
    while isinstance(cause, PipelineError):
        parts.append(f"because: {cause}")
        cause = cause.__cause__
    return "\n".join(parts)
