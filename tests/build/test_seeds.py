"""The snaps of a build: what is asked for, the lock they stand in, the seed a step gets."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from assertion_signer import Authority
from snap_store import SnapStore, status

from image_builder.build.progress import Progress
from image_builder.build.seeds import Snaps, apparmor_of
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError, PipelineError
from image_builder.lock import Lock

EMPTY = Lock(created=datetime(2026, 1, 1, tzinfo=UTC))
Make = Callable[..., Snaps]


class Ground:
    """A project folder, and the snaps a configuration asks for in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lock, self.said = folder, folder / "image-builder.lock", io.StringIO()

    def snaps(self, *wishes: Any, **settings: Any) -> Snaps:
        config = BuildConfig(
            architecture="amd64", snaps=wishes, snap_trust=Path("trust"), snap_model=Path("model"), **settings
        )
        return Snaps(config, self.folder, self.folder / "downloads", Progress(stream=self.said))

    def pinned(self, *wishes: Any, update: bool = False, **settings: Any) -> tuple[Lock, bool]:
        lock, is_new = self.snaps(*wishes, **settings).pinned(self.lock, EMPTY, update=update)
        if is_new:
            lock.write(self.lock)
        return lock, is_new

    def revisions(self) -> dict[str, int]:
        lock = Lock.read(self.lock)
        assert lock is not None
        return {pin.name: pin.revision for pin in lock.snaps}


