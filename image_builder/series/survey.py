"""Everything that is wrong with the series files some targets reach, found before anything is done. Pure.

Each series file is read once; where its `depends` lines lead is remembered, so that the order of hooks
is made on a graph known to be whole and without cycles.
"""

from __future__ import annotations

import os

from image_builder.series.parse import Line, Series, directives, parse
from image_builder.series.record import TYPE_CHECKING, NamedTuple
from image_builder.series.tree import FILE, MISSING, OUTSIDE, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The first folder that has a file of the name is taken, never both.
SERIES_FOLDERS = ("extra/series", "base/series")
SUGGESTIONS = 8  # looking for similar names is slow, so only for the first problems


class Node(NamedTuple):
    """A series file and where its `depends` lines lead."""

    path: str  # "base/series/disk-image"
    series: Series
    leads_to: dict[int, str]  # number of a `depends` line -> path of a series file
    directives: dict[str, str]  # effective: its own, else the first found through `depends`


class Survey:
    """What some targets reach. problems: one line each, with series file and line number."""

    def __init__(self, tree: Tree, format: str = "current", *, with_directives: bool = True) -> None:
        self.nodes: dict[str, Node] = {}
        self.problems: list[str] = []
        self._tree, self._format, self._with_directives = tree, format, with_directives
        self._found: dict[str, tuple[str | None, str]] = {}
        self._kinds: dict[str, str] = {}
        self._suggested = 0
        # Hooks every target has: those in chroot/, by code point.
        names = [n for n in tree.names("chroot") if n.endswith((".chroot_early", ".chroot"))]
        self.collected = [f"chroot/{name}" for name in names]
        for path in self.collected:
            self._check_hook(path, "")

    def target(self, name: str) -> Node | None:
        """The series file of a target somebody names, with all it depends on surveyed. None: there is no such file."""
        path = self._find(name, "")
        if path and path not in self.nodes:
            self._descend(path)
        return self.nodes[path] if path else None

    def series_names(self) -> list[str]:
        """Names of all series files; not editors' (".x", "x~"). A link out of hooks.d is one, and then a problem."""
        names = {name for folder in SERIES_FOLDERS for name in self._tree.names(folder)}
        absent = (MISSING, *PASSED_OVER)
        return [
            name
            for name in sorted(names)
            if not (name.startswith(".") or name.endswith("~"))
            and any(self._kind(f"{folder}/{name}") not in absent for folder in SERIES_FOLDERS)
        ]

    def _find(self, name: str, where: str) -> str | None:
        """The path of a target's series file. where: the line that asks ("base/series/x line 3: "), or ""."""
        if name not in self._found:
            self._found[name] = self._look_up(name)
        path, problem = self._found[name]
        if problem:
            self.problems.append(where + problem)
        return path

    def _look_up(self, name: str) -> tuple[str | None, str]:
        wrong = unsafe(name, SERIES_FOLDERS[0])
        if wrong:
            return None, f"target {name!r} {wrong}"
        for folder in SERIES_FOLDERS:
            path = os.path.normpath(f"{folder}/{name}")
            kind = self._kind(path)
            if kind == FILE:
                return path, ""
            if kind != MISSING and kind not in PASSED_OVER:
                return None, f"series file {path} {KINDS.get(kind, kind)}"
        if len(name.split()) > 1:
            return None, f"no series file for target {name!r}: one name per `depends` line"
        known = [n for folder in SERIES_FOLDERS for n in self._tree.names(folder)]
        return None, f"no series file for target {name!r}" + self._nearest(name, known)

    def _descend(self, top: str) -> None:
        """Read top and what it depends on, deepest first; without recursion, since chains may be long."""
        way: list[tuple[Node, Iterator[Line]]] = []
        on_way: dict[str, int] = {}

        def enter(path: str) -> None:
            node = self._read(path)
            on_way[path] = len(way)
            way.append((node, iter([line for line in node.series.lines if line.number in node.leads_to])))

        enter(top)
        while way:
            node, lines = way[-1]
            for line in lines:
                dependency = node.leads_to[line.number]
                if dependency in on_way:
                    cycle = [step.path for step, _ in way[on_way[dependency] :]] + [dependency]
                    self.problems.append(f"{node.path} line {line.number}: {_cycle(cycle)}")
                elif dependency not in self.nodes:
                    enter(dependency)
                    break
            else:
                for dependency in node.leads_to.values():
                    if dependency in self.nodes:  # all of them, but for a cycle
                        for key, value in self.nodes[dependency].directives.items():
                            node.directives.setdefault(key, value)
                self.nodes[node.path] = node
                del on_way[node.path]
                way.pop()

    def _read(self, path: str) -> Node:
        try:
            series = parse(self._tree.text(path), self._format)
        except OSError as e:
            self.problems.append(f"series file {path} cannot be read: {e.strerror}")
            series = Series("", ())
        own: dict[str, str] = {}
        if self._with_directives:
            own, wrong = directives(series)
            self.problems += [f"{path} line {number}: {text}" for number, text in wrong]
        leads_to = {}
        for kind, value, number in series.lines:
            where = f"{path} line {number}: "
            if kind == "hook":
                self._check_hook(value, where)
            elif kind == "depends":
                dependency = self._find(value, where)
                if dependency:
                    leads_to[number] = dependency
        return Node(path, series, leads_to, own)

    def _check_hook(self, value: str, where: str) -> None:
        wrong = unsafe(value)
        if wrong:
            self.problems.append(f"{where}hook {value!r} {wrong}")
            return
        path = os.path.normpath(value)
        kind = self._kind(path)
        if kind == FILE:
            return
        problem = f"hook {value!r} {KINDS.get(kind, kind)}"
        if kind == MISSING:
            problem = f"hook script {value!r} does not exist"
            if self._format == "2019" and value.startswith(("#", "provides ")):
                problem += " (series files of 2019 know neither comments nor `provides`: every line names a hook)"
            elif " #" in value:
                problem += " (a comment stands on a line of its own)"
            else:
                folder, _, name = path.rpartition("/")
                problem += self._nearest(name, self._tree.names(folder))
        self.problems.append(where + problem)

    def _kind(self, path: str) -> str:
        """The kind of a path, or what keeps it from being known ("cannot be read: ...")."""
        if path not in self._kinds:
            try:
                self._kinds[path] = self._tree.kind(path)
            except OSError as e:
                self._kinds[path] = f"cannot be read: {e.strerror}"
        return self._kinds[path]

    def _nearest(self, name: str, known: Iterable[str]) -> str:
        self._suggested += 1
        if self._suggested > SUGGESTIONS:
            return ""
        from difflib import get_close_matches  # slow to import, and most runs have nothing to suggest

        near = get_close_matches(name, dict.fromkeys(known), 3, 0.75)
        return f"; nearest: {', '.join(near)}" if near else ""


