"""The command line of make-hooks.

Parsed by hand: argparse takes longer to import than everything here takes to run.
"""

from __future__ import annotations

import os
import sys

from image_builder.errors import ConfigError, PipelineError
from image_builder.series.compose import compose
from image_builder.series.parse import FORMATS
from image_builder.series.record import TYPE_CHECKING, NamedTuple
from image_builder.series.resolve import compose_list, split_targets, unrun_warnings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HELP = """\
usage: make-hooks [-q] [-d DIR] [--hooks-source DIR] [--format FORMAT] TARGET...

Make the numbered links by which live-build runs the hooks of image targets. Targets are names of
series files (hooks.d/extra/series/NAME, else hooks.d/base/series/NAME), parted by blanks, commas or
semicolons. Hooks in hooks.d/chroot/ come first, in every list. What the named targets provide is
written to explicit_provides in the hooks.d folder.

  -d, --hooks-dir DIR   where the links go (default: hooks, beside the hooks.d folder)
  --hooks-source DIR    the hooks.d folder (default: the one this script is in)
  --format FORMAT       current, or 2019: series files as of 2019-05-21, without comments and provides
  -q, --quiet           print warnings and errors only
  -h, --help            this text

Unlike livecd-rootfs' make-hooks: a script or target that does not exist, a path that leaves hooks.d
and a cycle of depends are errors, all reported at once with series file and line, before anything is
written. Links named NNN-* that point into hooks.d are its own: a second run replaces them and leaves
every other file alone. A run that fails changes nothing; one that was killed is finished by the next.
More than 999 hooks sort right (with longer numbers). -q takes no value.

Exit status: 0 done, 2 wrong usage or series files, 3 the system refused (permission, space).
"""


class Options(NamedTuple):
    """What the command line asks for. source, folder: "" where not said."""

    targets: tuple[str, ...]
    folder: str
    source: str
    format: str
    quiet: bool
    help: bool


def options(arguments: Sequence[str]) -> Options:
    """Read the command line. Raises ConfigError."""
    values = {"--hooks-dir": "", "--hooks-source": "", "--format": "current"}
    short = {"-d": "--hooks-dir", "-q": "--quiet", "-h": "--help"}
    switches: set[str] = set()
    targets: list[str] = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            targets += left
            break
        if not word.startswith("-") or word == "-":
            targets.append(word)
            continue
        if word.startswith("--"):
            name, given, value = word.partition("=")
        else:  # -q, -d DIR, -dDIR, -qd DIR
            name, value = short.get(word[:2], word[:2]), word[2:]
            given = value
            if value and name in ("--quiet", "--help"):
                left.insert(0, f"-{value}")
                given = value = ""
        if name in values:
            if not given and not left:
                raise ConfigError("needs a value", where=name, hint="make-hooks --help")
            values[name] = value if given else left.pop(0)
            if not values[name]:
                raise ConfigError("the value is empty", where=name, hint="make-hooks --help")
        elif name in ("--quiet", "--help") and not given:
            switches.add(name)
        else:
            raise ConfigError("no such option", where=word, hint="make-hooks --help")
    if values["--format"] not in FORMATS:
        raise ConfigError(f"unknown format {values['--format']!r}", where="--format", hint=" or ".join(FORMATS))
    return Options(
        tuple(targets),
        values["--hooks-dir"],
        values["--hooks-source"],
        values["--format"],
        "--quiet" in switches,
        "--help" in switches,
    )


def main(arguments: Sequence[str], hooks_d: str) -> int:
    """Run make-hooks and return its exit status. hooks_d: the folder the script itself is in."""
    try:
        asked = options(arguments)
        if asked.help:
            sys.stdout.write(HELP)
            return 0
        if not asked.targets:
            raise ConfigError("no target named", where="make-hooks", hint="make-hooks --help")
        _end_by_exception()
        source = asked.source or hooks_d
        folder = asked.folder or os.path.join(os.path.dirname(os.path.abspath(source)), "hooks")
        say: Callable[[str], object] = sys.stderr.write
        resolution = compose_list(source, split_targets(asked.targets), format=asked.format)
        for warning in unrun_warnings(resolution.hooks):
            say(f"make-hooks: warning: {warning}\n")
        changes = compose(resolution, source, folder)
        if not asked.quiet:
            say(f"make-hooks: {changes.links} links in {folder} ({changes.written} new, {changes.removed} removed)\n")
    except PipelineError as e:
        sys.stderr.write(f"make-hooks: {e}\n")
        return e.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("make-hooks: interrupted\n")
        return 130
    return 0


def _end_by_exception() -> None:
    """Let SIGTERM end the run by an exception, so that it is undone like any failure."""
    import signal

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
