"""Seeds checked: found in a root, of both kinds, and everything that may be wrong with them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from assertion_signer import Authority
from seed_parts import NOW, SeedParts
from snap_store import make_snap, snap_id

from image_builder.errors import PipelineError
from snaps import seed_check
from snaps.assertions import trust
from snaps.assertions.refused import RefusedError
from snaps.seed import SeedSnap
from snaps.seed_snaps import sha3_384
from snaps.seed_yaml import SeedError


@pytest.fixture
def parts(tmp_path: Path, snap_authority: Authority) -> SeedParts:
    made = SeedParts(tmp_path / "parts", snap_authority)
    made.add("snapd", 100, type="snapd")
    made.add("core22", 22, type="base")
    made.add("hello", 3, base="core22")
    return made


@pytest.fixture
def seed(parts: SeedParts, tmp_path: Path) -> Path:
    parts.write(tmp_path / "root/var/lib/snapd/seed")
    return tmp_path / "root/var/lib/snapd/seed"


def test_found_in_a_root(seed: Path, tmp_path: Path) -> None:
    assert seed_check.locate(tmp_path / "root") == seed_check.locate(seed) == seed
    with pytest.raises(SeedError, match="holds no seed"):
        seed_check.locate(tmp_path)


def test_a_link_out_of_the_root(seed: Path, tmp_path: Path) -> None:
    (tmp_path / "other/var/lib/snapd").mkdir(parents=True)
    (tmp_path / "other/var/lib/snapd/seed").symlink_to(seed)
    with pytest.raises(SeedError, match="leads out of the root"):
        seed_check.locate(tmp_path / "other")


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(seed: Path) -> None:
        text = (seed / name).read_text()
        assert old in text
        (seed / name).write_text(text.replace(old, new, 1))

    return change


def one_byte_more(seed: Path) -> None:
    with (seed / "snaps/hello_3.snap").open("ab") as file:
        file.write(b"\0")


def swap(seed: Path) -> None:
    (seed / "snaps/hello_3.snap").rename(seed / "x")
    (seed / "snaps/core22_22.snap").rename(seed / "snaps/hello_3.snap")
    (seed / "x").rename(seed / "snaps/core22_22.snap")


def second_model(seed: Path) -> None:
    raw = (seed / "assertions/model").read_bytes()
    (seed / "assertions/another").write_bytes(raw.replace(b"model: test-classic", b"model: another"))


def a_link(seed: Path) -> None:
    shutil.move(seed / "snaps/hello_3.snap", seed.parent / "elsewhere")
    (seed / "snaps/hello_3.snap").symlink_to(seed.parent / "elsewhere")


FIRST = "- name: snapd\n"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(one_byte_more, "hello_3.snap: |says which snap", id="a byte more"),
        pytest.param(swap, "is the snap hello, not core22|is the snap core22, not hello", id="two files swapped"),
        pytest.param(second_model, "2 models", id="two models"),
        pytest.param(a_link, "no plain file", id="a link"),
        pytest.param(lambda seed: (seed / "assertions/model").unlink(), "0 models", id="no model"),
        pytest.param(lambda seed: (seed / "snaps/x_1.snap").touch(), "x_1.snap is not in the list", id="a file more"),
        pytest.param(lambda seed: (seed / "snaps/sub").mkdir(), "no plain file", id="a folder more"),
        pytest.param(lambda seed: (seed / "assertions/sub").mkdir(), "no plain file", id="a folder among assertions"),
        pytest.param(lambda seed: (seed / "snaps/hello_3.snap").unlink(), "hello_3.snap: cannot be", id="a file less"),
        pytest.param(lambda seed: os.mkfifo(seed / "assertions/x"), "no plain file", id="a pipe"),
        pytest.param(lambda seed: shutil.rmtree(seed / "assertions"), "assertions: cannot be read", id="no assertions"),
        pytest.param(lambda seed: (seed / "systems").mkdir(), "of one kind", id="both kinds"),
        pytest.param(lambda seed: (seed / "assertions/x").write_bytes(b"x"), "assertions/x: ", id="no assertion"),
        pytest.param(edit("seed.yaml", "name: hello", "name: hallo"), "is the snap hello, not hallo", id="name"),
        pytest.param(edit("seed.yaml", FIRST, f"{FIRST}  devmod: true\n"), "unknown key 'devmod'", id="unknown key"),
        pytest.param(edit("seed.yaml", FIRST, f"{FIRST}  unasserted: true\n"), "unasserted", id="unasserted"),
        pytest.param(edit("seed.yaml", FIRST, f"{FIRST}  classic: yep\n"), "classic is 'yep'", id="classic a text"),
        pytest.param(edit("seed.yaml", FIRST, f"{FIRST}  snap-id: {'q' * 32}\n"), "not qqq", id="another snap-id"),
        pytest.param(edit("seed.yaml", FIRST, f"{FIRST}  name: core22\n"), "key name twice", id="key twice"),
        pytest.param(edit("seed.yaml", "latest/stable", "22"), "channel is 22", id="channel a number"),
        pytest.param(edit("seed.yaml", "latest/stable", "a/b/c/d"), "is not a channel", id="no channel"),
        pytest.param(edit("seed.yaml", "hello_3.snap", "../hello_3.snap"), "no name of a file", id="path"),
        pytest.param(edit("seed.yaml", "hello_3.snap", "core22_22.snap"), "file core22_22.snap twice", id="file twice"),
        pytest.param(edit("seed.yaml", "snaps:", "snap:"), "exactly one key", id="no snaps"),
        pytest.param(edit("seed.yaml", "snaps:", "{["), "is no YAML", id="no YAML"),
        pytest.param(edit("seed.yaml", "latest/stable", "&a edge"), "sound", id="an anchor alone"),
    ],
)  # fmt: skip
def test_refused(parts: SeedParts, seed: Path, change: Callable[[Path], None], reason: str) -> None:
    change(seed)
    if reason == "sound":
        seed_check.check(seed, trust=parts.trust, now=NOW)
        return
    with pytest.raises(PipelineError, match=reason):
        seed_check.check(seed, trust=parts.trust, now=NOW)


def test_aliases(parts: SeedParts, seed: Path) -> None:
    (seed / "seed.yaml").write_text("snaps: [&a [x], *a]\n")
    with pytest.raises(SeedError, match="alias"):
        seed_check.check(seed, trust=parts.trust, now=NOW)


def test_every_assertion_counts(parts: SeedParts, seed: Path) -> None:
    for path in sorted((seed / "assertions").iterdir()):
        raw = path.read_bytes()
        path.write_bytes(raw.replace(b"-id: ", b"-id: x", 1))
        with pytest.raises(PipelineError):
            seed_check.check(seed, trust=parts.trust, now=NOW)
        path.unlink()
        with pytest.raises(PipelineError):
            seed_check.check(seed, trust=parts.trust, now=NOW)
        path.write_bytes(raw)
    seed_check.check(seed, trust=parts.trust, now=NOW)


def test_another_root_of_trust(seed: Path) -> None:
    with pytest.raises(RefusedError, match=r"no root of trust vouches|not known to be true"):
        seed_check.check(seed, trust=trust.canonical(), now=NOW)


def test_what_the_file_says_of_itself(tmp_path: Path, parts: SeedParts, snap_authority: Authority) -> None:
    """Signed as hello, but its snap.yaml says something else."""
    (seed_snap,) = [snap for snap in parts.snaps if snap.pin.name == "hello"]
    path = make_snap(tmp_path / "x", {"name": "mallory", "version": "1", "base": "core22"})
    data = path.read_bytes()
    seed_snap.file.write_bytes(data)
    parts.texts.append(snap_authority.snap_revision(sha3_384(path), len(data), snap_id("hello"), 3, "publisher"))
    pin = seed_snap.pin.model_copy(update={"sha3_384": sha3_384(path), "size_bytes": len(data)})
    parts.snaps[-1] = SeedSnap(pin, path)
    with pytest.raises(SeedError, match="calls itself mallory"):
        parts.write(tmp_path / "seed")


def test_order_is_noted(parts: SeedParts, seed: Path) -> None:
    entries = (seed / "seed.yaml").read_text().split("- ")
    (seed / "seed.yaml").write_text("- ".join([entries[0], *entries[:0:-1]]))
    (found,) = seed_check.check(seed, trust=parts.trust, now=NOW)
    assert [snap.name for snap in found.snaps] == ["hello", "core22", "snapd"]
    assert "core22, the base of hello, stands after it" in found.notes[0]


def test_a_name_that_tells_another_revision_is_noted(parts: SeedParts, seed: Path) -> None:
    (seed / "snaps/hello_3.snap").rename(seed / "snaps/hello_9.snap")
    edit("seed.yaml", "hello_3", "hello_9")(seed)
    (found,) = seed_check.check(seed, trust=parts.trust, now=NOW)
    assert found.snaps[-1].revision == 3
    assert found.notes == ("hello_9.snap is revision 3 of hello, whatever its file name says",)


def core_model(by: Authority, **more: object) -> bytes:
    listed = [
        {"name": "pc", "id": snap_id("pc"), "type": "gadget", "default-channel": "22/stable"},
        {"name": "pc-kernel", "id": snap_id("pc-kernel"), "type": "kernel", "default-channel": "22/stable"},
        {"name": "hello", "id": snap_id("hello"), "default-channel": "latest/edge"},
        {"name": "extra", "id": snap_id("extra"), "presence": "optional"},
    ]
    about = {"classic": None, "base": "core22", "architecture": "amd64", "grade": "signed", "snaps": listed, **more}
    return by.model("core", **about)


@pytest.fixture
def device(parts: SeedParts) -> SeedParts:
    parts.add("pc", 9, type="gadget", base="core22")
    parts.add("pc-kernel", 8, type="kernel")
    return parts


def test_a_system_of_ubuntu_core(device: SeedParts, snap_authority: Authority, tmp_path: Path) -> None:
    device.write_system(tmp_path / "core", core_model(snap_authority))
    (found,) = seed_check.check(tmp_path / "core", trust=device.trust, now=NOW)
    assert (found.label, found.model) == ("20260301", "model/16/test-brand/core")
    assert [(snap.name, snap.revision, snap.channel) for snap in found.snaps] == [
        ("snapd", 100, "latest/stable"), ("core22", 22, "latest/stable"), ("pc", 9, "22/stable"),
        ("pc-kernel", 8, "22/stable"), ("hello", 3, "latest/edge"),
    ]  # fmt: skip


def test_an_optional_snap_that_is_there(device: SeedParts, snap_authority: Authority, tmp_path: Path) -> None:
    device.add("extra", 2, base="core22")
    device.write_system(tmp_path / "core", core_model(snap_authority))
    (found,) = seed_check.check(tmp_path / "core", trust=device.trust, now=NOW)
    assert found.snaps[-1].name == "extra"


def two_revisions(parts: SeedParts) -> None:
    parts.add("hello", 4, base="core22", summary="newer")
    parts.snaps.pop()


@pytest.mark.parametrize(
    ("before", "model", "after", "reason"),
    [
        pytest.param(None, {}, "options.yaml", "has options.yaml", id="options"),
        pytest.param(None, {}, "snaps/x", "has snaps", id="unasserted snaps"),
        pytest.param(two_revisions, {}, None, "hello: 2 revisions", id="two revisions"),
        pytest.param(lambda parts: parts.snaps.pop(), {}, None, "pc-kernel_8.snap: cannot be read", id="no file"),
        pytest.param(None, {"base": "core24"}, None, "core24: neither", id="no base"),
        pytest.param(None, {"snaps": [{"name": "hello"}]}, None, "hello: neither", id="no snap-id"),
        pytest.param(None, {"snaps": None}, None, "does not list its snaps", id="no list"),
        pytest.param(None, {"snaps": [{"name": "a", "type": "odd"}]}, None, "not understood", id="odd type"),
        pytest.param(None, {"snaps": "a"}, None, "snaps is no list", id="a text"),
        pytest.param(None, {"classic": "maybe"}, None, "neither true nor false", id="classic"),
    ],
)
def test_systems_refused(
    device: SeedParts, snap_authority: Authority, tmp_path: Path, before: Callable[[SeedParts], object] | None,
    model: dict[str, object], after: str | None, reason: str,
) -> None:  # fmt: skip
    if before is not None:
        before(device)
    system = device.write_system(tmp_path / "core", core_model(snap_authority, **model))
    if after is not None:
        (system / after).parent.mkdir(exist_ok=True)
        (system / after).touch()
    with pytest.raises(PipelineError, match=reason):
        seed_check.check(tmp_path / "core", trust=device.trust, now=NOW)


def test_files_no_system_lists(device: SeedParts, snap_authority: Authority, tmp_path: Path) -> None:
    device.write_system(tmp_path / "core", core_model(snap_authority))
    (tmp_path / "core/snaps/odd_1.snap").touch()
    with pytest.raises(SeedError, match=r"odd_1.snap is not in the list"):
        seed_check.check(tmp_path / "core", trust=device.trust, now=NOW)


def test_labels(device: SeedParts, snap_authority: Authority, tmp_path: Path) -> None:
    device.write_system(tmp_path / "core", core_model(snap_authority), label="A_b")
    with pytest.raises(SeedError, match="no label"):
        seed_check.check(tmp_path / "core", trust=device.trust, now=NOW)
