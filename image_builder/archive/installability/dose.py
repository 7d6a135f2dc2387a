"""dose-builddebcheck, asked about some questions, with the part of the archive they can reach."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from image_builder.archive.indices.relations import parse, written
from image_builder.archive.installability.question import Question
from image_builder.archive.installability.report import Entry, read_report
from image_builder.archive.installability.universe import AVOIDS, NEEDS, Universe
from image_builder.archive.model import BinaryPackage
from image_builder.errors import PipelineError
from image_builder.run import run

PROGRAM = "dose-builddebcheck"
BROKEN = 1  # its exit status when something cannot be installed; 64 and more: it did not get that far
TIME_LIMIT_S = 3600.0


def ask(universe: Universe, questions: Collection[Question], folder: Path, *, first_only: bool = True) -> list[Entry]:
    """What dose says of each question.

    folder: for its input and output, which stay there. first_only: of alternatives take the first, as sbuild does.
    Raises CommandError when dose fails, which is no answer; PipelineError when its report cannot be read.
    """
    if not questions:
        return []
    packages, sources, report = folder / "Packages", folder / "Sources", folder / "report.yaml"
    numbers = reachable(universe, questions)
    with packages.open("w", encoding="utf-8", errors="surrogateescape") as f:
        f.writelines(_binary(universe.packages[number]) for number in sorted(numbers))
    with sources.open("w", encoding="utf-8", errors="surrogateescape") as f:
        f.writelines(_source(question) for question in questions)
    run(
        [
            PROGRAM,
            "--failures",
            "--successes",
            "--explain",
            *(["--deb-emulate-sbuild"] if first_only else []),
            f"--deb-native-arch={universe.architecture}",
            f"--outfile={report}",
            packages,
            sources,
        ],
        accept=(0, BROKEN),
        timeout_s=TIME_LIMIT_S,
        hint=f"{PROGRAM} is in Debian's package of that name",
    )
    with report.open(encoding="utf-8", errors="surrogateescape") as f:
        entries = list(read_report(f, str(report)))
    if {entry.name for entry in entries} != {question.name for question in questions}:
        raise PipelineError(f"{PROGRAM} did not answer all that was asked", where=report)
    return entries


def reachable(universe: Universe, questions: Iterable[Question]) -> set[int]:
    """All packages that any choice, also a lax one, can bring in; more change no answer."""
    found: set[int] = set()
    todo = {"build-essential", *universe.essential}
    todo.update(name for question in questions for name in universe.names(question.needs))
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        for number in universe.under(name):
            if number not in found:
                found.add(number)
                relations = universe.packages[number].relations
                todo.update(n for field in NEEDS if field in relations for n in universe.names(relations[field]))
    return found


def _binary(package: BinaryPackage) -> str:
    """A stanza with what matters here; none for a package with a field that cannot be read: it cannot be installed."""
    try:
        relations = "".join(f"{field}: {text}\n" for field, text in _relations(package) if text)
    except PipelineError:
        return ""
    return (
        f"Package: {package.name}\nVersion: {package.version}\nArchitecture: {package.architecture}\n"
        f"Multi-Arch: {package.multi_arch}\n{'Essential: yes' + chr(10) if package.essential else ''}{relations}\n"
    )


def _relations(package: BinaryPackage) -> Iterator[tuple[str, str]]:
    for field in (*NEEDS, *AVOIDS, "Provides"):
        text = package.relations.get(field, "")
        groups = parse(text)
        if field == "Provides":  # dose gives up over "Provides: a (>= 1)"
            text = written(tuple(group for group in groups if group[0].operator in ("", "=")))
        yield field, text


def _source(question: Question) -> str:
    avoids = f"Build-Conflicts: {question.avoids}\n" if question.avoids else ""
    needs = f"Build-Depends: {question.needs}\n" if question.needs else ""
    return f"Package: {question.name}\nVersion: {question.version}\nArchitecture: any\n{needs}{avoids}\n"
