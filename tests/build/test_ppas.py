"""EXTRA_PPAS: whose key it is, what apt is told, and what is not believed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from local_archive import Key
from pydantic import ValidationError
from ubuntu_archive import Launchpad, served

from image_builder.build import ppas
from image_builder.config import BuildConfig
from image_builder.errors import ConfigError, PipelineError, SurroundingsError
from image_builder.lock import ArchivePin, Lock
from proxy import http


@pytest.fixture
def launchpad(key: Key, tmp_path: Path) -> Launchpad:
    made = Launchpad(tmp_path)
    made.fingerprints["me/tools"] = key.fingerprint.lower()  # as people write them
    made.keys[key.fingerprint] = key.armoured.read_bytes()
    return made


@pytest.fixture
def address(launchpad: Launchpad, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(http, "PAUSE_S", 0.0)
    with served(launchpad) as found:
        yield found
    http.close_idle()


def config(address: str, *wanted: str, **more: Any) -> BuildConfig:
    servers = {"launchpad": f"{address}/devel", "keyserver": address, "ppa_mirror": f"{address}/ppa"}
    return BuildConfig(suite="noble", extra_ppas=wanted, **{**servers, **more})


def lock(uri: str, signer: str) -> Lock:
    pin = ArchivePin.model_validate({
        "uri": uri, "suite": "noble", "codename": "noble", "components": ["main"], "architectures": ["amd64"],
        "inrelease_sha256": "0" * 64, "date": datetime(2026, 1, 1, tzinfo=UTC), "signer": signer, "from": uri,
    })  # fmt: skip
    return Lock(created=datetime(2026, 1, 1, tzinfo=UTC), archives=(pin,))


def test_what_apt_is_told(address: str, launchpad: Launchpad, key: Key, tmp_path: Path) -> None:
    launchpad.fingerprints["team/ppa"] = key.fingerprint
    found = ppas.wanted(config(address, "me/tools:1001", "team/ppa:-1"), None, tmp_path)
    files = ppas.archives(found)
    for phase in ("chroot", "binary"):
        assert files[f"extra-ppas.list.{phase}"].decode() == (
            f"deb {address}/ppa/me/tools/ubuntu @DISTRIBUTION@ main\n"
            f"deb {address}/ppa/team/ppa/ubuntu @DISTRIBUTION@ main\n"
        )
        assert files[f"extra-ppas.pref.{phase}"].decode() == (
            "Package: *\nPin: release o=LP-PPA-me-tools\nPin-Priority: 1001\n\n"
            "Package: *\nPin: release o=LP-PPA-team\nPin-Priority: -1\n\n"
        )
        assert files[f"extra-ppas.key.{phase}"] == key.keyring.read_bytes() * 2


def test_without_a_priority_nothing_is_pinned(address: str, tmp_path: Path) -> None:
    files = ppas.archives(ppas.wanted(config(address, "me/tools"), None, tmp_path))
    assert [name for name in files if ".pref" in name] == []
    assert ppas.archives(()) == {}


def test_a_lock_knows_the_key_and_the_store_has_it(address: str, launchpad: Launchpad, tmp_path: Path) -> None:
    (one,) = ppas.wanted(config(address, "me/tools"), None, tmp_path)
    before = len(launchpad.asked)
    again = ppas.wanted(config(address, "me/tools"), lock(one.uri, one.fingerprint), tmp_path)
    assert again == (one,)
    assert launchpad.asked[before:] == [], "nobody was asked"


def test_with_the_lock_alone_only_the_key_server_is_asked(
    address: str, launchpad: Launchpad, key: Key, tmp_path: Path
) -> None:
    known = lock(f"{address}/ppa/me/tools/ubuntu", key.fingerprint)
    (one,) = ppas.wanted(config(address, "me/tools"), known, tmp_path / "fresh")
    assert one.key == key.keyring.read_bytes()
    assert [path.split("?")[0] for path in launchpad.asked] == ["/pks/lookup"]


def test_a_ppa_that_is_not_there(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"EXTRA_PPAS me/other: is not at Launchpad, or not public\n  hint: asked: "):
        ppas.wanted(config(address, "me/other"), None, tmp_path)


def test_a_ppa_without_a_key(address: str, launchpad: Launchpad, tmp_path: Path) -> None:
    launchpad.fingerprints["me/new"] = None
    with pytest.raises(ConfigError, match="EXTRA_PPAS me/new: has no key yet"):
        ppas.wanted(config(address, "me/new"), None, tmp_path)


def test_an_answer_that_is_no_fingerprint(address: str, launchpad: Launchpad, tmp_path: Path) -> None:
    launchpad.fingerprints["me/odd"] = "../../etc/passwd"
    with pytest.raises(PipelineError, match=r"'\.\./\.\./etc/passwd' is no fingerprint"):
        ppas.wanted(config(address, "me/odd"), None, tmp_path)


def test_a_key_server_that_sends_another_key(
    address: str, launchpad: Launchpad, key: Key, stranger: Key, tmp_path: Path
) -> None:
    launchpad.keys[key.fingerprint] = stranger.armoured.read_bytes()
    with pytest.raises(PipelineError, match=f"has no key {key.fingerprint}"):
        ppas.wanted(config(address, "me/tools"), None, tmp_path)
    assert not (tmp_path / "keys").exists()


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSE_S", 0.0)
    with pytest.raises(SurroundingsError, match=r"127\.0\.0\.1"):
        ppas.wanted(config("http://127.0.0.1:9", "me/tools"), None, tmp_path)


def test_an_archive_that_another_key_signs(address: str, key: Key, stranger: Key, tmp_path: Path) -> None:
    found = ppas.wanted(config(address, "me/tools"), None, tmp_path)
    ppas.check(found, lock(found[0].uri, key.fingerprint))
    with pytest.raises(PipelineError, match=f"is signed by {stranger.fingerprint}, and Launchpad says"):
        ppas.check(found, lock(found[0].uri, stranger.fingerprint))
    with pytest.raises(PipelineError, match="is signed by nobody"):
        ppas.check(found, lock("http://elsewhere", key.fingerprint))


@pytest.mark.parametrize("text", ["me", "me/", "/x", "Me/x", "me/x:high", "me/x/y", "../x", "me/x:1:2", "ppa:me/x"])
def test_what_is_no_ppa(text: str) -> None:
    with pytest.raises(ValidationError, match="is no PPA: OWNER/NAME, or OWNER/NAME:PRIORITY"):
        BuildConfig(extra_ppas=(text,))


@pytest.mark.parametrize("address", ["ftp://x", "https://me:secret@x", "x"])
def test_what_is_no_server(address: str) -> None:
    with pytest.raises(ValidationError, match="is not an address"):
        BuildConfig(launchpad=address)
