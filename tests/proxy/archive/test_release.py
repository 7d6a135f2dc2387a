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


GOOD = "Date: Sat, 12 Sep 2026 07:55:41 UTC\nSuite: x\nSHA256:\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("Date: Sat, 12 Sep 2026 07:55:41 UTC\nMD5Sum:\n 0 0 x\n", "without Date or SHA256", id="MD5 only"),
        pytest.param(GOOD + f" {'1' * 64} 1 a\n {'2' * 64} 1 a\n", "'a' twice, with different", id="path, two hashes"),
        pytest.param(GOOD + f" {'1' * 64} 1 a\n {'1' * 64} 2 a\n", "'a' twice, with different", id="path, two sizes"),
        pytest.param(GOOD + f" {'1' * 64} 1 a\nSHA256:\n {'2' * 64} 1 b\n", "field 'SHA256' twice", id="two lists"),
        pytest.param(GOOD + "suite: y\n", "field 'suite' twice", id="field twice, in other letters"),
        pytest.param(GOOD + "\nSuite: y\n", "more than one stanza", id="two stanzas"),
        pytest.param(GOOD + "no field\n", "not a field: 'no field'", id="a line that is none"),
        pytest.param(GOOD + f" {'1' * 64} ٣ a\n", "not a line of SHA256", id="other digits"),
        pytest.param(GOOD + f" {'1' * 64} 1 a b\n", "not a line of SHA256", id="a blank in a name"),
        pytest.param(GOOD + f" {'A' * 64} 1 a\n", "not a line of SHA256", id="capitals in a hash"),
        pytest.param("Date: Fri, 31 Dec 9999 23:59:59 -1200\nSHA256:\n", "not a date", id="after all time"),
    ],
)
def test_releases_that_could_be_read_in_two_ways(text: str, said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        parse_release(text, where="x")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TEXT.replace("\n", "\r\n"), id="carriage returns"),
        pytest.param("\n" + TEXT + "\n\n", id="empty lines around it"),
        pytest.param(TEXT.replace("UTC", "GMT"), id="GMT"),
        pytest.param(TEXT.replace("UTC", "+0000"), id="offset"),
        pytest.param(TEXT.replace("07:55:41 UTC", "09:55:41 +0200"), id="another zone"),
        pytest.param(TEXT.replace("Date:", "DATE:").replace("SHA256:", "sha256:"), id="other letters"),
        pytest.param(TEXT + f" {'5' * 64} 6 main/binary-all/Packages.xz\n", id="the same line twice"),
    ],
)
def test_the_same_release_written_in_another_way(text: str) -> None:
    assert parse_release(text, where="x") == parse_release(TEXT, where="x")


@pytest.mark.parametrize("sign", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_only_line_ends_end_lines(sign: str) -> None:
    """For apt this is one field with a strange value; for whoever splits lines at these signs, two."""
    release = parse_release(TEXT.replace("Suite: stable", f"Suite: stable{sign}Codename: evil"), where="x")
    assert release.codename == "trixie"
    assert release.suite != "stable"


def test_files_of_a_suite_with_sources() -> None:
    text = TEXT + f" {'6' * 64} 6 main/source/Sources.xz\n {'7' * 64} 6 main/source/Release\n"
    assert list(parse_release(text, where="x").sources(["main", "contrib"])) == ["main/source/Sources"]


names = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=10)
file_lists = st.dictionaries(names, st.tuples(st.integers(0, 16**64 - 1), st.integers(0, 10**17)), max_size=10)


@given(file_lists, st.sampled_from(["\n", "\r\n"]), st.randoms(use_true_random=False))
def test_what_is_written_is_read(files: dict[str, tuple[int, int]], end: str, random: Any) -> None:
    lines = [f" {sha256:064x} {size:>{random.randint(1, 20)}} {path}" for path, (sha256, size) in files.items()]
    lines += [random.choice(lines)] if lines else []
    text = end.join([*GOOD.splitlines(), *lines, ""])
    found = parse_release(text, where="x").files
    assert {path: (int(file.sha256, 16), file.size_bytes) for path, file in found.items()} == files


@given(st.text(), st.text())
def test_any_text_is_read_or_refused(fields: str, lines: str) -> None:
    try:
        release = parse_release(f"{fields}\n{GOOD}{lines}", where="x")
    except PipelineError:
        return
    assert release.date == datetime(2026, 9, 12, 7, 55, 41, tzinfo=UTC)
    assert all(len(file.sha256) == 64 and file.path == path for path, file in release.files.items())


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
        pytest.param(RELEASE, "trixie/updates", NOW, "", id="as security suites were called"),
        pytest.param(replace(RELEASE, codename="a/b"), "a/b", NOW, "", id="a name with a slash"),
        pytest.param(replace(RELEASE, codename="a/b"), "a/c", NOW, "this is a/b or stable", id="another with a slash"),
        pytest.param(RELEASE, "trixie", NOW + timedelta(days=7, seconds=-1), "", id="last second"),
        pytest.param(RELEASE, "trixie", NOW + timedelta(days=7), "not valid since", id="first second after"),
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


def inside(one: bytes, other: bytes) -> bytes:
    head, _, rest = one.partition(b"\n\n")
    return head + b"\n\n" + other + rest


@pytest.mark.usefixtures("verifier")
@pytest.mark.parametrize(
    "mixed",
    [
        pytest.param(lambda one, other: one + other, id="one after the other"),
        pytest.param(inside, id="one in the other"),
        pytest.param(lambda one, other: one.rpartition(b"-----BEGIN PGP SIG")[0] + other, id="the second one's end"),
        pytest.param(lambda one, _: b"Suite: evil\n" + one, id="text before"),
        pytest.param(lambda one, _: one + b"\nSuite: evil\n", id="text behind"),
        pytest.param(lambda one, _: one.replace(b"\nHash: ", b"\nSuite: evil\nHash: ", 1), id="text in the head"),
        pytest.param(lambda one, _: one.replace(b"\n- - dash", b"\n- dash", 1), id="a dash not escaped"),
    ],
)
@pytest.mark.parametrize("whose", ["the same key", "a stranger"])
def test_one_message_and_nothing_else(mixed: Any, whose: str, key: Any, stranger: Any, tmp_path: Path) -> None:
    """As apt will: a file that somebody could read in another way is refused, also where the signatures are good."""
    other = (key if whose == "the same key" else stranger).sign("Suite: other\n")
    signed = mixed(key.sign("Suite: good\n- dash\n"), other)
    with pytest.raises(PipelineError, match="no good signature"):
        verify(signed, [key.keyring], cache=tmp_path, where="x")


@pytest.mark.usefixtures("verifier")
def test_dashes_are_as_they_were_signed(key: Any, tmp_path: Path) -> None:
    text = "Suite: good\n- dash\n-----BEGIN PGP SIGNED MESSAGE-----\n\n-\n"
    assert b"\n- -----BEGIN" in key.sign(text)
    assert verify(key.sign(text), [key.keyring], cache=tmp_path, where="x")[0].rstrip("\n") == text.rstrip("\n")


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
