"""The ordered list of hooks of image targets, each entry with the line it came from. Pure but for reading the tree."""

from __future__ import annotations

import os

from image_builder.errors import ConfigError
from image_builder.series.parse import FORMATS
from image_builder.series.record import TYPE_CHECKING, NamedTuple
from image_builder.series.survey import Node, Survey
from image_builder.series.tree import Folder, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Suffix -> phase, in the order in which live-build runs them.
PHASES = {".chroot_early": "chroot_early", ".chroot": "chroot", ".binary": "binary"}
SPOKEN = {"chroot_early": "early chroot hook", "chroot": "chroot hook", "binary": "binary hook"}


class Entry(NamedTuple):
    """One hook in a list."""

    path: str  # relative to hooks.d, "base/disk-image.binary"
    phase: str  # "chroot_early" | "chroot" | "binary"; "" for a name that live-build does not run
    series: str  # series file that named it, "base/series/disk-image"; "" when collected from chroot/
    line: int  # 1-based; 0 when collected


class Target(NamedTuple):
    """One image target by itself."""

    name: str
    series: str  # "base/series/disk-image"
    description: str  # the first comment of its series file; "" if none
    depends: tuple[str, ...]  # direct ones, in order
    provides: tuple[str, ...]  # as written, "$PROJECT" not replaced
    directives: Mapping[str, str]  # "#% binary: iso-hybrid" -> {"binary": "iso-hybrid"}; its own, else a dependency's
    hooks: tuple[Entry, ...]  # for this target alone, the ones collected from chroot/ first


class Resolution(NamedTuple):
    """What some targets ask for together."""

    targets: tuple[Target, ...]  # as named, order and repeats kept
    hooks: tuple[Entry, ...]  # one list over all of them: make-hooks' links
    provides: tuple[str, ...]  # lines of explicit_provides


class SeriesErrors(ConfigError):
    """All that is wrong with the series files some targets reach. problems: one line each."""

    def __init__(self, problems: Sequence[str], *, where: str) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n  ".join(["series files:", *self.problems]), where=where)


def split_targets(text: str | Sequence[str]) -> list[str]:
    """Names of targets out of IMAGE_TARGETS or arguments: blanks, commas, semicolons, any white space part them.

    >>> split_targets("squashfs;qcow2, iso")
    ['squashfs', 'qcow2', 'iso']
    """
    joined = text if isinstance(text, str) else " ".join(text)
    return joined.replace(";", " ").replace(",", " ").split()


def resolve(hooks_d: str | os.PathLike[str] | Tree, targets: Sequence[str], *, format: str = "current") -> Resolution:
    """The hook lists of the named targets, each alone and all together.

    format: "current", or "2019" for series files without comments and `provides`.
    Raises SeriesErrors with every problem found: nothing is resolved by halves.
    """
    tree = _tree(hooks_d)
    survey = Survey(tree, _known(format))
    together = _together(survey, tree, targets)
    named = [_target(survey, name) for name in targets]
    return Resolution(tuple(named), together.hooks, together.provides)


def compose_list(
    hooks_d: str | os.PathLike[str] | Tree, targets: Sequence[str], *, format: str = "current"
) -> Resolution:
    """As resolve, but only the list over all targets (Resolution.targets is empty): what make-hooks needs.

    Its cost grows with the size of the files, not with targets times hooks. `#%` lines are comments to it.
    """
    tree = _tree(hooks_d)
    return _together(Survey(tree, _known(format), with_directives=False), tree, targets)


def list_targets(hooks_d: str | os.PathLike[str] | Tree) -> list[Target]:
    """Every series file in extra/ and base/ as a target, by name. Raises SeriesErrors."""
    tree = _tree(hooks_d)
    survey = Survey(tree)
    names = survey.series_names()
    _together(survey, tree, names)
    return [_target(survey, name) for name in names]


