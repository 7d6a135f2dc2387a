from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.archive.urls import Asked, ByHash, Refusal, by_hash, clean, normalise, quoted, split_uri


@pytest.mark.parametrize(
    ("scheme", "host", "port", "path", "expected"),
    [
        pytest.param("http", "deb.debian.org", 80, "/debian/dists/trixie/InRelease",
                     ("deb.debian.org", "/debian/dists/trixie/InRelease"), id="plain"),
        pytest.param("http", "DEB.Debian.ORG.", None, "/x", ("deb.debian.org", "/x"), id="a host's case and last dot"),
        pytest.param("https", "deb.debian.org", 443, "/x", ("deb.debian.org", "/x"), id="https has its own port"),
        pytest.param("http", "deb.debian.org", 443, "/x", ("deb.debian.org:443", "/x"), id="and http another"),
        pytest.param("http", "127.0.0.1:8081", None, "/x", ("127.0.0.1:8081", "/x"), id="port in the host"),
        pytest.param("http", "127.0.0.1:8081", 80, "/x", ("127.0.0.1:8081", "/x"), id="which tells more"),
        pytest.param("http", "h:80", None, "/x", ("h", "/x"), id="the scheme's own port in the host"),
        pytest.param("http", "[::1]:8081", None, "/x", ("[::1]:8081", "/x"), id="IPv6"),
        pytest.param("http", "[::1]", None, "/x", ("[::1]", "/x"), id="IPv6 without port"),
        pytest.param("http", "h", None, "//debian///x", ("h", "/debian/x"), id="slashes"),
        pytest.param("http", "h", None, "/debian/./x/.", ("h", "/debian/x/"), id="dots"),
        pytest.param("http", "h", None, "/%2e/debian/%2E/x", ("h", "/debian/x"), id="dots that are quoted"),
        pytest.param("http", "h", None, "/debian/dists/trixie/updates/InRelease",
                     ("h", "/debian/dists/trixie/updates/InRelease"), id="suite with slash"),
        pytest.param("http", "h", None, "/flat/./Packages.gz", ("h", "/flat/Packages.gz"), id="flat archive"),
        pytest.param("http", "h", None, "/pool/g%2b%2b_1%7e2.deb", ("h", "/pool/g++_1~2.deb"), id="quoted"),
        pytest.param("http", "h", None, "/pool/%C3%A9", ("h", "/pool/é"), id="UTF-8"),
        pytest.param("http", "h", None, "/x?", ("h", "/x"), id="empty query"),
        pytest.param("http", "h", None, "/", ("h", "/"), id="the top"),
    ],
)  # fmt: skip
def test_one_spelling(scheme: str, host: str, port: int | None, path: str, expected: tuple[str, str]) -> None:
    asked = normalise(scheme, host, port, path)
    assert isinstance(asked, Asked), asked
    assert (asked.host, asked.path) == expected


def test_names_with_percent_signs_of_their_own() -> None:
    asked = normalise("http", "h", None, "/pool/a_1%3a2.deb")
    assert isinstance(asked, Asked)
    assert (asked.path, asked.literal) == ("/pool/a_1:2.deb", "/pool/a_1%3a2.deb")


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("h", "/debian/../etc/passwd", 404),
        ("h", "/debian/%2e%2e/x", 404),
        ("h", "/debian/.%2E/x", 404),
        ("h", "/debian%2fx", 404),
        ("h", "/debian%2Fx", 404),
        ("h", "/a%00b", 404),
        ("h", "/a%0d%0ab", 404),
        ("h", "/a\\b", 404),
        ("h", "/a%5cb", 404),
        ("h", "/%ff", 404),
        ("h", "/x?y=1", 404),
        ("h", "/x#y", 404),
        ("h", "x", 404),
        ("h", "", 404),
        ("h", "*", 404),
        ("", "/x", 403),
        ("a b", "/x", 403),
        ("user@h", "/x", 403),
        ("h:port", "/x", 403),
        ("h:99999", "/x", 403),
        ("h/", "/x", 403),
        ("-h", "/x", 403),
        ("[::1", "/x", 403),
    ],
)
def test_refused(host: str, path: str, status: int) -> None:
    answer = normalise("http", host, None, path)
    assert isinstance(answer, Refusal)
    assert answer.status == status
    assert "\n" not in answer.reason and answer.reason


