"""A module imports only from floors below its own, as docs/architecture.md draws them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1] / "image_builder"
# From the top floor down; folders of one floor do not import each other.
FLOORS = (
    {"cli"},
    {"build"},
    {"live_build"},
    {"artifacts", "boot", "apt"},
    {"layers", "plan"},
    {"sandbox"},
    {"config", "lock"},
    {"series"},
    {"files", "run"},
    {"errors"},
)


def floor(name: str) -> int:
    return next(number for number, names in enumerate(FLOORS) if name in names)


def imported(path: Path) -> Iterator[str]:
    """Folders and modules of image_builder that a module names, also inside its functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("image_builder"):
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("image_builder."))


MODULES = sorted(path for path in TOP.rglob("*.py") if path != TOP / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TOP)))
def test_imports_go_down(path: Path) -> None:
    own = path.relative_to(TOP).parts[0].removesuffix(".py")
    others = set(imported(path)) - {own}
    assert {other for other in others if floor(other) <= floor(own)} == set()


def test_series_needs_the_standard_library_only() -> None:
    for path in (TOP / "series").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | {"image_builder"}, path
