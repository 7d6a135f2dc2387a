"""Debian's snapd and this program agree about seeds: `snap debug validate-seed`, which needs no running snapd.

It trusts Canonical alone, so it cannot be shown snaps that are signed by a test. It can be shown the model chain of
Canonical itself, and snaps that nothing is said of (`unasserted`), which it then checks for all but their signatures.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from assertion_signer import Authority
from debian_snapd import snap_program
from seed_parts import NOW, SeedParts

from image_builder.errors import PipelineError
from snaps import model as models
from snaps import seed, seed_check
from snaps.assertions import trust

pytestmark = pytest.mark.full

CONTENT = {"themes": {"interface": "content", "default-provider": "theme", "target": "$SNAP/t", "content": "t"}}


@pytest.fixture(scope="module")
def snap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return snap_program(tmp_path_factory.mktemp("snapd"))


@pytest.fixture
def parts(tmp_path: Path, snap_authority: Authority) -> SeedParts:
    made = SeedParts(tmp_path / "parts", snap_authority)
    made.add("snapd", 100, type="snapd")
    made.add("core22", 22, type="base")
    made.add("theme", 5, base="core22", slots={"t": {"interface": "content", "content": "t", "read": ["$SNAP"]}})
    made.add("editor", 3, base="core22", plugs=CONTENT)
    return made


def verdict(snap: Path, folder: Path) -> str:
    """What Debian's snapd says against a seed; "" for a good one."""
    done = subprocess.run(
        [snap, "debug", "validate-seed", folder / "seed.yaml"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode == 0) == (done.stderr == ""), done
    return done.stderr


def generic(folder: Path) -> Path:
    """A seed with Canonical's own model, and no snaps yet."""
    seed.write(folder, [], [], model=models.choose(None, trust.canonical()), now=NOW)
    return folder


def unasserted(parts: SeedParts, folder: Path) -> Path:
    """The seed of these parts with Canonical's model and unsigned snaps, in the same order."""
    parts.write(folder.with_name("signed"))
    entries: list[dict[str, Any]] = yaml.safe_load((folder.with_name("signed") / "seed.yaml").read_text())["snaps"]
    generic(folder)
    for path in sorted((folder.with_name("signed") / "snaps").iterdir()):
        path.rename(folder / "snaps" / path.name)
    (folder / "seed.yaml").write_text(yaml.safe_dump({"snaps": [{**e, "unasserted": True} for e in entries]}))
    return folder


def test_the_chain_of_the_generic_model_is_accepted(snap: Path, tmp_path: Path) -> None:
    assert verdict(snap, generic(tmp_path / "seed")) == ""


def test_its_order_names_and_channels_are_accepted(snap: Path, tmp_path: Path, parts: SeedParts) -> None:
    assert verdict(snap, unasserted(parts, tmp_path / "seed")) == ""


def test_a_root_it_does_not_know_is_refused(snap: Path, tmp_path: Path, parts: SeedParts) -> None:
    parts.write(tmp_path / "seed")
    assert "test-root" in verdict(snap, tmp_path / "seed")


@pytest.mark.parametrize("gone", ["snapd", "core22", "theme"])
def test_both_miss_a_snap(snap: Path, tmp_path: Path, parts: SeedParts, gone: str) -> None:
    unasserted(parts, tmp_path / "seed")
    entries = yaml.safe_load((tmp_path / "seed/seed.yaml").read_text())["snaps"]
    (tmp_path / "seed/seed.yaml").write_text(yaml.safe_dump({"snaps": [e for e in entries if e["name"] != gone]}))
    assert gone in verdict(snap, tmp_path / "seed")
    parts.snaps = [one for one in parts.snaps if one.pin.name != gone]
    with pytest.raises(PipelineError, match=f"{gone} is missing"):
        parts.write(tmp_path / "again")


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda raw: flipped(raw, raw.index(b"timestamp") + 14), id="headers"),
        pytest.param(lambda raw: flipped(raw, len(raw) - 40), id="signature"),
        pytest.param(lambda raw: raw.replace(b"series: 16", b"series: 17"), id="series"),
        pytest.param(lambda raw: raw.replace(b"classic: true\n", b""), id="a header less"),
    ],
)
def test_both_refuse_a_changed_model(snap: Path, tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = generic(tmp_path / "seed") / "assertions/model"
    raw = path.read_bytes()
    assert change(raw) != raw
    path.write_bytes(change(raw))
    assert verdict(snap, tmp_path / "seed") != ""
    with pytest.raises(PipelineError):
        seed_check.check(tmp_path / "seed", trust=trust.canonical(), now=NOW)


@pytest.mark.parametrize("name", ["generic.account", "*.account-key"])
def test_both_refuse_a_chain_that_is_cut(snap: Path, tmp_path: Path, name: str) -> None:
    (path,) = (generic(tmp_path / "seed") / "assertions").glob(name)
    path.unlink()
    assert "cannot resolve prerequisite" in verdict(snap, tmp_path / "seed")
