"""A hook as a step's input: its bytes, what its header declares, and the environment it sees."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from image_builder.errors import ConfigError
from image_builder.live_build import staging
from image_builder.live_build.headers import Header, parse
from image_builder.series.resolve import Entry

# Written by auto/config, for plain live-build: the first because it runs no hook of hooks/normal/ unless there is one
# in hooks/live/, the second to leave a root as clean as a build's own last step in the root does.
EMPTY_HOOK = "config/hooks/live/000-none.chroot"
CLEAN_HOOK = "config/hooks/normal/000-clean-root.binary"
# live-build passes config/environment.chroot word by word through a shell: only such values survive.
PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")


@dataclass(frozen=True)
class Hook:
    """One hook of a series. files: what it may see below hooks.d, itself included."""

    entry: Entry
    header: Header
    files: staging.Stage

    @property
    def name(self) -> str:
        return f"001-{Path(self.entry.path).name}"

    @property
    def digest(self) -> str:
        return staging.digest(self.files)

    def reads(self, variable: str) -> bool:
        """Does the hook, or a file it may see, name this variable?"""
        pattern = re.compile(rb"\b" + variable.encode() + rb"\b")
        return any(pattern.search(item.content()) for item in self.files.values())


def read(hooks_d: Path, entry: Entry, *, whole_tree: bool) -> Hook:
    """Read a hook and collect its inputs. whole_tree: it may see all of hooks.d, as in a foreign tree.

    Raises ConfigError for a declared input that is not there or leaves hooks.d.
    """
    path = hooks_d / entry.path
    try:
        header = parse(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as e:
        raise ConfigError(f"cannot be read: {e}", where=path) from e
    if whole_tree or (header.inputs is not None and "all" in header.inputs):
        files = staging.folder(hooks_d, "hooks.d")
    else:
        files = staging.folder(hooks_d / "lib", "hooks.d/lib")
        for pattern in header.inputs or ():
            files |= _matching(hooks_d, pattern, path)
    return Hook(entry, header, {**files, f"hooks.d/{entry.path}": staging.file(path, executable=True)})


def _matching(hooks_d: Path, pattern: str, hook: Path) -> dict[str, staging.Item]:
    if pattern.startswith("/") or ".." in Path(pattern).parts:
        raise ConfigError(f"declares the input {pattern!r}, which leaves hooks.d", where=hook)
    found: dict[str, staging.Item] = {}
    try:
        matches = [match for match in sorted(hooks_d.glob(pattern)) if match.exists()]
    except ValueError as e:
        raise ConfigError(f"declares the input {pattern!r}, which is no pattern: {e}", where=hook) from e
    for match in matches:
        below = f"hooks.d/{match.relative_to(hooks_d)}"
        if not match.resolve().is_relative_to(hooks_d.resolve()):
            raise ConfigError(f"declares the input {pattern!r}: {below} leads out of hooks.d", where=hook)
        found |= staging.folder(match, below) if match.is_dir() else {below: staging.file(match)}
    if not found:
        raise ConfigError(f"declares the input {pattern!r}, which matches no file", where=hook)
    return found


def environment_file(environment: Mapping[str, str]) -> str:
    """The lines of config/environment.chroot for those values that live-build can pass on."""
    return "".join(f"{n}={v}\n" for n, v in environment.items() if PLAIN.fullmatch(v))


def wrapper(environment: Mapping[str, str], script: str) -> str | None:
    """A script that sets the values live-build cannot pass on (with blanks), then becomes the hook.

    script: the hook's path as the wrapper sees it. None when there is nothing to set.
    """
    unsafe = {n: v for n, v in environment.items() if not PLAIN.fullmatch(v)}
    if not unsafe:
        return None
    lines = [f"export {n}={shlex.quote(v)}" for n, v in unsafe.items()]
    return "\n".join(["#!/bin/sh", *lines, f'exec {shlex.quote(script)} "$@"', ""])
