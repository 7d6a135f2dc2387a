from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import local_archive
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.errors import PipelineError, SurroundingsError
from proxy.archive.release import Release, gpgv_signer, judge, parse_release, verify

A, B = "A" * 40, "B" * 40
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
TEXT = f"""\
Origin: Debian
Suite: stable
Codename: trixie
Date: Sat, 12 Sep 2026 07:55:41 UTC
Valid-Until: Sat, 19 Sep 2026 07:55:41 UTC
Acquire-By-Hash: yes
No-Support-for-Architecture-all: Packages
Architectures: all amd64 arm64
Components: main contrib
MD5Sum:
 {"0" * 32} 7 main/binary-amd64/Packages
SHA256:
 {"1" * 64} 7 main/binary-amd64/Packages
 {"2" * 64}       5 main/binary-amd64/Packages.xz
 {"3" * 64} 6 main/binary-amd64/Packages.gz
 {"4" * 64} 6 contrib/binary-amd64/Packages.gz
 {"5" * 64} 6 main/binary-all/Packages.xz
"""


def test_what_a_release_says() -> None:
    release = parse_release(TEXT, where="x")
    assert (release.codename, release.suite, release.by_hash) == ("trixie", "stable", True)
    assert release.date == datetime(2026, 9, 12, 7, 55, 41, tzinfo=UTC)
    assert release.valid_until == datetime(2026, 9, 19, 7, 55, 41, tzinfo=UTC)


def test_the_best_compression_of_each_index_is_taken() -> None:
    found = parse_release(TEXT, where="x").packages(["main", "contrib", "non-free"], ["amd64"])
    assert {name: (file.path, file.sha256[0], file.size_bytes) for name, file in found.items()} == {
        "main/binary-amd64/Packages": ("main/binary-amd64/Packages.xz", "2", 5),
        "contrib/binary-amd64/Packages": ("contrib/binary-amd64/Packages.gz", "4", 6),
    }


def test_packages_for_all_are_read_where_they_stand_apart() -> None:
    apart = parse_release(TEXT.replace("No-Support-for-Architecture-all: Packages\n", ""), where="x")
    assert "main/binary-all/Packages" in apart.packages(["main"], ["amd64"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("Suite: x\n", "without Date or SHA256", id="nothing to pin"),
        pytest.param("Date: yesterday\nSHA256:\n", "not a date: 'yesterday'", id="date"),
        pytest.param("Date: Sat, 12 Sep 2026 07:55:41 UTC\nSHA256:\n abc 1 x\n", "not a line of SHA256", id="hash"),
        pytest.param(
            f"Date: Sat, 12 Sep 2026 07:55:41 UTC\nSHA256:\n {'1' * 64} -1 x\n", "not a line of SHA256", id="size"
        ),
    ],
)
def test_releases_that_cannot_be_pinned(text: str, said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        parse_release(text, where="x")


@given(st.text())
def test_any_text_is_a_release_or_refused(text: str) -> None:
    with pytest.raises(PipelineError):
        parse_release("Date: " + text, where="x")


RELEASE = Release("trixie", "stable", NOW, NOW + timedelta(days=7), ("amd64",), False, True, {})


@pytest.mark.parametrize(
    ("release", "suite", "now", "said"),
    [
        pytest.param(RELEASE, "trixie", NOW, "", id="codename"),
        pytest.param(RELEASE, "stable", NOW, "", id="suite"),
        pytest.param(RELEASE, "sid", NOW, "this is stable or trixie, not sid", id="another suite"),
        pytest.param(replace(RELEASE, codename="", suite=""), "sid", NOW, "", id="says nothing of itself"),
        pytest.param(RELEASE, "./", NOW, "", id="no suite asked for"),
        pytest.param(RELEASE, "trixie/updates", NOW, "", id="as security was named up to buster"),
        pytest.param(RELEASE, "trixie", NOW - timedelta(hours=1), "in the future", id="clock behind"),
        pytest.param(RELEASE, "trixie", NOW - timedelta(minutes=9), "", id="clock a little behind"),
        pytest.param(RELEASE, "trixie", NOW + timedelta(days=8), "not valid since 2026-03-08", id="expired"),
        pytest.param(replace(RELEASE, valid_until=None), "trixie", NOW + timedelta(days=800), "", id="never expires"),
    ],
)
def test_judgement(release: Release, suite: str, now: datetime, said: str) -> None:
    if not said:
        judge(release, suite=suite, now=now, allow_expired=False, where="x")
        return
    with pytest.raises(PipelineError, match=said):
        judge(release, suite=suite, now=now, allow_expired=False, where="x")


def test_an_expired_release_can_be_wanted() -> None:
    judge(RELEASE, suite="trixie", now=NOW + timedelta(days=8), allow_expired=True, where="x")


def status(*lines: str) -> str:
    return "".join(f"[GNUPG:] {line}\n" for line in lines)


def valid(primary: str, digest: int = 10) -> str:
    return f"VALIDSIG {'C' * 40} 2026-03-01 1772366400 0 4 0 22 {digest} 01 {primary}"


@pytest.mark.parametrize(
    ("said", "signer"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param(status("NEWSIG", "GOODSIG C x", valid(A)), A, id="good"),
        pytest.param(
            status("NEWSIG", "GOODSIG C x", valid(B), "NEWSIG", "GOODSIG C x", valid(A)), A, id="first in order"
        ),
        pytest.param(
            status("NEWSIG", "ERRSIG C", "NO_PUBKEY C", "NEWSIG", "GOODSIG C x", valid(A)), A, id="one unknown"
        ),
        pytest.param(status("NEWSIG", "EXPKEYSIG C x", valid(A)), "", id="expired key"),
        pytest.param(status("NEWSIG", "REVKEYSIG C x", valid(A)), "", id="revoked key"),
        pytest.param(status("NEWSIG", "GOODSIG C x", valid(A), "NEWSIG", "BADSIG C x"), "", id="one is bad"),
        pytest.param(status("NEWSIG", "GOODSIG C x", valid(A, digest=2)), "", id="SHA-1"),
        pytest.param(status("NEWSIG", "GOODSIG C x", "NEWSIG", valid(A)), "", id="good belongs to another"),
        pytest.param(f"GOODSIG C x\n{valid(A)}\n", "", id="words of a user id, not of gpgv"),
    ],
)
def test_signer_in_the_status_of_gpgv(said: str, signer: str) -> None:
    assert gpgv_signer(said) == signer


@pytest.fixture(params=["gpgv", "sqv"])
def verifier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Each program apt may use, alone on PATH. A Debian machine has at least one; the other one's tests say so."""
    path = shutil.which(request.param)
    if path is None:
        other = shutil.which("sqv" if request.param == "gpgv" else "gpgv")
        assert other is not None, "install gpgv or sqv"
        path = other
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / Path(path).name).symlink_to(path)
    monkeypatch.setattr("proxy.archive.release.BASE_ENV", {"PATH": os.fspath(tools)})
    return Path(path).name