def whole_targets(hooks_d: str | os.PathLike[str] | Tree) -> tuple[list[Target], SeriesErrors | None]:
    """As list_targets, but what is broken does not hide the rest: the targets without a problem, and the problems."""
    tree = _tree(hooks_d)
    try:
        return list_targets(tree), None
    except SeriesErrors as errors:
        whole: list[Target] = []
        for name in Survey(tree).series_names():
            try:
                whole += resolve(tree, [name]).targets
            except SeriesErrors:
                continue  # among the errors already
        return whole, errors


def target_order_warnings(target: Target) -> list[str]:
    """Where a target's hooks do not run in the order its series files list them, or do not run at all."""
    warnings = unrun_warnings(target.hooks)
    order = list(SPOKEN)
    latest: Entry | None = None
    for entry in target.hooks:
        if not entry.phase or not entry.series:
            continue
        if latest and order.index(entry.phase) < order.index(latest.phase):
            warnings.append(
                f"series {entry.series} line {entry.line}: {SPOKEN[entry.phase]} {entry.path} stands after "
                f"{SPOKEN[latest.phase]} {latest.path}, but live-build runs all {SPOKEN[entry.phase]}s first"
            )
        else:
            latest = entry
    return warnings


def unrun_warnings(hooks: Iterable[Entry]) -> list[str]:
    """Hooks that live-build never runs, since it goes by their suffix."""
    return [
        f"series {hook.series} line {hook.line}: {hook.path} is never run, its name ends in none of {', '.join(PHASES)}"
        for hook in hooks
        if not hook.phase
    ]


def _tree(hooks_d: str | os.PathLike[str] | Tree) -> Tree:
    if isinstance(hooks_d, Tree):
        return hooks_d
    tree = Folder(hooks_d)
    if not tree.is_there():
        raise ConfigError("no such folder", where=tree.name, hint="name the hooks.d folder with --hooks-source")
    return tree


def _known(format: str) -> str:
    if format not in FORMATS:
        raise ConfigError(f"unknown format {format!r}", where="series files", hint=f"known: {', '.join(FORMATS)}")
    return format


def _together(survey: Survey, tree: Tree, targets: Sequence[str]) -> Resolution:
    tops = [survey.target(name) for name in targets]
    if survey.problems:
        raise SeriesErrors(survey.problems, where=tree.name)
    nodes = [node for node in tops if node]
    # Only what a named target itself provides counts, not what it depends on.
    provides = [line.value for node in nodes for line in node.series.lines if line.kind == "provides"]
    return Resolution((), _order(survey, nodes), tuple(provides))


def _target(survey: Survey, name: str) -> Target:
    node = survey.target(name)
    assert node, "surveyed without a problem"
    values: dict[str, list[str]] = {"depends": [], "provides": []}
    for line in node.series.lines:
        if line.kind in values:
            values[line.kind].append(line.value)
    return Target(
        name,
        node.path,
        node.series.description,
        tuple(values["depends"]),
        tuple(values["provides"]),
        node.directives,
        _order(survey, [node]),
    )


def _order(survey: Survey, tops: Iterable[Node]) -> tuple[Entry, ...]:
    """Depth first, at the place of the `depends` line; the first place of a hook's text wins.

    "base/./x" is another text than "base/x", hence another entry, as in livecd-rootfs.
    """
    entries = {path: _entry(path, "", 0) for path in survey.collected}
    done: set[str] = set()
    for top in tops:
        way = [(top, iter(top.series.lines))] if top.path not in done else []
        done.add(top.path)
        while way:
            node, lines = way[-1]
            for kind, value, number in lines:
                if kind == "hook" and value not in entries:
                    entries[value] = _entry(value, node.path, number)
                elif kind == "depends" and node.leads_to[number] not in done:
                    below = survey.nodes[node.leads_to[number]]
                    done.add(below.path)
                    way.append((below, iter(below.series.lines)))
                    break
            else:
                way.pop()
    return tuple(entries.values())


def _entry(value: str, series: str, line: int) -> Entry:
    phase = next((name for suffix, name in PHASES.items() if value.endswith(suffix)), "")
    path = value if "/." not in value and "//" not in value and value[0] != "." else os.path.normpath(value)
    return Entry(path, phase, series, line)