def test_a_query_that_comes_apart() -> None:
    assert isinstance(normalise("http", "h", None, "/x", "y=1"), Refusal)


@given(st.text(max_size=40), st.text(max_size=80))
def test_anything_is_answered(host: str, path: str) -> None:
    answer = normalise("http", host, None, path)
    if isinstance(answer, Asked):
        assert answer.path.startswith("/") and "//" not in answer.path
        assert not {".", ".."} & set(answer.path.split("/"))
        assert normalise("http", answer.host, None, quoted(answer.path)) == Asked(
            answer.host, answer.path, quoted(answer.path)
        )


names = st.text(
    st.characters(min_codepoint=33, blacklist_characters="/\\\x7f", blacklist_categories=["Cs"]), min_size=1
)


@given(st.lists(names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=5), st.data())
def test_every_spelling_of_a_path_is_that_path(parts: list[str], data: st.DataObject) -> None:
    plain = "/".join(parts)
    between = st.sampled_from(["/", "//", "/./", "/%2e/"])
    written = "".join(data.draw(between) + _written(part, data) for part in parts)
    asked = normalise("http", "h", None, written)
    assert isinstance(asked, Asked), asked
    assert asked.path == f"/{plain}"


def _written(part: str, data: st.DataObject) -> str:
    """Some signs quoted, in either case; those that have a meaning always."""
    return "".join(
        "".join(f"%{byte:02x}" if data.draw(st.booleans()) else f"%{byte:02X}" for byte in sign.encode())
        if sign in "%?#" or data.draw(st.booleans())
        else sign
        for sign in part
    )


H = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("dists/s/main/by-hash/SHA256/" + H, ByHash("dists/s/main/", "SHA256", H)),
        ("by-hash/SHA256/" + H, ByHash("", "SHA256", H)),
        ("dists/s/by-hash/SHA512/" + H * 2, ByHash("dists/s/", "SHA512", H * 2)),
        ("dists/s/by-hash/MD5Sum/" + H[:32], ByHash("dists/s/", "MD5Sum", H[:32])),
        ("dists/s/InRelease", None),
        ("dists/s/not-by-hash/SHA256/" + H, None),
    ],
)
def test_by_hash(path: str, expected: ByHash | None) -> None:
    assert by_hash(path) == expected


@pytest.mark.parametrize(
    "path",
    ["by-hash/SHA256/" + H[1:], "by-hash/SHA256/" + H + "0", "by-hash/SHA256/" + H.upper(), "by-hash/SHA3/" + H,
     "by-hash/SHA256/", "by-hash/", "by-hash/SHA512/" + H, "by-hash/SHA256/" + H + "/x", "by-hash/SHA256/" + "g" * 64],
)  # fmt: skip
def test_by_hash_names_of_no_file(path: str) -> None:
    assert isinstance(by_hash("dists/s/" + path), Refusal)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://deb.debian.org/debian", ("deb.debian.org", "/debian/")),
        ("https://ppa.example:8443//a/b/", ("ppa.example:8443", "/a/b/")),
        ("http://h", ("h", "/")),
        ("file:/srv/archive", ("", "/srv/archive/")),
        ("file:///srv/archive/", ("", "/srv/archive/")),
    ],
)
def test_archives_addresses(uri: str, expected: tuple[str, str]) -> None:
    assert split_uri(uri) == expected


def test_an_address_nobody_could_ask_for() -> None:
    with pytest.raises(ValueError, match="leads to a folder above"):
        split_uri("http://h/a/../b")


def test_a_path_of_an_index_stays_below() -> None:
    assert clean("./a//b") == "a/b"
    with pytest.raises(ValueError, match="above"):
        clean("a/../../b")
