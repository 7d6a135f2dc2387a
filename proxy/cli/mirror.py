"""`snapshot-proxy mirror`: fetch beforehand what a build will need."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import click

from image_builder.errors import ConfigError
from image_builder.files import give_to_caller
from image_builder.lock import Lock
from proxy.archive.sources import DEBIAN_KEYRING, Source, parse
from proxy.cli.options import STORE
from proxy.mirror import Report, State, Want
from proxy.mirror import mirror as fetch_all
from proxy.wanted import LANGUAGES

EVERY_S = 10.0  # between two lines of progress where nobody looks at a terminal

# Also of `image-builder mirror`.
to_option = click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also lay all out in this folder: HOST/PATH/{dists,pool}, archives for any apt.",
)
drop_option = click.option(
    "--drop",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Take what is wanted from this folder of files fetched by hand; any names.",
)


@click.command()
@click.argument("packages", nargs=-1, metavar="[PACKAGE|FILE]...")
@click.option("--lock", "lock_path", type=click.Path(path_type=Path), default="image-builder.lock", show_default=True)
@click.option(
    "--sources",
    "sources_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="sources.list or .sources that says which of the lock's suites, and the keys (default: all of it).",
)
@click.option("--keyring", type=click.Path(path_type=Path), default=DEBIAN_KEYRING, show_default=True)
@click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="SNAPSHOT_PROXY_STORE",
    default=STORE,
    show_default=True,
    help="The content store.",
)
@to_option
@drop_option
@click.option("--all", "everything", is_flag=True, help="Every package of the pinned components and architectures.")
@click.option("--no-depends", is_flag=True, help="Only the packages named, not what they depend on.")
@click.option("--source-indices", is_flag=True, help="The Sources indices too, for deb-src.")
@click.option(
    "--language",
    "languages",
    multiple=True,
    default=LANGUAGES,
    show_default=True,
    help="Of the descriptions; several are possible.",
)
@click.option(
    "--also", "extra", multiple=True, metavar="REGEX", help="Further files of the Release: '/Contents-amd64[.]'."
)
@click.option("-j", "--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Files at once.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout.")
def mirror(
    packages: tuple[str, ...], lock_path: Path, sources_file: Path | None, keyring: Path, store: Path,
    folder: Path | None, drop: Path | None, everything: bool, no_depends: bool, source_indices: bool,
    languages: tuple[str, ...], extra: tuple[str, ...], jobs: int, as_json: bool,
) -> None:  # fmt: skip
    """Fetch what a lock pins, so that it can be served without the network.

    Always: what `apt-get update` reads. PACKAGEs with all they depend on, by name (name, name=version,
    name:architecture) or from files with one name a line (live-build's package lists). The same call goes on where
    an earlier one stopped. Exit status 1 when something is missing or has failed; it is listed then.
    """
    lock = Lock.read(lock_path)
    if lock is None:
        raise ConfigError("there is no lock", where=lock_path, hint="make one: snapshot-proxy lock")
    want = Want(
        names=names_of(packages), needs=not no_depends, everything=everything, source_indices=source_indices,
        languages=languages, extra=extra,
    )  # fmt: skip
    show = Progress()
    report = fetch_all(
        lock.archives, _sources(lock, sources_file, keyring), want, keyring=keyring, cache=store.absolute(),
        folder=folder, drop=drop, jobs=jobs, progress=show,
    )  # fmt: skip
    show.end()
    if folder is not None and folder.exists():
        give_to_caller(folder)
    show_report(report, as_json=as_json)
    if not report.complete:
        sys.exit(1)  # an Exit of click would be lost on the way up


def names_of(words: tuple[str, ...]) -> tuple[str, ...]:
    """Names of packages from the command line, files with one a line among them. Raises ConfigError for no list."""
    found: list[str] = []
    for word in words:
        if "/" not in word and not word.endswith((".list", ".chroot", ".binary", ".txt")):
            found.append(word)
            continue
        try:
            text = Path(word).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise ConfigError(f"cannot be read: {e}", where=word, hint="one package's name a line") from e
        found += [line.split()[0] for raw in text.splitlines() if (line := raw.split("#", 1)[0].strip())]
    return tuple(dict.fromkeys(found))


def _sources(lock: Lock, file: Path | None, keyring: Path) -> list[Source]:
    if file is None:
        return [Source(pin.uri, pin.suite, pin.components, pin.architectures, (keyring,)) for pin in lock.archives]
    architectures = [pin.architectures[0] for pin in lock.archives] or [""]
    found = parse(file.read_text("utf-8"), where=file, architecture=architectures[0], keyrings=(keyring,))
    if lacking := lock.missing([(s.uri, s.suite, s.components, s.architectures) for s in found]):
        raise ConfigError("\n".join(lacking), where=file, hint="the lock has to pin them first")
    return found


class Progress:
    """One line that changes on a terminal, else a line now and then; on stderr."""

    def __init__(self) -> None:
        self._tty = sys.stderr.isatty()
        self._last = 0.0
        self._shown = False

    def __call__(self, state: State) -> None:
        now = time.monotonic()
        if now - self._last < (0.2 if self._tty else EVERY_S):
            return
        self._last, self._shown = now, True
        line = f"{state.files_done} of {state.files} files, {size(state.bytes_done)} of {size(state.bytes)}"
        print(f"\r\x1b[K{line}" if self._tty else line, end="" if self._tty else "\n", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._tty and self._shown:
            print(file=sys.stderr)


def show_report(report: Report, *, as_json: bool) -> None:
    """What came, and what did not with the reasons."""
    if as_json:
        print(json.dumps({"complete": report.complete, **asdict(report)}, indent=2))
        return
    here = report.files - report.fetched - report.from_drop - len(report.missing) - len(report.failed)
    print(f"{report.files} files: {here} were there, {report.fetched} fetched ({size(report.fetched_bytes)}),", end=" ")
    print(f"{report.from_drop} from the drop folder, {len(report.missing)} missing, {len(report.failed)} failed")
    for word, problems in (("missing", report.missing), ("failed", report.failed)):
        for problem in problems:
            print(f"{word}: {problem.what}: {problem.why}")
    for name in report.strangers:
        print(f"not wanted: {name}, in the drop folder")


def size(size_bytes: int) -> str:
    """For people: "1.4 MB"."""
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
