"""The numbered links live-build runs hooks by, replaced as a whole.

Everything new is complete under temporary names before the first old link is touched; what fails on the
way is undone, and what a kill leaves half done the next run finishes.
"""

from __future__ import annotations

import fcntl
import os

from image_builder.errors import ConfigError, SurroundingsError
from image_builder.series.record import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from image_builder.series.resolve import Resolution

PROVIDES = "explicit_provides"
TEMPORARY = ".make-hooks."  # no suffix a hook has, so live-build passes over what a kill left
NAME_BYTES = 255  # what Linux file systems allow


class Changes(NamedTuple):
    """links: how many there are now; written: how many of them are new or changed; removed: old ones gone."""

    links: int
    written: int
    removed: int


def link_names(paths: Sequence[str]) -> list[str]:
    """The names of the links to hooks, which sort as the hooks are listed: "001-base.chroot".

    A number the script's own name begins with ("031-", "031-0-") is dropped, as livecd-rootfs does. Up to 999
    hooks have three digits; more have one digit more than they need, so that all begin with 0 and none comes
    to stand among the 1000-… to 9020-… hooks of live-build itself. Raises ConfigError for a name too long.
    """
    width = 3 if len(paths) <= 999 else len(str(len(paths))) + 1
    names = [f"{number:0{width}}-{_unnumbered(os.path.basename(path))}" for number, path in enumerate(paths, 1)]
    for name, path in zip(names, paths, strict=True):
        if len(name) * 4 > NAME_BYTES and len(os.fsencode(name)) > NAME_BYTES:
            raise ConfigError("the name of its link is longer than 255 bytes", where=path, hint="shorten the name")
    return names


def compose(resolution: Resolution, hooks_d: str | os.PathLike[str], hooks_dir: str | os.PathLike[str]) -> Changes:
    """Make the links of a resolution in hooks_dir, and explicit_provides in hooks_d.

    Links named NNN-* that point into hooks_d are make-hooks' own: those no longer wanted go, every other file
    stays. What is right already is not written again. Raises ConfigError where something else has a link's name,
    SurroundingsError where the system refuses; then nothing has changed.
    """
    source, folder = os.fspath(hooks_d), os.fspath(hooks_dir)
    made: list[str] = []
    opened: list[int] = []
    try:
        _make_folders(folder, made)
        real = os.path.realpath(folder)
        if real in {os.path.realpath(f"{source}/{part}") for part in ("chroot", "extra/series", "base/series")}:
            raise ConfigError("links made here would be taken for hooks themselves", where=folder)
        # One order for all, source first; the same folder twice would wait for itself.
        for path in dict.fromkeys((os.path.realpath(source), real)):
            opened.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            _lock(opened[-1])
        return _replace(resolution, source, folder)
    except OSError as e:
        _remove_folders(made)
        raise SurroundingsError(f"{e.strerror}: {e.filename2 or e.filename}", where=folder) from e
    except BaseException:
        _remove_folders(made)
        raise
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _replace(resolution: Resolution, source: str, folder: str) -> Changes:
    paths = [hook.path for hook in resolution.hooks]
    to_source = _relative(source, folder)
    wanted = {name: f"{to_source}/{path}" for name, path in zip(link_names(paths), paths, strict=True)}
    own, others, left = _present(folder, source)
    taken = sorted(others.intersection(wanted))
    if taken:
        raise ConfigError(
            f"{', '.join(taken)} is there and not made from {source}",
            where=folder,
            hint="links must have these names: move the file away, or rename it",
        )
    for name in left:
        os.unlink(f"{folder}/{name}")
    changed = [name for name, target in wanted.items() if own.get(name) != target]
    stale = [name for name in own if name not in wanted]
    text = os.fsencode("".join(f"{line}\n" for line in resolution.provides))
    provides, provides_new = f"{source}/{PROVIDES}", f"{source}/.{PROVIDES}.new"
    provides_same = _read(provides) == text

    begun: list[str] = []
    temporary = [f"{folder}/{TEMPORARY}{number}" for number in range(len(changed))]
    try:
        for new, name in zip(temporary, changed, strict=True):
            os.symlink(wanted[name], new)
        if not provides_same:
            _write(provides_new, text)
            if os.path.isdir(provides) and not os.path.islink(provides):
                raise ConfigError(
                    "is a folder", where=provides, hint=f"the list of what is provided goes to {PROVIDES}"
                )
        for new, name in zip(temporary, changed, strict=True):
            begun.append(name)
            os.rename(new, f"{folder}/{name}")
        for name in stale:
            begun.append(name)
            os.unlink(f"{folder}/{name}")
        if not provides_same:
            os.rename(provides_new, provides)
    except BaseException:
        # explicit_provides is the last step: is it in place, then all is done, whatever interrupted here.
        if provides_same or os.path.lexists(provides_new) or len(begun) < len(changed) + len(stale):
            _undo(folder, own, begun)
        for path in (*temporary, provides_new):
            _unlink(path)
        raise
    return Changes(len(wanted), len(changed), len(stale))


