"""The text of a series file, line by line. Pure."""

from __future__ import annotations

from image_builder.series.record import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# "2019": series files as of 2019-05-21, before comments and `provides`; such lines name hooks there.
FORMATS = ("current", "2019")

DIRECTIVES: Mapping[str, tuple[str, ...]] = {"binary": ("none", "iso-hybrid", "netboot"), "pack": ("none",)}


class Line(NamedTuple):
    """One line that says something. kind: "hook", "depends", "provides" or "directive"."""

    kind: str
    value: str  # without the keyword, blanks inside kept
    number: int  # 1-based


class Series(NamedTuple):
    """A series file. description: its first comment, without "#"; "" if it has none."""

    description: str
    lines: tuple[Line, ...]


def parse(text: str, format: str = "current") -> Series:
    """Read a series file; every text is one, so that nothing is raised here.

    >>> parse("# A disk\\ndepends base\\nbase/disk.binary\\nprovides disk.img\\n").lines[1]
    Line(kind='hook', value='base/disk.binary', number=3)
    """
    description = ""
    lines = []
    keywords = ("depends", "provides") if format == "current" else ("depends",)
    # Not splitlines(), which also splits at form feeds and the like; files are read with universal newlines.
    unified = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    for number, raw in enumerate(unified.split("\n"), 1):
        line = raw.strip()
        if not line:
            continue
        if format == "current" and line.startswith("#"):
            if line.startswith("#%"):
                lines.append(Line("directive", line[2:].strip(), number))
            elif not description:
                description = line.lstrip("#").strip()
            continue
        words = line.split(None, 1)
        # "depends" alone is a hook of that name, as in livecd-rootfs.
        if len(words) == 2 and words[0] in keywords:
            lines.append(Line(words[0], words[1], number))
        else:
            lines.append(Line("hook", line, number))
    return Series(description, tuple(lines))


def directives(series: Series) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """What a file's `#% key: value` lines say, and what is wrong with them as (line number, text)."""
    said: dict[str, str] = {}
    problems: list[tuple[int, str]] = []
    for kind, text, number in series.lines:
        if kind != "directive":
            continue
        key, _, value = (part.strip() for part in text.partition(":"))
        if key not in DIRECTIVES:
            problems.append((number, f"unknown directive {key!r}; known: {', '.join(DIRECTIVES)}"))
        elif value not in DIRECTIVES[key]:
            problems.append((number, f"unknown value {value!r} of {key!r}; known: {', '.join(DIRECTIVES[key])}"))
        elif said.setdefault(key, value) != value:
            problems.append((number, f"{key!r} is {value!r} here and {said[key]!r} in a line before"))
    return said, problems
