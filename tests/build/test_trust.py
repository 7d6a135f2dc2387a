"""The CA of a build: laid over the root's certificates for a step, and taken out of what the step made."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from image_builder.build.trust import BUNDLE, lay, seen, take_out
from image_builder.errors import PipelineError
from proxy.network.files import trusting

DER = b"certificate of one build, as long as one is" * 20
CA = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(DER) + b"-----END CERTIFICATE-----\n"
OWN = b"the image's own\n"


def layer(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_a_step_sees_the_roots_own_bundle_with_the_ca_added(tmp_path: Path) -> None:
    below = layer(tmp_path / "below", {str(BUNDLE): b"older\n"})
    above = layer(tmp_path / "above", {str(BUNDLE): OWN})
    os.utime(above / BUNDLE, (5, 5))
    (above / "chroot/etc/ssl").chmod(0o751)
    assert lay([below, above], tmp_path / "trust", CA, always=False)
    found = tmp_path / "trust" / BUNDLE
    assert found.read_bytes() == trusting(OWN, CA)
    assert found.stat().st_mtime == 5
    assert (tmp_path / "trust/chroot/etc/ssl").stat().st_mode & 0o777 == 0o751
    assert (above / BUNDLE).read_bytes() == OWN


@pytest.mark.parametrize("always", [False, True])
def test_a_root_without_certificates_gets_one_where_a_source_needs_it(tmp_path: Path, always: bool) -> None:
    below = layer(tmp_path / "below", {"chroot/etc/passwd": b""})
    assert lay([below], tmp_path / "trust", CA, always=always) is always
    assert (tmp_path / "trust" / BUNDLE).exists() is always


def test_what_a_higher_layer_has_is_seen(tmp_path: Path) -> None:
    below = layer(tmp_path / "below", {"a/b": b"1", "a/c": b"2"})
    above = layer(tmp_path / "above", {"a/b": b"3"})
    assert seen([below, above], Path("a/b")) == above / "a/b"
    assert seen([below, above], Path("a/c")) == below / "a/c"
    assert seen([below, above], Path("a/d")) is None


def test_the_ca_is_taken_out_of_a_bundle_changed_in_place(tmp_path: Path) -> None:
    diff = layer(tmp_path, {str(BUNDLE): trusting(OWN, CA) + b"added by a hook\n"})
    os.utime(diff / BUNDLE, (7, 7))
    take_out(diff, CA)
    assert (diff / BUNDLE).read_bytes() == OWN + b"added by a hook\n"
    assert (diff / BUNDLE).stat().st_mtime == 7


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("chroot/etc/ssl/certs/copy.pem", trusting(OWN, CA)),
        ("chroot/usr/local/share/ca-certificates/mine.crt", CA),
        ("chroot/etc/ssl/certs/java/cacerts", b"\xfe\xed\xfe\xed" + DER + b"\0"),
    ],
)
def test_a_copy_of_the_ca_fails_the_step(tmp_path: Path, name: str, data: bytes) -> None:
    with pytest.raises(PipelineError, match=name):
        take_out(layer(tmp_path, {name: data}), CA)


def test_other_certificates_stay(tmp_path: Path) -> None:
    diff = layer(tmp_path, {str(BUNDLE): OWN, "chroot/etc/ssl/certs/other.pem": CA.replace(CA[60:], CA[60:][::-1])})
    take_out(diff, CA)
    assert (diff / BUNDLE).read_bytes() == OWN
