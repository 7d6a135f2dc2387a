"""The command line: arguments in, exit status out; the only place that prints an error and exits."""

from __future__ import annotations

import logging
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from types import FrameType

import click

from image_builder.errors import PipelineError, SurroundingsError

# command -> (module below image_builder.cli, what --help says). Loaded when asked for: a build that has
# nothing to do should not wait for modules it does not use.
COMMANDS = {
    "build": ("build", "Build images: the main job."),
    "plan": ("build", "Print the tree of layers: what would be built or reused, and why."),
    "targets": ("targets", "List the image targets with what they need and provide."),
    "explain": ("explain", "What a layer is made of, and which input of it changed."),
    "diff": ("diff", "Hold two builds against each other: packages, files, and which step brought the change."),
    "shell": ("shell", "Open a shell where a step failed, or after any hook."),
    "boot": ("boot", "Boot an image in QEMU, or check that it boots."),
    "store": ("store", "List, verify and prune the layer store."),
    "doctor": ("doctor", "What this machine lacks to build and boot images, and what mends it."),
    "lock": ("lock", "Pin the archive to this instant, for this and later builds."),
    "ci-matrix": ("ci_matrix", "The targets as jobs for a CI system, in JSON."),
    "collect": ("collect", "Join the builds of several jobs into one."),
    "mirror": ("mirror", "Fetch beforehand what the targets need."),
    "clean": ("clean", "Remove old builds from the project's folder."),
    "live-build": ("live_build", "What auto/config, auto/build and auto/clean call."),
}


class Commands(click.Group):
    """Loads a command's module only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [name for name in COMMANDS if name != "live-build"]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"image_builder.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items() if name != "live-build"])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as e:
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if not near:
                raise
            raise click.UsageError(f"{e.message} Did you mean {near[0]!r}?", ctx) from e


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="live-image-builder", prog_name="image-builder")
@click.option("--debug", is_flag=True, help="Log every program that is started.")
def cli(debug: bool) -> None:
    """Build Debian images from series files of hooks: one build, every format, no step done twice.

    \b
    image-builder targets                      what can be built
    image-builder build squashfs qcow2         build two of them
    image-builder boot qcow2                   boot the result in QEMU

    Exit status: 0 done; 1 a build or check failed; 2 bad usage or configuration;
    3 the surroundings failed (network, disk, missing tool) and a retry may help.
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
        status = cli.main(prog_name="image-builder", standalone_mode=False)
        if isinstance(status, int):
            sys.exit(status)  # click gives back what a command ends with by Exit
    except click.ClickException as e:
        e.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):  # click has ended the line of the ^C
        print("stopped; finished layers are kept, the same command goes on from there", file=sys.stderr)
        sys.exit(130)
    except PipelineError as e:
        print(explained(e), file=sys.stderr)
        if e.exit_status == SurroundingsError.exit_status:
            say_what_is_lacking()
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


def say_what_is_lacking() -> None:
    """After a failure of the surroundings: what doctor sees at once, in one line."""
    from image_builder.config import load
    from image_builder.doctor import at_once

    try:
        config = load(Path(), options={})
        found = at_once(config, config.output)
    except (PipelineError, OSError):
        return  # the error that was printed is the one to look at
    if found:
        print("this machine: " + "; ".join(finding.line() for finding in found), file=sys.stderr)
    else:
        print("image-builder doctor looks at this machine and its way to the archive", file=sys.stderr)
