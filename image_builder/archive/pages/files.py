"""A folder of pages that is brought up to date: what has changed is written, each file whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from image_builder.errors import ConfigError, PipelineError, SurroundingsError

BOOK = ".pages"  # which pages are ours, and what each was made of; later lines count
_COMING = ".coming"
TOGETHER = 500  # files that are brought to the disk at once


@dataclass(frozen=True, slots=True)
class File:
    """A file to have. stamp: changes when its text would; make: its bytes, asked only then."""

    path: str  # below the folder
    stamp: str
    make: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Written:
    """What was done: numbers of files."""

    written: int
    unchanged: int
    removed: int


def write_files(folder: Path, wanted: Iterable[File], *, anew: bool = False) -> Written:
    """Make the folder hold these files. Those it had of us and are not wanted any more go, others are left alone.

    anew: write all of them. Killed, it goes on where it was. Raises ConfigError for a folder that holds something
    else, PipelineError when somebody else writes there, SurroundingsError when it cannot be written.
    """
    with _held(folder), _as_errors(folder):
        shutil.rmtree(folder / _COMING, ignore_errors=True)  # of one that was killed
        (folder / _COMING).mkdir()
        try:
            return _Writer(folder, anew).write(wanted)
        finally:
            shutil.rmtree(folder / _COMING, ignore_errors=True)


class _Writer:
    def __init__(self, folder: Path, anew: bool) -> None:
        self.folder, self.anew = folder, anew
        self.book = _read(folder / BOOK)
        self.batch: list[tuple[File, str, Path]] = []
        self.made: set[Path] = set()

    def write(self, wanted: Iterable[File]) -> Written:
        seen: dict[str, str] = {}
        written = 0
        for file in wanted:
            stamp = hashlib.sha256(file.stamp.encode("utf-8", "surrogatepass")).hexdigest()[:32]
            seen[file.path] = stamp
            if not self.anew and self.book.get(file.path) == stamp and (self.folder / file.path).is_file():
                continue
            part = self.folder / _COMING / str(len(self.batch))
            part.write_bytes(file.make())
            self.batch.append((file, stamp, part))
            written += 1
            if len(self.batch) == TOGETHER:
                self._settle()
        self._settle()
        gone = sorted(self.book.keys() - seen.keys())
        for path in gone:
            with suppress(FileNotFoundError, NotADirectoryError):
                (self.folder / path).unlink()
        self._tidy(gone)
        if gone or written or self.anew:
            self._replace_book(seen)
        return Written(written, len(seen) - written, len(gone))

    def _settle(self) -> None:
        """Bring a batch to the disk, and only then to its place."""
        if not self.batch:
            return
        # Until they are in place nobody may take the old stamps for those of the new files, nor the other way round.
        self._note((file.path, "-") for file, _, _ in self.batch)
        for _, _, part in self.batch:
            with part.open("rb") as opened:
                os.fsync(opened.fileno())
        for file, _, part in self.batch:
            place = self.folder / file.path
            if place.parent not in self.made:
                place.parent.mkdir(parents=True, exist_ok=True)
                self.made.add(place.parent)
            part.replace(place)
        self._note((file.path, stamp) for file, stamp, _ in self.batch)
        self.batch = []

    def _note(self, lines: Iterable[tuple[str, str]]) -> None:
        with (self.folder / BOOK).open("a", encoding="utf-8") as book:
            book.writelines(f"{stamp} {path}\n" for path, stamp in lines)
            book.flush()
            os.fsync(book.fileno())

    def _replace_book(self, seen: dict[str, str]) -> None:
        part = self.folder / _COMING / "book"
        with part.open("w", encoding="utf-8") as book:
            book.writelines(f"{stamp} {path}\n" for path, stamp in seen.items())
            book.flush()
            os.fsync(book.fileno())
        part.replace(self.folder / BOOK)

    def _tidy(self, gone: list[str]) -> None:
        """Remove folders that became empty."""
        for parent in sorted({one for path in gone for one in Path(path).parents if one.name}, reverse=True):
            place = self.folder / parent
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    with _as_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise PipelineError("somebody else writes pages there", where=folder, hint="wait for it to end") from e
        if not (folder / BOOK).exists() and any(folder.iterdir()):
            raise ConfigError("holds something else than pages", where=folder, hint="name an empty folder or a new one")
        yield
    finally:
        os.close(held)


@contextmanager
def _as_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise SurroundingsError(f"cannot be written: {e.strerror or e}", where=e.filename or folder) from e


def _read(book: Path) -> dict[str, str]:
    """path → stamp. A line that a power failure cut short is left out."""
    try:
        text = book.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        book.touch()
        return {}
    found = {}
    for line in text.splitlines(keepends=True):
        stamp, blank, path = line.partition(" ")
        if blank and line.endswith("\n") and _is_ours(path[:-1]):
            found[path[:-1]] = stamp
    return found


def _is_ours(path: str) -> bool:
    """Whether a line of the book can be one of ours: what it names may be deleted."""
    return all(part not in ("", ".", "..") for part in path.split("/"))
