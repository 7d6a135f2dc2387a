"""The command line: arguments in, exit status out; the only place that prints an error and exits."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from image_builder.commands import Commands, run_command
from image_builder.errors import PipelineError, SurroundingsError

# command -> (module below image_builder.cli, what --help says). Loaded when asked for: a build that has
# nothing to do should not wait for modules it does not use.
COMMANDS = {
    "build": ("image_builder.cli.build", "Build images: the main job."),
    "plan": ("image_builder.cli.build", "Print the tree of layers: what would be built or reused, and why."),
    "targets": ("image_builder.cli.targets", "List the image targets with what they need and provide."),
    "explain": ("image_builder.cli.explain", "What a layer is made of, and which input of it changed."),
    "diff": (
        "image_builder.cli.diff",
        "Hold two builds against each other: packages, files, and which step brought the change.",
    ),
    "shell": ("image_builder.cli.shell", "Open a shell where a step failed, or after any hook."),
    "boot": ("image_builder.cli.boot", "Boot an image in QEMU, or check that it boots."),
    "store": ("image_builder.cli.store", "List, verify and prune the layer store."),
    "doctor": ("image_builder.cli.doctor", "What this machine lacks to build and boot images, and what mends it."),
    "lock": ("image_builder.cli.lock", "Pin the archive to this instant, for this and later builds."),
    "ci-matrix": ("image_builder.cli.ci_matrix", "The targets as jobs for a CI system, in JSON."),
    "collect": ("image_builder.cli.collect", "Join the builds of several jobs into one."),
    "mirror": ("image_builder.cli.mirror", "Fetch beforehand what the targets need."),
    "clean": ("image_builder.cli.clean", "Remove old builds from the project's folder."),
    "archive": ("image_builder.cli.archive", "Rebuild an archive from source, in stages."),
    "live-build": ("image_builder.cli.live_build", "What auto/config, auto/build and auto/clean call."),
}


@click.group(
    cls=Commands, table=COMMANDS, hidden=("live-build",), context_settings={"help_option_names": ["-h", "--help"]}
)
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
    """Run the command and exit."""
    run_command(
        cli,
        "image-builder",
        stopped="stopped; finished layers are kept, the same command goes on from there",
        failed=_doctor,
    )


def _doctor(error: PipelineError) -> None:
    if error.exit_status == SurroundingsError.exit_status:
        say_what_is_lacking()


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