def _undo(folder: str, own: dict[str, str], begun: Iterable[str]) -> None:
    """Put back the links that were there; what cannot be put back the next run finishes."""
    new = f"{folder}/{TEMPORARY}undo"
    for name in begun:
        try:
            if name in own:
                os.symlink(own[name], new)
                os.rename(new, f"{folder}/{name}")
            else:
                _unlink(f"{folder}/{name}")
        except OSError:
            _unlink(new)


def _present(folder: str, source: str) -> tuple[dict[str, str], set[str], list[str]]:
    """What is in the folder: own links with where they point, other names, what a killed run left."""
    real_source = os.path.realpath(source)
    inside: dict[str, bool] = {}  # a folder links point into, as written -> is it in hooks.d?
    own: dict[str, str] = {}
    others: set[str] = set()
    left: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if entry.is_symlink():
                if name.startswith(TEMPORARY):
                    left.append(name)
                    continue
                digits, dash, _ = name.partition("-")
                if dash and len(digits) >= 3 and digits.isdecimal():
                    target = os.readlink(entry.path)
                    parent = os.path.dirname(os.path.join(folder, target))
                    if parent not in inside:
                        inside[parent] = f"{os.path.realpath(parent)}/".startswith(f"{real_source}/")
                    if inside[parent]:
                        own[name] = target
                        continue
            others.add(name)
    return own, others, left


def _relative(source: str, folder: str) -> str:
    """From the links' folder to hooks.d, by the names the user gave where that leads there, else by the real ones."""
    named = os.path.relpath(source, folder)
    if os.path.realpath(f"{folder}/{named}") == os.path.realpath(source):
        return named
    return os.path.relpath(os.path.realpath(source), os.path.realpath(folder))


def _unnumbered(name: str) -> str:
    for _ in range(2):
        digits, dash, rest = name.partition("-")
        if not (dash and digits.isdecimal()):
            break
        name = rest
    return name


def _make_folders(folder: str, made: list[str]) -> None:
    """Make the folder and those above it that are missing; append what was made, highest first."""
    missing = []
    path = os.path.abspath(folder)
    while not os.path.isdir(path):
        if os.path.lexists(path):
            raise ConfigError("is there and is no folder", where=path, hint="name another with --hooks-dir")
        missing.append(path)
        path = os.path.dirname(path)
    for path in reversed(missing):
        try:
            os.mkdir(path)
        except FileExistsError:  # somebody else was quicker
            continue
        made.append(path)


def _remove_folders(made: Sequence[str]) -> None:
    for path in reversed(made):
        try:
            os.rmdir(path)
        except OSError:
            return


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        pass  # a file system without locks: two runs at once in one folder are then the user's care


def _read(path: str) -> bytes | None:
    """A plain file's bytes; None for what is not there or would have to be replaced anyway."""
    if os.path.islink(path) or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        return file.read()


def _write(path: str, data: bytes) -> None:
    # Through a new file: a link somebody put there is not followed.
    _unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
