"""Publishing a rebuild: from its results to what readers see."""

from __future__ import annotations

import errno
import fcntl
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from image_builder.archive.publish.contents import Contents, contents
from image_builder.archive.publish.deploy import Deployment, read_generations
from image_builder.archive.publish.indices import SuiteDescription, indices, stage, sweep
from image_builder.archive.publish.place import Place
from image_builder.archive.publish.signing import Signer
from image_builder.archive.repository.repository import Repository
from image_builder.archive.results import SOURCE
from image_builder.errors import PipelineError, SurroundingsError

KEY = "archive-key.asc"  # the public key, at the top of the place


@dataclass(frozen=True)
class Published:
    """What became of one suite. uploaded, removed: files."""

    suite: str
    packages: int
    sources: int
    uploaded: int
    uploaded_bytes: int
    removed: int


def publish(
    repository: Repository,
    place: Place,
    suites: Sequence[SuiteDescription],
    *,
    date: int,
    signer: Signer,
    cache: Path,
    keep: int = 3,
    check: bool = False,
    say: Callable[[str], object] = lambda _: None,
) -> list[Published]:
    """Publish suites, each by one change that readers see: the new InRelease.

    date: of the Releases, POSIX seconds; not before that of what is published. cache: a folder for what is used again,
    on the results' file system. keep: so many publications of each suite stay whole, for readers that began with an
    older InRelease. check: ask the place for all it has, instead of believing what earlier publications noted. Only
    what is not there is written. Killed at any point, the next call goes on. Raises PipelineError.
    """
    if keep < 1:
        raise PipelineError("at least one publication has to stay", where=place.where)
    cache = cache.absolute()
    try:
        with _alone(cache), place.locked():
            return [_one(repository, place, suite, date, signer, cache, keep, check, say) for suite in suites]
    except OSError as e:
        hint = "free some room; the same call goes on from here" if e.errno == errno.ENOSPC else ""
        raise SurroundingsError(f"{e.strerror or e}", where=e.filename or cache, hint=hint) from e


def _one(
    repository: Repository, place: Place, description: SuiteDescription, date: int, signer: Signer, cache: Path,
    keep: int, check: bool, say: Callable[[str], object],
) -> Published:  # fmt: skip
    name = description.published
    say(f"{name}: reading results")
    found, staged = _staged(repository, description, cache)
    _not_older(place, name, date)
    say(f"{name}: {len(staged)} files, making indices")
    made = indices(description, found, repository.architectures(description.suite), date=date, cache=cache)
    inrelease = signer.sign(made.release, date)
    _place_key(place, signer)
    deployment = Deployment(place, name, staged, made, check=check)
    say(f"{name}: {len(deployment.missing)} files are new")
    uploaded, size, removed = deployment.carry_out(inrelease, keep)
    sweep(cache, {name for one in read_generations(place).values() for name in one.names})
    sources = sum(len(names) for (_, kind), names in found.lists.items() if kind == SOURCE)
    packages = {n for (_, kind), names in found.lists.items() if kind != SOURCE for n in names}
    return Published(name, len(packages), sources, uploaded, size, removed)


def _place_key(place: Place, signer: Signer) -> None:
    """Put the public key where readers look for it, if it is not the one that is there."""
    key = signer.public_key.encode()
    if place.read(KEY) != key:
        place.put(KEY, key)


def _not_older(place: Place, suite: str, date: int) -> None:
    """apt takes no Release that is older than the one it has."""
    there = place.read(f"dists/{suite}/InRelease")
    match = re.search(rb"(?m)^Date: (.*)$", there or b"")
    if match and (said := parsedate_to_datetime(match[1].decode().replace("UTC", "+0000"))).timestamp() > date:
        asked = datetime.fromtimestamp(date, UTC)
        raise PipelineError(
            f"what is published there is of {said:%Y-%m-%d %H:%M:%S}, newer than {asked:%Y-%m-%d %H:%M:%S}",
            where=f"{place.where} {suite}",
            hint="apt would not take it: give a later date",
        )


def _staged(repository: Repository, description: SuiteDescription, cache: Path) -> tuple[Contents, dict[str, Path]]:
    for _ in range(5):
        try:
            found = contents(repository, description.suite, description.components)
            return found, stage(cache, found)
        except FileNotFoundError:  # a build has just delivered: read again
            continue
    raise SurroundingsError("results change faster than they are read", where=f"results of {description.suite}")


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / ".lock").open("a")
    except OSError as e:
        raise SurroundingsError(f"cannot be written: {e.strerror or e}", where=cache) from e
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
