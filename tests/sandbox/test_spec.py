"""What a sandbox may be asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_builder.errors import ConfigError
from image_builder.sandbox.spec import Bind, Sandbox

ROOT = Path("/nonexistent/root")


@pytest.mark.parametrize("path", ["build", "/", "", "/a/../b", "/a\0b"])
def test_a_path_inside_is_absolute_and_does_not_climb(path: str) -> None:
    for options in ({"work_tree": path}, {"tmpfs": [path]}, {"binds": [Bind(ROOT, path)]}):
        with pytest.raises(ConfigError, match="not an absolute path"):
            Sandbox(ROOT, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value"), [("", "x"), ("a=b", "x"), ("a", "x\0y")])
def test_environment(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match="environment"):
        Sandbox(ROOT, environment={name: value})


def test_the_work_directory_stands_beside_the_upper() -> None:
    assert Sandbox(ROOT, lower=[ROOT], upper=Path("/s/diff")).work_directory == Path("/s/diff.work")
    assert Sandbox(ROOT, upper=Path("/s/diff")).work_directory is None
