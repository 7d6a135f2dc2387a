"""What builds delivered, as it came: one folder for each package's newest accepted result, older ones as history."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from image_builder.archive.delivery import RefusedError, check_binaries, check_source, listed
from image_builder.archive.model import FileEntry, Outcome
from image_builder.archive.repository.names import IMPORT, SUFFIXES
from image_builder.errors import PipelineError, SurroundingsError

RECORD, STANZAS = "result.json", "stanzas"
SOURCE = "source"  # in the place of an architecture: the .dsc and what it names
_COMING, _GOING, _LOCK = ".coming", ".going", ".lock"


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt ended and what it delivered: result.json."""

    suite: str
    source: str
    version: str  # of the source
    binary_version: str  # with a binNMU's "+bN"
    architecture: str  # a real one, "all", or "source"
    run: str = ""
    stage: int = 0
    attempt: int = 0
    token: str = ""
    outcome: Outcome = Outcome.SUCCEEDED
    started: float = 0.0  # POSIX seconds
    finished: float = 0.0
    seconds: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    toolchain: str = ""  # SHA-256 of what made it
    component: str = "main"
    files: tuple[FileEntry, ...] = ()

    def text(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def parse(cls, text: str, *, where: Path) -> Result:
        """Raises PipelineError for what text() does not write."""
        try:
            value: dict[str, Any] = json.loads(text)
            files = tuple(FileEntry(**one) for one in value.pop("files"))
            return cls(**value | {"files": files, "outcome": Outcome(value["outcome"])})
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            raise PipelineError(f"no record of a result: {e}", where=where, hint="remove its folder, build anew") from e


class Results:
    """FOLDER/SUITE/ARCHITECTURE/SOURCE/, and FOLDER/history/ATTEMPT/ for what is no longer the newest. Of one stage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, suite: str, architecture: str, source: str) -> Path:
        """Where the newest result of a package is. Raises RefusedError for words that would lead elsewhere."""
        for word in (suite, architecture, source):
            if not word or word[0] == "." or "/" in word or word.startswith(IMPORT):
                raise RefusedError(f"{word!r} cannot be the name of a folder of results", where=self.folder)
        return self.folder / suite / architecture / source

    def accept(self, result: Result, delivered: Path, *, keyring: Path | None = None) -> Result:
        """Make a successful build's files the newest result; the one before becomes history.

        delivered: a folder with the files as they came; it stays. keyring: whose keys must have signed .changes; None:
        a builder of ours. Whether the attempt's token lives is the database's to say, before. The same attempt a
        second time changes nothing. Raises RefusedError for what is not as asked for, SurroundingsError.
        """
        there = self.read(result.suite, result.architecture, result.source)
        if there is not None and (there.attempt, there.token) == (result.attempt, result.token) and result.token:
            return there
        checked = check_binaries(
            delivered, source=result.source, version=result.version, binary_version=result.binary_version,
            architecture=result.architecture, keyring=keyring,
        )  # fmt: skip
        result = replace(result, outcome=Outcome.SUCCEEDED, files=checked.files)
        self.put(result, delivered, checked.stanzas)
        return result

    def accept_source(self, suite: str, component: str, dsc: Path, *, keyring: Path | None = None) -> Result:
        """Take a source package in, to be published beside what was built from it. Raises like accept()."""
        source, version, paths = check_source(dsc, keyring=keyring)
        with self._coming(suite) as folder:
            for path in paths:
                _bring(path, folder / path.name)
            result = Result(suite, source, version, version, SOURCE, component=component, files=listed(folder))
        if self.read(suite, SOURCE, source) != result:
            self.put(result, dsc.parent, "")
        return result

    def put(self, result: Result, delivered: Path, stanzas: str) -> None:
        """Make this the newest result without a look into it. result.files: which of delivered's files it has."""
        place = self.place(result.suite, result.architecture, result.source)
        with self._coming(result.suite) as coming:
            for entry in result.files:
                _bring(delivered / entry.name, coming / entry.name)
            _write(coming / STANZAS, stanzas)
            _write(coming / RECORD, result.text())
            _sync(coming)
            with self.locked(result.suite):
                # What other architectures delivered outlives a native build.
                for name in _names(place):
                    if name.startswith(IMPORT):
                        (coming / name).hardlink_to(place / name)
                self._swap(place, coming)

    def remove(self, suite: str, architecture: str, source: str) -> None:
        """Take a native result away; what other architectures delivered stays. Nothing to do if there is none."""
        place = self.place(suite, architecture, source)
        with self._coming(suite) as coming, self.locked(suite):
            if not (place / RECORD).exists():
                return
            for name in _names(place):
                if name.startswith(IMPORT):
                    (coming / name).hardlink_to(place / name)
            self._swap(place, coming if any(coming.iterdir()) else None)

    def keep(self, result: Result, delivered: Path) -> Path:
        """Keep what an attempt that did not succeed left: log, .buildinfo, record, no packages."""
        result = replace(result, files=tuple(f for f in listed(delivered) if not f.name.endswith(SUFFIXES)))
        with self._coming(result.suite) as coming:
            for entry in result.files:
                _bring(delivered / entry.name, coming / entry.name)
            _write(coming / RECORD, result.text())
            _sync(coming)
            with self.locked(result.suite):
                return self._into_history(coming, result)

    def read(self, suite: str, architecture: str, source: str) -> Result | None:
        """The newest accepted result; None without one."""
        path = self.place(suite, architecture, source) / RECORD
        with suppress(FileNotFoundError, NotADirectoryError):
            return Result.parse(path.read_text(), where=path)
        if (self.folder / suite / _LOCK).exists():
            with (
                self.locked(suite),
                suppress(FileNotFoundError, NotADirectoryError),
            ):  # a swap of folders is two renames
                return Result.parse(path.read_text(), where=path)
        return None

    def has(self, suite: str, architecture: str, source: str) -> bool:
        """Whether there is a native result, and not only what others delivered."""
        return (self.place(suite, architecture, source) / RECORD).exists()

    def history(self, attempt: int) -> Path | None:
        """Where log and record of an attempt are that is not, or no longer, the newest result."""
        place = self.folder / "history" / str(attempt)
        return place if place.is_dir() else None

    def architectures(self, suite: str) -> list[str]:
        """Those with a folder, "all" and "source" too."""
        return [name for name in _names(self.folder / suite) if name[0] != "."]

    def sources(self, suite: str, architecture: str) -> list[str]:
        """Sources with a result of this architecture, or of others for it."""
        return _names(self.folder / suite / architecture)

    @contextmanager
    def locked(self, suite: str) -> Iterator[None]:
        """Nothing of a suite changes for the length of the block but by who holds it; what a kill left is mended."""
        path = self.folder / suite / _LOCK
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.open("a")
        except OSError as e:
            raise SurroundingsError(f"cannot be locked: {e.strerror or e}", where=path) from e
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._mend(suite)
            yield

    def _swap(self, place: Path, new: Path | None) -> None:
        """Put a whole folder in the place of another. Call it with the lock held."""
        going = self.folder / place.parent.parent.name / _GOING / f"{place.parent.name}:{place.name}"
        _guarded(place.parent.mkdir, parents=True, exist_ok=True)
        _guarded(going.parent.mkdir, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            _guarded(place.rename, going)
        if new is not None:
            _guarded(new.rename, place)
            _sync(place.parent)
        self._gone(going, place)

    def _mend(self, suite: str) -> None:
        """Finish, or take back, what was killed between two renames: the new folder is in place, or the old one is."""
        top = self.folder / suite / _GOING
        for name in _names(top):
            architecture, _, source = name.partition(":")
            place = self.folder / suite / architecture / source
            if not place.exists() and not (top / name / ".leaving").exists():
                (top / name).rename(place)
            else:
                self._gone(top / name, place)
        top = self.folder / suite / _COMING
        for name in _names(top):
            with _alone(top / name) as dead:
                if dead:
                    shutil.rmtree(top / name, ignore_errors=True)

    def _gone(self, going: Path, place: Path) -> None:
        """Keep of a replaced folder what history wants, drop the rest."""
        if not going.exists():
            return
        (going / ".leaving").touch()  # from here on it is not put back
        record = going / RECORD
        if record.exists():
            old = Result.parse(record.read_text(), where=record)
            now = Result.parse((place / RECORD).read_text(), where=place) if (place / RECORD).exists() else None
            if old.architecture != SOURCE and (now is None or now.attempt != old.attempt):
                self._into_history(going, old)
        shutil.rmtree(going)

    def _into_history(self, folder: Path, result: Result) -> Path:
        place = self.folder / "history" / str(result.attempt)
        if place.exists():  # the same attempt, put there before a kill
            return place
        _guarded(place.parent.mkdir, parents=True, exist_ok=True)
        with self._coming(result.suite) as coming:
            for name in _names(folder):
                if not name.endswith(SUFFIXES) and name[0] not in ".:" and name != STANZAS:
                    (coming / name).hardlink_to(folder / name)
            _guarded(coming.rename, place)
        return place

    @contextmanager
    def _coming(self, suite: str) -> Iterator[Path]:
        """A new folder on the same file system, held by this process; cleared if it does not become a result."""
        top = self.folder / suite / _COMING
        _guarded(top.mkdir, parents=True, exist_ok=True)
        while True:
            folder = _temporary(top)
            try:
                held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:  # somebody took it for a dead one's before it was held
                continue
            fcntl.flock(held, fcntl.LOCK_SH)
            if folder.is_dir():  # else the same, between the two
                break
            os.close(held)
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether nobody holds this folder; if so, it is held for the length of the block."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(held)


def _temporary(top: Path) -> Path:
    try:
        return Path(mkdtemp(dir=top))
    except OSError as e:
        raise SurroundingsError(f"cannot be written: {e.strerror or e}", where=top) from e


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _bring(path: Path, target: Path) -> None:
    """A copy of its own: who delivered a file could still write to it through a link."""
    _guarded(shutil.copyfile, path, target)
    with target.open("rb") as file:
        _guarded(os.fsync, file.fileno())


def _write(path: Path, text: str) -> None:
    def write() -> None:
        with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    _guarded(write)


def _sync(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def _guarded(call: Callable[..., Any], *arguments: Any, **words: Any) -> None:
    try:
        call(*arguments, **words)
    except FileNotFoundError:
        raise
    except OSError as e:
        where = e.filename or next((str(a) for a in arguments), "results")
        hint = "free some room" if e.errno == errno.ENOSPC else ""
        raise SurroundingsError(f"cannot be written: {e.strerror or e}", where=where, hint=hint) from e
