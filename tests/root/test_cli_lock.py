"""image-builder lock, as a user calls it, against an archive of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import local_archive
import pytest
from archive_fixtures import NOW
from assertion_signer import Authority
from snap_store import SnapStore

from image_builder.config import BuildConfig
from image_builder.layers import Construction, Store
from image_builder.live_build.tool_root import recipe_key
from image_builder.lock import Lock
from image_builder.run import run

pytestmark = pytest.mark.root
COMMAND = Path(sys.executable).with_name("image-builder")
IN_TOOL_ROOT = (
    "/usr/bin/env",
    "/bin/sh",
    "/usr/bin/apt-get",
    "/usr/bin/apt-cache",
    "/usr/bin/dpkg",
    "/usr/lib/apt/methods/http",
)


def copy_with_libraries(programs: tuple[str, ...], root: Path) -> None:
    """A root in which these programs of the host run."""
    said = run(["ldd", *programs])
    libraries = {
        word for line in said.splitlines() for word in line.split() if word.startswith("/") and word[-1] != ":"
    }
    for file in sorted({*programs, *libraries}):
        target = root / file.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    shutil.copytree("/usr/share/dpkg", root / "usr/share/dpkg")  # which architectures there are
    for name in ("mnt", "tmp"):
        (root / name).mkdir()


class Folder:
    """A project, a store whose tool root has this machine's apt and no more, and the archive both know."""

    def __init__(self, top: Path, archive: local_archive.LocalArchive, address: str) -> None:
        self.archive, self.top = archive, top
        self.project, self.store = top / "project", top / "store"
        self.project.mkdir()
        self.lock = self.project / "image-builder.lock"
        settings = {
            "suite": "stable", "mirror": address, "security": False, "updates": False, "architecture": "amd64",
            "keyring": str(archive.key.keyring), "store": str(self.store),
        }  # fmt: skip
        (self.project / "image-builder.yaml").write_text(json.dumps(settings))
        with Store(self.store) as store, store.building(recipe_key(BuildConfig.model_validate(settings))) as place:
            assert isinstance(place, Construction)
            copy_with_libraries(IN_TOOL_ROOT, place.diff)
            place.commit({"name": "tool root", "packages_digest": "tools", "live_build": "1:20250505"})

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, "lock", *words], cwd=self.project, capture_output=True, text=True, check=False,
            env={**os.environ, "CI": "1"},
        )  # fmt: skip

    @property
    def inrelease_sha256(self) -> str:
        """Of the one the archive has now."""
        return sha256((self.archive.folder / "dists/stable/InRelease").read_bytes()).hexdigest()

    def done(self, *words: str) -> str:
        """Its standard output; fails unless the exit status is 0."""
        said = self.call(*words)
        assert said.returncode == 0, said.stderr
        return said.stdout


@pytest.fixture
def folder(archive: local_archive.LocalArchive, served: str, tmp_path: Path) -> Folder:
    archive.add("core", Essential="yes", Priority="required")
    archive.add("apt", architecture="amd64", Priority="required")
    archive.add("usr-is-merged")
    archive.publish(date=NOW)
    return Folder(tmp_path, archive, served)


def test_a_new_lock_pins_what_the_archive_has_now_and_says_so(folder: Folder, served: str) -> None:
    said = folder.done().splitlines()
    made = Lock.read(folder.lock)
    assert made is not None
    (pin,) = made.archives
    assert (pin.uri, pin.suite, pin.inrelease_sha256) == (served, "stable", folder.inrelease_sha256)
    assert pin.signer == folder.archive.key.fingerprint
    assert said[0].startswith(f"{folder.lock}: made now, ")
    assert said[1] == (
        f"  {served} stable  2026-03-01T12:00:00Z  {folder.inrelease_sha256[:16]}  by {folder.archive.key.fingerprint}"
    )
    assert made.tools["live-build"] == "1:20250505"
    assert [path.name for path in folder.project.iterdir()] == ["image-builder.lock", "image-builder.yaml"]


