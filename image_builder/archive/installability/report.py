"""dose's report into answers. It is YAML of a very regular kind; a general reader takes longer than dose itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from image_builder.archive.installability.reasons import Conflict, Missing, Reason, Step
from image_builder.errors import PipelineError

_ARCHITECTURE = re.compile(r"(?<=[a-z0-9+.-]):[a-z0-9-]+(?= |$)")


@dataclass(frozen=True, slots=True)
class Entry:
    """What dose says of one package: the packages to install for it, or why it cannot be."""

    name: str
    version: str
    installable: bool
    together: tuple[tuple[str, str], ...] = ()  # (name, version) of a set that can be installed
    reasons: tuple[Reason, ...] = ()


def read_report(lines: Iterable[str], where: str) -> Iterator[Entry]:
    """Each entry of a report, as it comes. where: for errors. Raises PipelineError for what is no such report."""
    block: list[str] = []
    inside = False
    for line in lines:
        text = line.rstrip("\n")
        if not inside:
            inside = text == "report:"
        elif text == " -" or not text.startswith("  "):
            if block:
                yield _entry(block, where)
            block = []
            inside = text.startswith(" ")
        else:
            block.append(text)
    if block:
        raise PipelineError("the report of dose-builddebcheck ends in the middle", where=where)


def _entry(block: list[str], where: str) -> Entry:
    try:
        fields, end = _mapping([(len(line) - len(line.lstrip(" ")), line.strip()) for line in block], 0)
        if end != len(block):
            raise ValueError(block[end])
        return Entry(
            fields["package"],
            fields["version"],
            fields["status"] == "ok",
            tuple((package["package"], package["version"]) for package in fields.get("installationset") or ()),
            tuple(_reason(reason) for reason in fields.get("reasons") or ()),
        )
    except (KeyError, TypeError, ValueError, IndexError) as e:
        raise PipelineError(f"dose-builddebcheck says what nobody understands: {e!r}", where=where) from e


def _value(lines: list[tuple[int, str]], at: int, above: int) -> tuple[Any, int]:
    """What stands deeper than `above` from a line on, and the line after it."""
    if at == len(lines) or lines[at][0] <= above:
        return None, at
    return _sequence(lines, at) if lines[at][1] == "-" else _mapping(lines, at)


def _mapping(lines: list[tuple[int, str]], at: int) -> tuple[dict[str, Any], int]:
    indent, found = lines[at][0], {}
    while at < len(lines) and lines[at][0] == indent and lines[at][1] != "-":
        name, colon, value = lines[at][1].partition(":")
        if not colon:
            raise ValueError(lines[at][1])
        if value:
            found[name], at = value.strip(), at + 1
        else:
            found[name], at = _value(lines, at + 1, indent)
    return found, at


def _sequence(lines: list[tuple[int, str]], at: int) -> tuple[list[Any], int]:
    indent, found = lines[at][0], []
    while at < len(lines) and lines[at] == (indent, "-"):
        item, at = _value(lines, at + 1, indent)
        found.append(item)
    return found, at


def _reason(reason: dict[str, Any]) -> Reason:
    if "missing" in reason:
        package = reason["missing"]["pkg"]
        last = Step(package["package"], package["version"], _relation(package["unsat-dependency"]))
        return Missing((*_path(reason["missing"].get("depchains")), last))
    conflict = reason["conflict"]
    one, other = conflict["pkg1"], conflict["pkg2"]
    return Conflict(
        Step(one["package"], one["version"], _relation(one.get("unsat-conflict", ""))),
        Step(other["package"], other["version"], ""),
        _path(conflict.get("depchain1")),
        _path(conflict.get("depchain2")),
    )


def _path(chains: list[dict[str, Any]] | None) -> tuple[Step, ...]:
    steps = (chains or [{}])[0].get("depchain") or ()
    # To what is essential no relation leads.
    return tuple(
        Step(step["package"], step["version"], _relation(step["depends"])) for step in steps if "depends" in step
    )


def _relation(text: str) -> str:
    """Without the architecture that dose adds to each name, and without what it says twice: as real and as virtual."""
    return " | ".join(dict.fromkeys(_ARCHITECTURE.sub("", part.strip()) for part in text.split(" | ")))
