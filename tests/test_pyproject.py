"""What pyproject.toml promises: every hook is in the wheel, every dependency has a lower bound and a word."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

TOP = Path(__file__).parents[1]
TEXT = (TOP / "pyproject.toml").read_text()
USERS_OWN = ("hooks.d/extra", "hooks.d/chroot")  # of these the wheel has the README


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads(TEXT)


@pytest.mark.parametrize("top", ["hooks.d", "auto"])
def test_the_wheel_has_all_that_is_shipped_in_its_place(project: dict[str, Any], top: str) -> None:
    listed = {
        f"{folder}/{path.name}": path
        for folder, patterns in project["tool"]["setuptools"]["data-files"].items()
        for pattern in patterns
        for path in TOP.glob(pattern)
    }
    shipped = {
        path
        for path in (TOP / top).rglob("*")
        if path.is_file()
        and (not str(path.relative_to(TOP)).startswith(USERS_OWN) or path.name == "README.md")
        and path.name not in (".shellcheckrc", "explicit_provides")
    }
    assert shipped
    for path in shipped:
        assert listed.get(f"share/image-builder/{path.relative_to(TOP)}") == path


def test_every_dependency_has_a_lower_bound_and_a_word(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    wanted = project["project"]["dependencies"] + [name for names in extras.values() for name in names]
    for name in wanted + project["build-system"]["requires"]:
        assert re.fullmatch(r"[A-Za-z0-9-]+(\[[a-z]+\])?>=[0-9.]+(; .+)?", name)
        assert re.search(rf'"{re.escape(name)}"[],]+ +# \w+', TEXT), f"{name}: what is it for?"