def test_a_lock_that_is_there_is_shown_until_an_update_is_asked_for(folder: Folder) -> None:
    folder.done()
    before, text = folder.inrelease_sha256, folder.lock.read_text()
    folder.archive.add("more")
    folder.archive.publish(date=NOW + timedelta(days=1))
    said = folder.done()
    assert f"{folder.lock}: as it was, " in said
    assert before[:16] in said
    assert folder.lock.read_text() == text
    said = folder.done("--update")
    assert f"{folder.lock}: made now, " in said
    assert folder.inrelease_sha256[:16] in said
    assert folder.inrelease_sha256 != before


def test_json_is_the_lock_and_nothing_else(folder: Folder) -> None:
    assert folder.done("--json", "--lock", "other.lock") == (folder.project / "other.lock").read_text()
    assert not folder.lock.exists()


def test_an_archive_signed_by_somebody_else_pins_nothing(folder: Folder, stranger: local_archive.Key) -> None:
    forged = local_archive.LocalArchive(folder.archive.folder, stranger)
    forged.publish(date=NOW)
    said = folder.call()
    assert (said.returncode, said.stdout) == (1, "")
    assert "no good signature" in said.stderr
    assert not folder.lock.exists()


def test_an_archive_that_does_not_answer_is_the_surroundings_fault(folder: Folder) -> None:
    settings = json.loads((folder.project / "image-builder.yaml").read_text())
    address, _, _ = settings["mirror"].rpartition(":")
    settings |= {"security_mirror": f"{address}:9/gone", "security": True, "store": str(folder.store)}
    (folder.project / "image-builder.yaml").write_text(json.dumps(settings))
    said = folder.call()
    assert (said.returncode, said.stdout) == (3, "")
    assert "127.0.0.1:9" in said.stderr
    assert not folder.lock.exists()


def test_a_lock_that_lacks_a_suite_the_build_needs_says_how_to_get_one(folder: Folder) -> None:
    folder.done()
    settings = json.loads((folder.project / "image-builder.yaml").read_text())
    (folder.project / "image-builder.yaml").write_text(json.dumps({**settings, "updates": True}))
    said = folder.call()
    assert said.returncode == 2
    assert "stable-updates" in said.stderr
    assert "--update" in said.stderr


@pytest.fixture
def with_snaps(
    folder: Folder, signed_store: SnapStore, snap_authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Folder:
    """The same project, which wants a snap of the test's own store."""
    (folder.project / "trust").write_bytes(snap_authority.trust)
    (folder.project / "model").write_bytes(snap_authority.model_file())
    settings = json.loads((folder.project / "image-builder.yaml").read_text())
    settings |= {"snaps": ["hello"], "snap_trust": "trust", "snap_model": "model"}
    (folder.project / "image-builder.yaml").write_text(json.dumps(settings))
    monkeypatch.setenv("UBUNTU_STORE_URL", signed_store.address)
    return folder


def test_snaps_stand_in_the_same_lock(with_snaps: Folder, signed_store: SnapStore) -> None:
    said = with_snaps.done()
    assert "snap hello 29  latest/stable" in said
    before = with_snaps.lock.read_text()
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    assert "snap hello 29  latest/stable" in with_snaps.done()
    assert with_snaps.lock.read_text() == before
    update = with_snaps.call("--update")
    assert "snaps:   hello: revision 29 \u2192 30" in update.stderr
    assert "snap hello 30  latest/stable" in update.stdout


def test_a_lock_of_snaps_alone_gets_its_archive(with_snaps: Folder, signed_store: SnapStore) -> None:
    with_snaps.done()
    made = Lock.read(with_snaps.lock)
    assert made is not None
    made.model_copy(update={"archives": (), "tools": {}}).write(with_snaps.lock)  # as `snap-tool lock` writes it
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    with_snaps.done()
    again = Lock.read(with_snaps.lock)
    assert again is not None
    assert [pin.inrelease_sha256 for pin in again.archives] == [with_snaps.inrelease_sha256]
    assert (again.snaps, again.snap_assertions) == (made.snaps, made.snap_assertions)