@pytest.mark.usefixtures("verifier")
def test_the_signed_text_and_nothing_else(key: Any, tmp_path: Path) -> None:
    signed = b"Suite: evil\n\n" + key.sign("Suite: good\n- dash\n") + b"Suite: evil\n"
    try:
        text, signer = verify(signed, [key.keyring], cache=tmp_path, where="x")
    except PipelineError:
        return  # refusing it is right as well
    assert text.rstrip("\n") == "Suite: good\n- dash"
    assert signer == key.fingerprint


@pytest.mark.usefixtures("verifier")
def test_keyrings_binary_armoured_several(key: Any, stranger: Any, tmp_path: Path) -> None:
    for keyrings in ([key.keyring], [key.armoured], [stranger.keyring, key.armoured]):
        text, signer = verify(key.sign("Suite: good\n"), keyrings, cache=tmp_path, where="x")
        assert (text.rstrip("\n"), signer) == ("Suite: good", key.fingerprint)


@pytest.mark.usefixtures("verifier")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: data.replace(b"good", b"evil"), id="text changed"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut off"),
        pytest.param(lambda _: b"Suite: good\n", id="not signed at all"),
        pytest.param(lambda _: b"", id="empty"),
    ],
)
def test_tampering_is_refused(change: Any, key: Any, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no good signature") as caught:
        verify(change(key.sign("Suite: good\n")), [key.keyring], cache=tmp_path, where="http://x/InRelease")
    assert "http://x/InRelease" in str(caught.value)


@pytest.mark.usefixtures("verifier")
def test_a_strangers_signature_is_refused(key: Any, stranger: Any, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no good signature"):
        verify(stranger.sign("Suite: good\n"), [key.keyring], cache=tmp_path, where="x")


@pytest.mark.usefixtures("verifier")
def test_no_keyring_at_all_trusts_nobody(key: Any, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no good signature"):
        verify(key.sign("Suite: good\n"), [], cache=tmp_path, where="x")


def test_a_missing_keyring_is_named(key: Any, tmp_path: Path) -> None:
    with pytest.raises(SurroundingsError, match="the keyring cannot be read") as caught:
        verify(key.sign("x\n"), [tmp_path / "none.gpg"], cache=tmp_path, where="x")
    assert "debian-archive-keyring" in str(caught.value)


def test_an_expired_key_signs_nothing(verifier: str, tmp_path: Path) -> None:
    old = local_archive.Key("Expired", expires="2021-01-01", at="20200101T000000")
    try:
        in_time = old.sign("Suite: good\n")
        old.live_on("20220101T000000")
        for signed in [old.sign("Suite: good\n"), *([in_time] if verifier == "gpgv" else [])]:
            with pytest.raises(PipelineError, match="no good signature"):
                verify(signed, [old.keyring], cache=tmp_path, where="x")
        if verifier == "sqv":  # judges a key by the time of the signature
            assert verify(in_time, [old.keyring], cache=tmp_path, where="x")[1] == old.fingerprint
    finally:
        old.close()


def test_machines_without_a_verifier_say_what_to_install(
    key: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("proxy.archive.release.BASE_ENV", {"PATH": "/nonexistent"})
    with pytest.raises(SurroundingsError, match="neither gpgv nor sqv") as caught:
        verify(key.sign("x\n"), [key.keyring], cache=tmp_path, where="x")
    assert "apt-get install gpgv" in str(caught.value)
