"""Seeds written: order, bytes, what is refused before anything appears."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml
from assertion_signer import Authority
from seed_parts import NOW, SeedParts, tree

from image_builder.errors import ConfigError, PipelineError
from snaps import model as models
from snaps import seed, seed_check
from snaps.assertions import trust
from snaps.assertions.refused import RefusedError
from snaps.seed import SeedSnap
from snaps.seed_yaml import SeedError

CONTENT = {"themes": {"interface": "content", "default-provider": "theme"}}


@pytest.fixture
def parts(tmp_path: Path, snap_authority: Authority) -> SeedParts:
    made = SeedParts(tmp_path / "parts", snap_authority)
    made.add("editor", 3, base="core22", plugs=CONTENT)
    made.add("go", 7, base="core22", confinement="classic")
    made.add("theme", 5, base="core22")
    made.add("core22", 22, type="base")
    made.add("snapd", 100, type="snapd")
    return made


def test_a_seed(parts: SeedParts, tmp_path: Path) -> None:
    made = parts.write(tmp_path / "seed")
    assert yaml.safe_load((tmp_path / "seed/seed.yaml").read_text())["snaps"] == [
        {"name": "snapd", "channel": "latest/stable", "file": "snapd_100.snap"},
        {"name": "core22", "channel": "latest/stable", "file": "core22_22.snap"},
        {"name": "theme", "channel": "latest/stable", "file": "theme_5.snap"},
        {"name": "editor", "channel": "latest/stable", "file": "editor_3.snap"},
        {"name": "go", "channel": "latest/stable", "file": "go_7.snap", "classic": True},
    ]
    assert made.notes == ()
    assert [snap.revision for snap in made.snaps] == [100, 22, 5, 3, 7]
    names = {path.name.rpartition(".")[2] for path in (tmp_path / "seed/assertions").iterdir()}
    assert names == {"model", "account", "account-key", "snap-declaration", "snap-revision"}
    assert seed_check.check(tmp_path / "seed", trust=parts.trust, now=NOW) == (made,)


def test_the_same_lock_gives_the_same_bytes(parts: SeedParts, tmp_path: Path) -> None:
    parts.write(tmp_path / "one")
    mask = os.umask(0o077)
    try:
        parts.texts.reverse()
        parts.write(tmp_path / "two", parts.snaps[::-1])
    finally:
        os.umask(mask)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_part_of_the_snaps_has_only_what_proves_them(parts: SeedParts, tmp_path: Path) -> None:
    some = [snap for snap in parts.snaps if snap.pin.name in ("snapd", "core22", "theme")]
    whole, part = parts.write(tmp_path / "one"), parts.write(tmp_path / "two", some)
    assert whole.assertions - part.assertions == 4  # a declaration and a revision for each of two snaps
    assert [snap.name for snap in part.snaps] == ["snapd", "core22", "theme"]


def test_generic_classic_is_the_model_of_the_public_store() -> None:
    given = models.choose(None, trust.canonical())
    assert str(given.assertion.ref) == "model/16/generic/generic-classic"
    assert given.proofs == ()


def test_an_empty_seed_with_generic_classic(tmp_path: Path) -> None:
    made = seed.write(tmp_path / "seed", [], [], model=models.choose(None, trust.canonical()), now=NOW)
    assert (made.model, made.snaps, made.assertions) == ("model/16/generic/generic-classic", (), 3)
    assert sorted(tree(tmp_path / "seed")) == [
        "assertions",
        "assertions/d-JcZF9nD9eBw7bwMnH61x-bklnQOhQud1Is6o_cn2wTj8EYDi9musrIT9z2MdAa.account-key",
        "assertions/generic.account",
        "assertions/model",
        "seed.yaml",
        "snaps",
    ]


def test_links_and_copies(parts: SeedParts, tmp_path: Path) -> None:
    parts.write(tmp_path / "linked", link=True)
    parts.write(tmp_path / "copied")
    file = parts.snaps[-1].file
    assert (tmp_path / "linked/snaps/snapd_100.snap").samefile(file)
    assert not (tmp_path / "copied/snaps/snapd_100.snap").samefile(file)


def refused(parts: SeedParts, folder: Path, error: type[PipelineError], reason: str) -> None:
    with pytest.raises(error, match=reason):
        parts.write(folder)
    assert not folder.exists()
    assert [path.name for path in folder.parent.iterdir()] == ["parts"]


def test_a_file_that_was_changed(parts: SeedParts, tmp_path: Path) -> None:
    data = bytearray(parts.snaps[0].file.read_bytes())
    data[-1] ^= 1
    parts.snaps[0].file.write_bytes(data)
    refused(parts, tmp_path / "seed", RefusedError, "says which snap the file is")


def test_a_file_of_another_revision(parts: SeedParts, tmp_path: Path) -> None:
    newer = parts.add("theme", 6, base="core22", summary="newer")
    parts.snaps.pop()
    parts.snaps[2] = SeedSnap(parts.snaps[2].pin, newer.file)
    refused(parts, tmp_path / "seed", RefusedError, "says which snap the file is")


def test_a_lock_that_calls_a_revision_otherwise(parts: SeedParts, tmp_path: Path) -> None:
    old = parts.snaps[2]
    parts.snaps[2] = SeedSnap(old.pin.model_copy(update={"revision": 6}), old.file)
    refused(parts, tmp_path / "seed", RefusedError, "revision 5 of theme .*; the lock pins revision 6")


def test_a_file_of_another_snap(parts: SeedParts, tmp_path: Path) -> None:
    parts.snaps[2] = SeedSnap(parts.snaps[2].pin, parts.snaps[0].file)
    refused(parts, tmp_path / "seed", RefusedError, "theme_5.snap is the snap editor, not theme")


def test_a_missing_base_and_provider(parts: SeedParts, tmp_path: Path) -> None:
    parts.snaps = [snap for snap in parts.snaps if snap.pin.name not in ("core22", "theme")]
    refused(parts, tmp_path / "seed", SeedError, "core22 is missing: .* base of editor\ntheme is missing: .* editor")


def test_no_snapd(parts: SeedParts, tmp_path: Path) -> None:
    parts.snaps.pop()
    refused(parts, tmp_path / "seed", SeedError, "snapd is missing")


def test_classic_that_was_not_allowed(parts: SeedParts, tmp_path: Path) -> None:
    parts.add("node", 1, classic=False, base="core22", confinement="classic")
    refused(parts, tmp_path / "seed", SeedError, "node has classic confinement")


def test_what_is_not_proved(parts: SeedParts, tmp_path: Path) -> None:
    parts.texts.pop()
    refused(parts, tmp_path / "seed", RefusedError, "^snap-revision/.*: is not there")


def test_a_place_that_is_taken(parts: SeedParts, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    parts.write(tmp_path / "empty")
    before = tree(tmp_path / "empty")
    with pytest.raises(ConfigError, match="there already"):
        parts.write(tmp_path / "empty")
    assert tree(tmp_path / "empty") == before
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="there already"):
        parts.write(tmp_path / "link")


def test_what_a_killed_process_left_is_cleared(parts: SeedParts, tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    for process in (dead.pid, os.getppid()):
        (tmp_path / f".seed.{process}.part/snaps").mkdir(parents=True)
    parts.write(tmp_path / "seed")
    assert not (tmp_path / f".seed.{dead.pid}.part").exists()
    assert (tmp_path / f".seed.{os.getppid()}.part").exists()  # its process lives


def test_models_of_devices_are_not_seeded(parts: SeedParts, tmp_path: Path, snap_authority: Authority) -> None:
    parts.model_file.write_bytes(snap_authority.model_file(classic=None, gadget="pc", kernel="pc-kernel"))
    refused(parts, tmp_path / "seed", ConfigError, "ubuntu-image")


def test_a_model_that_requires_a_snap(parts: SeedParts, tmp_path: Path, snap_authority: Authority) -> None:
    parts.model_file.write_bytes(snap_authority.model_file(**{"required-snaps": ["theme", "lxd"]}))
    refused(parts, tmp_path / "seed", SeedError, "lxd is missing: the model .* requires it")


def test_a_model_nobody_vouches_for(parts: SeedParts, tmp_path: Path, snap_authority: Authority) -> None:
    parts.model_file.write_bytes(snap_authority.model())
    refused(parts, tmp_path / "seed", RefusedError, "model/16/test-brand/test-classic: rests on account/test-brand")


def test_a_private_root_needs_a_model(parts: SeedParts) -> None:
    with pytest.raises(ConfigError, match="does not know generic-classic"):
        models.choose(None, parts.trust)


def test_the_model_may_stand_in_the_roots_file(snap_authority: Authority) -> None:
    text = b"\n".join((snap_authority.trust, snap_authority.model_file()))
    root = trust.from_text(text, where="own", now=NOW)
    assert str(models.choose(None, root).assertion.ref) == "model/16/test-brand/test-classic"


def test_snaps_that_need_each_other(parts: SeedParts, tmp_path: Path) -> None:
    parts.add("left", 1, base="core22", plugs={"x": {"interface": "content", "default-provider": "right"}})
    parts.add("right", 1, base="core22", plugs={"x": {"interface": "content", "default-provider": "left"}})
    made = parts.write(tmp_path / "seed")
    names = [snap.name for snap in made.snaps]
    assert names.index("right") < names.index("left")
    assert any("left" in note and "right" in note for note in made.notes)
