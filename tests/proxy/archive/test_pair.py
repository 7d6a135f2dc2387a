"""Release and Release.gpg derived of an InRelease, believed by gpgv and by a real apt."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.errors import PipelineError
from proxy.archive.freeze import blobs, freeze, thaw
from proxy.archive.pair import derive, verified
from proxy.archive.release import verify_detached
from proxy.archive.sources import Source

HEAD, TAIL = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n", b"-----BEGIN PGP SIGNATURE-----\nx\n"
END = b"-----END PGP SIGNATURE-----\n"


def test_the_same_signature_is_good_for_the_pair(key: Any, stranger: Any, tmp_path: Path) -> None:
    text = "Suite: good\n- dash\n-----BEGIN x\n\nlast: line\n"
    pair = verified(key.sign(text), [key.keyring], cache=tmp_path, where="x")
    assert pair is not None
    assert pair[0].decode() == text.removesuffix("\n")
    assert verify_detached(*pair, [key.keyring], cache=tmp_path, where="x") == key.fingerprint
    with pytest.raises(PipelineError, match="no good signature"):
        verify_detached(pair[0] + b"\nSuite: evil", pair[1], [key.keyring], cache=tmp_path, where="x")
    assert verified(key.sign(text), [stranger.keyring], cache=tmp_path, where="x") is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"Suite: x\n", id="not signed"),
        pytest.param(b"Suite: evil\n" + HEAD + b"Suite: x\n" + TAIL + END, id="text before it"),
        pytest.param(HEAD + b"Suite: x\n" + TAIL + END + b"Suite: evil\n", id="text behind it"),
        pytest.param(HEAD + b"Suite: x\n" + TAIL, id="no end"),
        pytest.param((HEAD + b"Suite: x\n" + TAIL + END) * 2, id="two messages"),
        pytest.param(HEAD + b"-----evil\n" + TAIL + END, id="a dash that is not escaped"),
        pytest.param(HEAD + b"Suite: x \n" + TAIL + END, id="a blank that is not signed"),
    ],
)
def test_what_has_no_pair(data: bytes) -> None:
    assert derive(data) is None


@given(st.binary(), st.binary())
def test_any_bytes_have_a_pair_or_none(text: bytes, signature: bytes) -> None:
    pair = derive(HEAD + text + b"\n-----BEGIN PGP SIGNATURE-----\n" + signature + b"\n-----END PGP SIGNATURE-----\n")
    assert pair is None or b"\n-----BEGIN PGP" not in pair[0]


def test_pins_name_it(served: str, key: Any, now: datetime, tmp_path: Path) -> None:
    source = Source(served, "stable", ("main",), ("amd64",))
    (pin,) = freeze([source], keyring=key.keyring, cache=tmp_path / "a", now=now)
    assert pin.release_sha256 and pin.release_gpg_sha256
    thaw([pin], [source], keyring=key.keyring, cache=tmp_path / "b")
    store = blobs(tmp_path / "b")
    parts = store.read(pin.release_sha256), store.read(pin.release_gpg_sha256)
    assert verify_detached(*parts, [key.keyring], cache=tmp_path, where="x") == key.fingerprint


def test_apt_believes_it(served: str, archive: Any, key: Any, tmp_path: Path) -> None:
    folder = archive.folder / "dists/stable"
    pair = derive((folder / "InRelease").read_bytes())
    assert pair is not None
    (folder / "InRelease").unlink()
    (folder / "Release").write_bytes(pair[0])
    (folder / "Release.gpg").write_bytes(pair[1])
    for name in ("lists/partial", "cache/archives/partial", "etc"):
        (tmp_path / "apt" / name).mkdir(parents=True)
    (tmp_path / "apt/status").touch()
    (tmp_path / "apt/sources.list").write_text(f"deb [arch=amd64 signed-by={key.keyring}] {served} stable main\n")
    options = {
        "Dir::Etc": tmp_path / "apt/etc",
        "Dir::Etc::sourcelist": tmp_path / "apt/sources.list",
        "Dir::State": tmp_path / "apt",
        "Dir::State::status": tmp_path / "apt/status",
        "Dir::Cache": tmp_path / "apt/cache",
        "APT::Sandbox::User": "root",
        "APT::Architecture": "amd64",
        "Acquire::Check-Date": "false",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    subprocess.run(["apt-get", *words, "--error-on=any", "update"], check=True, capture_output=True)
    said = subprocess.run(["apt-cache", *words, "policy", "program"], check=True, capture_output=True, text=True).stdout
    assert "Candidate: 1.0" in said
