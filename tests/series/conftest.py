"""Trees of series files and hooks, written to disk."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Plant = Callable[..., Path]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Write a hooks.d folder: path -> text; hooks: paths of scripts that only have to exist."""

    def write(texts: Mapping[str, str | bytes], hooks: str = "", *, at: str = "hooks.d") -> Path:
        root = tmp_path / at
        (root / "base/series").mkdir(parents=True, exist_ok=True)
        (root / "chroot").mkdir(exist_ok=True)
        for path, text in {**texts, **dict.fromkeys(hooks.split(), "#!/bin/sh\n")}.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return root

    return write
