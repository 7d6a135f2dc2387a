"""`snapshot-proxy mirror` and `snapshot-proxy store`, called as users call them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from image_builder.errors import ConfigError
from image_builder.lock import Lock
from proxy.archive.freeze import freeze
from proxy.archive.sources import Source
from proxy.blobs import Blobs
from proxy.cli.mirror import names_of

PROJECT = Path(__file__).parents[3]


def call(*words: object, status: int = 0) -> str:
    """Its standard output."""
    program = [sys.executable, "-c", "from proxy.cli import main; main()", *map(str, words)]
    done = subprocess.run(program, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def lock(served: str, key: Any, tmp_path: Path, now: datetime) -> Path:
    source = Source(served, "stable", ("main",), ("amd64",))
    pins = freeze([source], keyring=key.keyring, cache=tmp_path / "elsewhere", now=now)
    path = tmp_path / "the.lock"
    Lock(created=datetime.now(UTC), archives=tuple(pins)).write(path)
    return path


def test_from_nothing_to_a_folder_and_care(served: str, archive: Any, key: Any, lock: Path, tmp_path: Path) -> None:
    store, folder = tmp_path / "store", tmp_path / "mirror"
    options = ["--lock", lock, "--store", store, "--keyring", key.keyring]
    (archive.folder / "pool/program_1.0_all.deb").rename(tmp_path / "away.deb")
    said = call("mirror", *options, "--to", folder, "program", status=1)
    assert "1 missing, 0 failed" in said
    assert f"missing: {served}/pool/program_1.0_all.deb" in said
    drop = tmp_path / "drop"
    drop.mkdir()
    (tmp_path / "away.deb").rename(drop / "by hand")
    report = json.loads(call("mirror", *options, "--to", folder, "--drop", drop, "--json", "program"))
    assert (report["complete"], report["from_drop"], report["fetched"]) == (True, 1, 0)
    (deb,) = folder.rglob("program*.deb")
    assert deb.read_bytes() == (drop / "by hand").read_bytes()

    call("store", "--store", store, "verify")
    kept = ["--keep", lock, "--keyring", key.keyring]
    assert call("store", "--store", store, "prune", "--max-size", "0", *kept).startswith("0 B freed")
    Blobs(store / "sha256").add(b"of another lock")
    assert len(call("store", "--store", store, "prune", "--max-size", "0", *kept).splitlines()) == 2
    other = tmp_path / "other"
    assert "files taken" in call("store", "--store", other, "pull", store / "sha256")
    assert {p.name for p in (other / "sha256").iterdir()} == {p.name for p in (store / "sha256").iterdir()}
    next((other / "sha256").iterdir()).write_bytes(b"x")
    assert "damaged" in call("store", "--store", other, "verify", status=1)
    call("store", "--store", other, "push", tmp_path / "third")
    assert len(list((tmp_path / "third").iterdir())) == len(list((other / "sha256").iterdir()))


def test_bad_calls(lock: Path, tmp_path: Path) -> None:
    call("mirror", "--lock", tmp_path / "none", status=2)
    call("mirror", "--lock", lock, "--store", tmp_path / "s", "--drop", tmp_path / "none", status=2)
    call("store", "--store", tmp_path / "s", "prune", "--max-size", "much", status=2)
    call("store", "--store", tmp_path / "s", "prune", "--max-size", "1", "--keep", tmp_path / "none", status=2)


def test_names_from_lists(tmp_path: Path) -> None:
    file = tmp_path / "my.list.chroot"
    file.write_text("# mine\ncurl  # and a word\n\nvim\n  git=1:2 x\n")
    assert names_of(("less", str(file), "curl")) == ("less", "curl", "vim", "git=1:2")
    with pytest.raises(ConfigError, match="one package's name a line"):
        names_of((str(tmp_path / "none"),))