@pytest.fixture
def ground(
    signed_store: SnapStore, snap_authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Ground:
    monkeypatch.setenv("UBUNTU_STORE_URL", signed_store.address)
    (tmp_path / "trust").write_bytes(snap_authority.trust)
    (tmp_path / "model").write_bytes(snap_authority.model_file())
    return Ground(tmp_path)


def test_without_snaps_nothing_is_asked(ground: Ground, signed_store: SnapStore) -> None:
    assert ground.pinned() == (EMPTY, False)
    assert signed_store.asked == []


def test_configuration_and_environment_become_one_lock(ground: Ground) -> None:
    lock, is_new = ground.pinned("hello", {"name": "go", "channel": "1.22", "classic": True}, extra_snaps=("theme",))
    assert is_new
    assert [pin.name for pin in lock.snaps] == ["core22", "go", "hello", "snapd", "theme"]
    assert "snaps: + hello 29  latest/stable" in ground.said.getvalue()


def test_a_lock_that_is_there_counts(ground: Ground, signed_store: SnapStore) -> None:
    lock, _ = ground.pinned("hello", "theme")
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    before = len(signed_store.asked)
    assert ground.pinned("hello") == (lock, False)
    assert len(signed_store.asked) == before
    with pytest.raises(ConfigError, match="hello: snaps asks for latest/edge, the lock has latest/stable"):
        ground.pinned("hello=edge")
    with pytest.raises(ConfigError, match="make a new lock with --update"):
        ground.pinned("hello", "editor")


def test_an_update_with_the_same_snaps_changes_nothing(ground: Ground) -> None:
    lock, _ = ground.pinned("hello")
    again, _ = ground.pinned("hello", update=True)
    assert (again.snaps, again.snap_assertions) == (lock.snaps, lock.snap_assertions)


def test_an_update_says_what_changes(ground: Ground, signed_store: SnapStore) -> None:
    ground.pinned("hello")
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    ground.pinned("hello", update=True)
    assert "snaps:   hello: revision 29 → 30" in ground.said.getvalue()
    assert ground.revisions()["hello"] == 30


def test_an_update_makes_a_lock_that_cannot_be_read_anew(ground: Ground) -> None:
    ground.lock.write_text("{")
    with pytest.raises(ConfigError):
        ground.pinned("hello")
    ground.pinned("hello", update=True)
    assert ground.revisions() == {"core22": 22, "hello": 29, "snapd": 1}


def test_a_new_archive_keeps_the_snaps(ground: Ground) -> None:
    lock, _ = ground.pinned("hello")
    other = EMPTY.model_copy(update={"tools": {"live-build": "2"}})
    found, is_new = ground.snaps("hello").pinned(ground.lock, other, update=False)
    assert (found.tools, found.snaps, is_new) == ({"live-build": "2"}, lock.snaps, False)
    found, _ = ground.snaps().pinned(ground.lock, other, update=False)  # a project without snaps loses none
    assert found.snaps == lock.snaps


def test_a_cohort_key_of_the_environment(ground: Ground, signed_store: SnapStore) -> None:
    key = signed_store.cohort_key("hello")
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    lock, _ = ground.pinned("hello", cohort_key=key)
    assert ground.revisions()["hello"] == 29
    assert ground.snaps("hello", cohort_key=key).warnings(lock) == []
    (said,) = ground.snaps("hello", cohort_key="other").warnings(lock)
    assert "COHORT_KEY is another cohort than the lock's (core22, hello, snapd)" in said


def test_what_a_model_requires_is_pinned_too(ground: Ground, snap_authority: Authority) -> None:
    (ground.folder / "model").write_bytes(snap_authority.model_file(required_snaps=["theme"]))
    ground.pinned("hello")
    assert "theme" in ground.revisions()


def test_the_seed_of_a_step(ground: Ground, signed_store: SnapStore) -> None:
    lock, _ = ground.pinned("hello", "editor")
    snaps = ground.snaps("hello", "editor", target_snaps={"small": ("hello",)})
    seeding = snaps.seeding(lock, ["small", "large"])
    pins = seeding.taken(["all"], "small", "hook")
    assert pins is not None
    signed_store.fault(".", answer=status(500))  # all files are there
    snaps.write(pins, ground.folder / "stage/seed")
    assert sorted(p.name for p in (ground.folder / "stage/seed/snaps").iterdir()) == [
        "core22_22.snap", "hello_29.snap", "snapd_1.snap",
    ]  # fmt: skip
    text = "".join(p.read_text() for p in (ground.folder / "stage/seed/assertions").iterdir())
    assert "snap-name: hello" in text
    assert "snap-name: editor" not in text
    snaps.close()


def test_targets_share_a_key_unless_their_snaps_change(ground: Ground, signed_store: SnapStore) -> None:
    def keys() -> list[str]:
        lock = Lock.read(ground.lock)
        assert lock is not None
        seeding = ground.snaps("hello", "editor", target_snaps={"small": ("hello",)}).seeding(lock, ["small"])
        found = [seeding.taken(["all"], target, "hook") for target in ("small", "large")]
        return [seeding.digest(pins or ()) for pins in found]

    ground.pinned("hello", "editor")
    small, large = keys()
    signed_store.add_snap(4, {"name": "editor", "base": "core22"})
    ground.pinned("hello", "editor", update=True)
    assert keys()[0] == small
    assert keys()[1] != large


def test_files_are_fetched_when_they_are_gone(ground: Ground, signed_store: SnapStore) -> None:
    lock, _ = ground.pinned("hello")
    for path in (ground.folder / "downloads/sha3-384").iterdir():
        if path.is_file():
            path.unlink()
    snaps = ground.snaps("hello")
    assert snaps.want(lock.snaps).result() == sum(pin.size_bytes for pin in lock.snaps)
    snaps.close()
    signed_store.add_snap(29, {"name": "hello", "base": "core22"}, payload=b"other")
    (ground.folder / "downloads/sha3-384" / next(p.sha3_384 for p in lock.snaps if p.name == "hello")).unlink()
    snaps = ground.snaps("hello")
    with pytest.raises(PipelineError, match="another file for revision 29"):
        snaps.want(lock.snaps).result()
    snaps.close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target_snaps": {"a": ("absent",)}}, "a takes absent, which `snaps` does not have"),
        ({"target_snaps": {"typo": ("hello",)}}, "there is no target typo"),
        ({"extra_snaps": ("hello=edge",)}, "EXTRA_SNAPS for hello=latest/edge"),
    ],
)
def test_what_cannot_be_meant(ground: Ground, settings: dict[str, Any], said: str) -> None:
    lock, _ = ground.pinned("hello")
    with pytest.raises(ConfigError, match=said):
        ground.snaps("hello", **settings).seeding(lock, ["a"])


def test_what_snap_preseed_takes_from_a_host(tmp_path: Path) -> None:
    assert apparmor_of(tmp_path) == ""
    enabled = tmp_path / "sys/module/apparmor/parameters/enabled"
    enabled.parent.mkdir(parents=True)
    enabled.write_text("N\n")
    assert apparmor_of(tmp_path) == ""
    enabled.write_text("Y\n")
    features = tmp_path / "sys/kernel/security/apparmor/features/file"
    features.mkdir(parents=True)
    bare = apparmor_of(tmp_path)
    (features / "mask").write_text("create read\n")
    assert len({"", bare, apparmor_of(tmp_path)}) == 3
