"""`snap-tool seed` from a lock and a cache, without any store, and `snap-tool verify` of what it wrote."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from assertion_signer import Authority
from click.testing import CliRunner, Result
from seed_parts import SeedParts, tree

from image_builder.lock import Lock
from snaps.cli import cli


class Ground:
    """A folder with a lock, a cache that has its snaps, a root of trust and a model."""

    def __init__(self, folder: Path, by: Authority) -> None:
        self.folder = folder
        self.parts = parts = SeedParts(folder / "parts", by)
        parts.add("snapd", 100, type="snapd")
        parts.add("core22", 22, type="base")
        parts.add("hello", 3, base="core22")
        parts.add("editor", 4, base="core22")
        (folder / "cache").mkdir()
        for snap in parts.snaps:
            shutil.copy(snap.file, folder / "cache" / snap.pin.sha3_384)
        (folder / "trust").write_bytes(by.trust)
        pins = tuple(snap.pin for snap in parts.snaps)
        texts = tuple(text.decode() for text in parts.texts)
        self.lock = Lock(created=datetime(2026, 3, 1, tzinfo=UTC), snaps=pins, snap_assertions=texts)
        self.lock.write(folder / "lock")

    def __call__(self, *words: str | Path, ok: bool = True) -> Result:
        nobody = {"UBUNTU_STORE_URL": "http://127.0.0.1:9", "CI": "1"}
        found = CliRunner().invoke(cli, [str(word) for word in words], env=nobody)
        assert (found.exception is None) == ok, found.output
        return found

    def seed(self, name: str, *more: str | Path, ok: bool = True) -> Result:
        return self(
            "seed", self.folder / name, *more, "--lock", self.folder / "lock", "--cache", self.folder / "cache",
            "--trust", self.folder / "trust", "--model", self.parts.model_file, ok=ok,
        )  # fmt: skip

    def verify(self, folder: Path, *more: str | Path, ok: bool = True) -> Result:
        return self("verify", folder, "--trust", self.folder / "trust", *more, ok=ok)


@pytest.fixture
def ground(tmp_path: Path, snap_authority: Authority) -> Ground:
    return Ground(tmp_path, snap_authority)


def test_seeded_and_verified_offline(ground: Ground) -> None:
    said = ground.seed("root/var/lib/snapd/seed")
    assert said.stdout == ""
    assert "4 snaps, 13 assertions, model/16/test-brand/test-classic" in said.stderr
    found = ground.verify(ground.folder / "root")
    assert found.stdout == "snapd 100\ncore22 22\neditor 4\nhello 3\n"
    assert "sound" in found.stderr


def test_the_same_lock_gives_the_same_seed(ground: Ground) -> None:
    ground.seed("one")
    ground.seed("two", "--link")
    assert tree(ground.folder / "one") == tree(ground.folder / "two")
    assert (ground.folder / "two/snaps/snapd_100.snap").stat().st_nlink == 2


def test_a_part_of_the_snaps(ground: Ground) -> None:
    ground.seed("seed", "hello")
    found = json.loads(ground.verify(ground.folder / "seed", "--json").stdout)
    assert [snap["name"] for snap in found[0]["snaps"]] == ["snapd", "core22", "hello"]
    assert found[0]["snaps"][2]["revision"] == 3


def test_a_report_says_whether_it_was_preseeded(ground: Ground) -> None:
    root = ground.folder / "root"
    said = ground.seed("root/var/lib/snapd/seed", "--preseed", root, "--report", ground.folder / "report.json")
    assert "preseed: not done: the snapd of the root has no snap-preseed" in said.stderr
    report = json.loads((ground.folder / "report.json").read_text())
    assert report["preseed"]["done"] is False
    assert report["model"] == "model/16/test-brand/test-classic"
    assert len(report["snaps"]) == 4


def test_a_changed_cache_is_not_seeded(ground: Ground) -> None:
    path = ground.folder / "cache" / ground.lock.snaps[2].sha3_384
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    assert "says which snap the file is" in str(ground.seed("seed", ok=False).exception)
    assert not (ground.folder / "seed").exists()


def test_a_lock_without_its_assertions(ground: Ground) -> None:
    ground.lock.model_copy(update={"snap_assertions": ()}).write(ground.folder / "lock")
    assert "is not there" in str(ground.seed("seed", ok=False).exception)


def test_another_seed_is_refused(ground: Ground) -> None:
    ground.seed("seed")
    assert "no root of trust" in str(
        ground("verify", ground.folder / "seed", ok=False).exception
    ) or "not known" in str(ground("verify", ground.folder / "seed", ok=False).exception)


def test_at_a_time_before_the_keys(ground: Ground) -> None:
    ground.seed("seed")
    ground.verify(ground.folder / "seed", "--at", "2021-01-01T00:00:00Z")
    early = ground.verify(ground.folder / "seed", "--at", "2019-01-01", ok=False)
    assert "did not hold yet" in str(early.exception)
    assert "is no time" in ground.verify(ground.folder / "seed", "--at", "noon", ok=False).output


def test_the_very_model(ground: Ground, snap_authority: Authority) -> None:
    ground.seed("seed")
    ground.verify(ground.folder / "seed", "--model", ground.parts.model_file)
    other = ground.folder / "other-model"
    other.write_bytes(snap_authority.model_file(name="other"))
    assert "not model/16/test-brand/other" in str(
        ground.verify(ground.folder / "seed", "--model", other, ok=False).exception
    )


def test_no_seed(ground: Ground) -> None:
    assert "holds no seed" in str(ground.verify(ground.folder / "cache", ok=False).exception)
