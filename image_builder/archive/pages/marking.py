"""A log for people: what of it is shown, and which lines say what failed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from image_builder.archive.causes import RULES
from image_builder.archive.pages.plain import plain_line

LINE = 1000  # characters of a line that are looked at and shown
WHOLE = 5000  # lines of a log that is shown as a whole
HEAD, TAIL, AROUND = 200, 2000, 12  # lines of a longer one: its begin, its end, and around each that is marked
LISTED = 100  # marks that are listed at the top


@dataclass(frozen=True, slots=True)
class Text:
    """A log as it was read: its begin, and as much of its end as is looked at. Without a gap, head is empty."""

    head: Sequence[str]
    tail: Sequence[str]
    gap: int = 0  # lines between them
    bytes: int = 0  # of the whole
    cut: bool = False  # it is longer than anybody reads, and was not read to its end


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is shown. mark: what it says, in words; "" for most."""

    number: int  # from 1
    text: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Marked:
    """What is shown of a log. Between two excerpts, lines are left out."""

    excerpts: tuple[tuple[Line, ...], ...]
    marks: tuple[Line, ...]  # those listed at the top; each of them is in an excerpt
    more: int  # marks that are not
    lines: int  # of the whole log


def marked(text: Text) -> Marked:
    """Choose what is shown of a log, and mark the lines that say what failed."""
    first = len(text.head) + text.gap + 1
    tail = [_cut(line) for line in text.tail]
    marks = causes(tail)
    numbers = sorted(marks)
    shown = set(range(len(tail)))
    if len(text.head) + len(tail) > WHOLE or text.gap:
        shown = set(range(max(0, len(tail) - TAIL), len(tail)))
        shown |= set(range(0 if text.head else min(HEAD, len(tail))))
        for number in numbers[:LISTED]:
            shown |= set(range(max(0, number - AROUND), min(len(tail), number + AROUND + 1)))
    lines = [Line(number, _cut(line)) for number, line in enumerate(text.head, 1)]
    lines += [Line(first + number, tail[number], marks.get(number, "")) for number in sorted(shown)]
    listed = [Line(first + number, tail[number].strip(), marks[number]) for number in numbers[:LISTED]]
    return Marked(_excerpts(lines), tuple(listed), max(0, len(numbers) - LISTED), first + len(tail) - 1)


def causes(lines: Sequence[str]) -> dict[int, str]:
    """The lines that say what failed: index → in words. Of several causes the surest counts."""
    text = "\n".join(lines)
    starts, at = [], 0
    for line in lines:
        starts.append(at)
        at += len(line) + 1
    found: dict[int, str] = {}
    # All lines at once: line by line takes ten times as long.
    for rule in RULES:
        for match in rule.pattern.finditer(text):
            found.setdefault(bisect_right(starts, match.start()) - 1, rule.words)
    return found


def _cut(line: str) -> str:
    if len(line) > LINE:
        line = f"{line[:LINE]} … ({len(line) - LINE} more characters)"
    return plain_line(line)


def _excerpts(lines: Sequence[Line]) -> tuple[tuple[Line, ...], ...]:
    parts: list[list[Line]] = []
    for line in lines:
        if not parts or parts[-1][-1].number + 1 != line.number:
            parts.append([])
        parts[-1].append(line)
    return tuple(tuple(part) for part in parts)
