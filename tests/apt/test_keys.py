"""Keys as key servers send them: the one that was meant, and nothing of what others have added to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_archive import Key

from image_builder.apt.keys import certificate, packets
from image_builder.errors import PipelineError


def gpg(home: Path, *words: str, data: bytes = b"") -> bytes:
    command = ["gpg", "--homedir", home, "--batch", "--quiet", "--yes", "--passphrase", "", *words]
    return subprocess.run(command, input=data, check=True, capture_output=True).stdout


def fingerprints(keyring: bytes, folder: Path) -> list[str]:
    """As GnuPG itself reads them."""
    (folder / "keyring").write_bytes(keyring)
    said = gpg(folder, "--show-keys", "--with-colons", str(folder / "keyring")).decode()
    return [line.split(":")[9] for line in said.splitlines() if line.startswith("fpr:")]


@pytest.mark.parametrize("armoured", [True, False], ids=["armoured", "binary"])
def test_the_key_that_was_meant_among_others(key: Key, stranger: Key, armoured: bool, tmp_path: Path) -> None:
    one, other = (k.armoured if armoured else k.keyring for k in (key, stranger))
    found = certificate(other.read_bytes() + one.read_bytes(), key.fingerprint, where="server")
    assert fingerprints(found, tmp_path) == [key.fingerprint]
    assert found == key.keyring.read_bytes(), "as its owner exported it"


def test_what_others_signed_on_it_is_left_out(key: Key, stranger: Key, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    secret = gpg(stranger.home, "--no-autostart", "--export-secret-keys")
    try:
        gpg(home, "--import", data=secret)
        gpg(home, "--import", data=key.keyring.read_bytes())
        gpg(home, "--quick-sign-key", key.fingerprint)
        sent = gpg(home, "--export", "--armor", key.fingerprint)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)
    found = certificate(sent, key.fingerprint, where="server")
    signatures = [p for p in packets(found, where="") if p.tag == 2]
    assert found == key.keyring.read_bytes()
    assert len(signatures) == 1, "its own, on its name"


def test_a_key_that_is_not_the_one(key: Key, stranger: Key) -> None:
    with pytest.raises(PipelineError, match=f"server: has no key {key.fingerprint}"):
        certificate(stranger.keyring.read_bytes(), key.fingerprint, where="server")


@given(st.binary(max_size=200))
def test_whatever_is_sent_is_read_or_refused(data: bytes) -> None:
    with pytest.raises(PipelineError):
        certificate(data, "00" * 20, where="server")


@given(data=st.data())
def test_a_damaged_key_is_read_or_refused(data: st.DataObject, key: Key) -> None:
    whole = key.keyring.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    try:
        found = certificate(broken, key.fingerprint, where="server")
    except PipelineError:
        return
    assert len(found) <= len(broken)
