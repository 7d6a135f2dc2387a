"""A module imports only from floors below its own, as docs/architecture.md draws them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
TOP = PROJECT / "image_builder"
# From the top floor down; folders of one floor do not import each other.
FLOORS = (
    {"cli"},
    {"archive"},
    {"build", "doctor"},
    {"live_build"},
    {"artifacts", "boot", "apt"},
    {"layers", "plan"},
    {"sandbox", "jobs"},
    {"proxy", "snaps"},
    {"config", "lock"},
    {"distributions", "architectures", "series"},
    {"scratch", "commands"},
    {"files", "run"},
    {"errors"},
)


def floor(name: str) -> int:
    return next(number for number, names in enumerate(FLOORS) if name in names)


def imported(path: Path) -> Iterator[str]:
    """Folders and modules of the project that a module names, also inside its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] in ("proxy", "snaps"):
                yield parts[0]
            elif parts[0] == "image_builder":
                yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            words = [alias.name.split(".") for alias in node.names]
            yield from (parts[0] for parts in words if parts[0] in ("proxy", "snaps"))
            yield from (parts[1] for parts in words if parts[0] == "image_builder" and len(parts) > 1)


def home(path: Path) -> str:
    """The folder or module whose floor a file stands on."""
    parts = path.relative_to(PROJECT).parts
    return (parts[1] if parts[0] == "image_builder" else parts[0]).removesuffix(".py")


MODULES = sorted(
    path
    for folder in (TOP, PROJECT / "proxy", PROJECT / "snaps")
    for path in folder.rglob("*.py")
    if path != TOP / "__init__.py"
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_imports_go_down(path: Path) -> None:
    own = home(path)
    others = set(imported(path)) - {own}
    assert {other for other in others if floor(other) <= floor(own)} == set()


def test_series_needs_the_standard_library_only() -> None:
    for path in (TOP / "series").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | {"image_builder"}, path
