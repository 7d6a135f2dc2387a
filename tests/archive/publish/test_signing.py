from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import local_archive
import pytest
from published import DATE

from image_builder.archive.publish.signing import Signer
from image_builder.errors import ConfigError


def verified(text: str, signer: Signer, folder: Path) -> str:
    """What gpgv says of a signed text, with the signer's public key only."""
    (folder / "key.asc").write_text(signer.public_key)
    (folder / "text.asc").write_text(text)
    keyring = folder / "key.gpg"
    subprocess.run(["gpg", "--batch", "--yes", "--dearmor", "-o", keyring, folder / "key.asc"], check=True)
    done = subprocess.run(
        ["gpgv", "--keyring", keyring, folder / "text.asc"], check=True, capture_output=True, text=True
    )
    return done.stderr


def test_our_own_key_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    first = Signer.own(tmp_path / "keys", DATE)
    assert first.file is not None
    assert stat.S_IMODE(first.file.stat().st_mode) == 0o600
    assert Signer.own(tmp_path / "keys", DATE + 5).public_key == first.public_key
    assert "PRIVATE" not in first.public_key


def test_a_signature_is_good_and_the_same_each_time(signer: Signer, tmp_path: Path) -> None:
    text = signer.sign("Origin: a\n", DATE)
    assert "Good signature" in verified(text, signer, tmp_path)
    assert signer.sign("Origin: a\n", DATE) == text
    assert signer.sign("Origin: a\n", DATE + 1) != text


def test_a_date_before_the_key_was_made_is_signed_as_of_then(signer: Signer, tmp_path: Path) -> None:
    assert "Good signature" in verified(signer.sign("Origin: a\n", DATE - 100_000), signer, tmp_path)


def test_a_key_of_a_file_and_one_of_the_callers_keyring(
    key: local_archive.Key, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GNUPGHOME", os.fspath(key.home))
    words = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "", "--armor", "--export-secret-keys"]
    file = tmp_path / "secret.asc"
    file.write_bytes(subprocess.run(words, check=True, capture_output=True).stdout)
    by_file = Signer.chosen(str(file), tmp_path, DATE)
    by_name = Signer.chosen(key.fingerprint, tmp_path, DATE)
    assert by_file.file == file
    assert by_name.identity == key.fingerprint
    for signer in (by_file, by_name):
        assert "Good signature" in verified(signer.sign("Origin: a\n", 0), signer, tmp_path)
    assert by_file.public_key == by_name.public_key


def test_no_agent_and_no_home_stay(signer: Signer) -> None:
    def agents() -> list[str]:
        said = subprocess.run(
            ["pgrep", "-af", "gpg-agent.*image-builder-"], check=False, capture_output=True, text=True
        )
        return [line for line in said.stdout.splitlines() if f"/{os.getpid()}-" in line]

    signer.sign("Origin: a\n", DATE)
    for _ in range(100):  # it answers first, then it ends
        if not agents():
            break
        subprocess.run(["sleep", "0.05"], check=True)
    assert agents() == []


@pytest.mark.parametrize("word", ["nobody@nowhere.invalid", "/no/such/file"])
def test_a_key_that_is_not_there(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", os.fspath(home))
    with pytest.raises(ConfigError, match=r"no secret key|no such file"):
        Signer.chosen(word, tmp_path, DATE).sign("Origin: a\n", DATE)


def test_a_file_without_a_secret_key(signer: Signer, tmp_path: Path) -> None:
    (tmp_path / "public.asc").write_text(signer.public_key)
    with pytest.raises(ConfigError, match="no secret key"):
        Signer.chosen(str(tmp_path / "public.asc"), tmp_path, DATE).sign("Origin: a\n", DATE)
