"""image-builder store, as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_builder.layers import Construction, Store

pytestmark = pytest.mark.root


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Store]:
    """A store of two layers, "base" used before "hook"."""
    with Store(tmp_path / "store") as store:
        for number, name in enumerate(("base", "hook"), start=1):
            with store.building(f"{number}" * 64) as construction:
                assert isinstance(construction, Construction)
                (construction.diff / "file").write_text("x" * 50_000)
                layer = construction.commit({"name": name})
            os.utime(layer.directory / "used", (number, number))
        store.close()
        yield store


def call(store: Store, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from image_builder.cli.store import store; store()"]
    return subprocess.run(
        [*command, "--store", store.root, *arguments], capture_output=True, text=True, check=False, env={"TZ": "UTC"}
    )


def test_list(kept: Store) -> None:
    done = call(kept, "list")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["1" * 16, "56.0", "KiB", "1970-01-01", "00:00", "base"],
        ["2" * 16, "56.0", "KiB", "1970-01-01", "00:00", "hook"],
    ]
    assert done.stderr.startswith("2 layers, 112 KiB, in ")
    listed = json.loads(call(kept, "list", "--json").stdout)
    assert [(layer["key"], layer["meta"]) for layer in listed] == [
        ("1" * 64, {"name": "base"}),
        ("2" * 64, {"name": "hook"}),
    ]


def test_verify(kept: Store) -> None:
    assert (call(kept, "verify", "--deep").returncode, call(kept, "verify").stdout) == (0, "")
    (kept.root / "layers" / ("1" * 16) / "diff/file").unlink()
    done = call(kept, "verify")
    assert done.returncode == 1
    assert "/diff" not in done.stdout
    assert "file: missing" in done.stdout
    assert "rm -r" in done.stderr
    problems = json.loads(call(kept, "verify", "--json").stdout)
    assert {problem["key"] for problem in problems} == {"1" * 64}


def test_prune(kept: Store) -> None:
    would = call(kept, "prune", "--max-size", "60k", "--dry-run")
    assert ("layer: base" in would.stdout, "layer: hook" in would.stdout) == (True, False)
    assert len(kept.list()) == 2
    assert [item["key"] for item in json.loads(call(kept, "prune", "--max-size", "60KiB", "--json").stdout)] == [
        "1" * 64
    ]
    assert [layer.key for layer in kept.list()] == ["2" * 64]


@pytest.mark.parametrize("size", ["", "x", "-1", "5 apples"])
def test_a_size_that_is_none(kept: Store, size: str) -> None:
    done = call(kept, "prune", "--max-size", size)
    assert done.returncode == 2
    assert "is not a size such as 20G" in done.stderr
    assert len(kept.list()) == 2


def test_a_store_that_is_not_there_is_an_empty_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    assert [call(store, *command).returncode for command in (["list"], ["verify"], ["prune", "--max-size", "0"])] == [
        0
    ] * 3
    assert not store.root.exists()
