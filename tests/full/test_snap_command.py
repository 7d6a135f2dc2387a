"""Debian's own snap command and ours, asked the same store for the same snaps."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from debian_snapd import snap_program
from snap_store import SnapStore

from snaps import proofs
from snaps.files import SnapFiles
from snaps.lock import resolve
from snaps.store.answers import Question
from snaps.store.client import StoreClient
from snaps.wishes import parse

pytestmark = pytest.mark.full


class Quiet:
    def begin(self, *_: Any) -> None: ...
    def got(self, *_: Any) -> None: ...
    def done(self, *_: Any) -> None: ...
    def say(self, text: str) -> None: ...


@pytest.fixture(scope="module")
def snap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snap command of Debian's package, unpacked beside the system."""
    return snap_program(tmp_path_factory.mktemp("snapd"))


def asked(snap: Path, store: SnapStore, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`snap download` with the store of the test; snapd's tools know it by two names, by version."""
    addresses = dict.fromkeys(("UBUNTU_STORE_URL", "SNAPPY_FORCE_API_URL", "SNAPPY_FORCE_SAS_URL"), store.address)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "UBUNTU_STORE_ARCH": "amd64", **addresses}
    command = [snap, "download", *words, f"--target-directory={folder}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_same_revisions_for_the_same_cohort(
    snap: Path, signed_store: SnapStore, store_client: StoreClient, tmp_path: Path
) -> None:
    key = store_client.cohorts(["hello"])["hello"]
    signed_store.add_snap(30, {"name": "hello", "base": "core22"}, payload=b"hello 30")
    assert signed_store.authority is not None
    (tmp_path / "trust").write_bytes(signed_store.authority.trust)
    now = datetime.now(UTC)
    trust = proofs.trusted(tmp_path / "trust", now)
    for number, cohort in ((29, key), (30, "+"), (30, "")):
        words = [f"--cohort={cohort}"] if cohort else ["--channel=stable"]
        theirs = asked(snap, signed_store, tmp_path, "hello", *words)
        made = resolve(
            [parse("hello")], store_client, SnapFiles(tmp_path / "files"), trust=trust, now=now, progress=Quiet(),
            cohort_key=cohort,
        )  # fmt: skip
        (ours,) = [pin for pin in made.pins if pin.name == "hello"]
        assert ours.revision == number
        file = tmp_path / f"hello_{number}.snap"
        assert file.read_bytes() == signed_store.revisions["hello", number].data, theirs.stderr
        file.unlink()
        # snapd's root of trust is built in: it comes as far as this store's own root, and rightly no further
        assert theirs.returncode == 1
        assert "cannot fetch snap signatures/assertions" in theirs.stderr


def test_both_ask_in_the_same_way(
    snap: Path, signed_store: SnapStore, store_client: StoreClient, tmp_path: Path
) -> None:
    asked(snap, signed_store, tmp_path, "hello", "--channel=edge", "--cohort=+")
    theirs = next(request for request in signed_store.asked if request.path == "/v2/snaps/refresh")
    store_client.offers([Question("hello", cohort="+")])
    ours = signed_store.asked[-1]
    assert set(ours.body) == set(theirs.body)
    assert set(ours.body["actions"][0]) == set(theirs.body["actions"][0])
    names = {name for name in theirs.headers if name.startswith("Snap-")}
    assert {name: ours.headers[name] for name in names} == {name: theirs.headers[name] for name in names}
    (tmp_path / "hello_29.snap").unlink()