PASSED_OVER = ("folder", "other")  # livecd-rootfs takes base/series then; it asks for a regular file
KINDS = {
    OUTSIDE: "leaves the hooks.d folder by a symlink",
    "folder": "is a folder, not a script",
    "other": "is no regular file",
}


def unsafe(path: str, below: str = "") -> str:
    """Why a path as written in a series file is refused whatever stands there; "" if it is not.

    below: the folder in hooks.d it is relative to.
    """
    if "\0" in path:
        return "holds a NUL character"
    if path.startswith("/"):
        return "is an absolute path: paths are relative to the hooks.d folder"
    if f"{os.path.normpath(f'{below}/{path}' if below else path)}/".startswith("../"):
        return "leaves the hooks.d folder by '..'"
    if os.path.basename(path) in ("", ".", ".."):
        return "names a folder"
    return ""


def _cycle(paths: list[str]) -> str:
    names = [os.path.basename(path) for path in paths]
    shown = names if len(names) <= 12 else [*names[:6], "...", *names[-5:]]
    text = f"`depends {names[-1]}` closes a cycle: {' -> '.join(shown)}"
    if len(paths) == 2 and paths[0].startswith(SERIES_FOLDERS[0]):
        text += "; a file in extra/series replaces the one in base/series, it cannot depend on it"
    return text
