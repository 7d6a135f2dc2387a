from __future__ import annotations

from datetime import UTC, datetime

import pytest

from image_builder.errors import ConfigError
from proxy.archive.release import Release
from proxy.archive.services import Service, bases, parse

AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
UBUNTU = "https://snapshot.ubuntu.com/ubuntu/20260301T120000Z/"
DEBIAN = "https://snapshot.debian.org/archive/{}/20260301T120000Z/"


def release(**fields: str) -> Release:
    return Release("x", "x", AT, None, (), False, True, {}, **fields)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://archive.ubuntu.com/ubuntu", UBUNTU),
        ("http://de.archive.ubuntu.com/ubuntu", UBUNTU),
        ("https://security.ubuntu.com/ubuntu", UBUNTU),
        ("http://ports.ubuntu.com/ubuntu-ports", UBUNTU),
        ("http://deb.debian.org/debian", DEBIAN.format("debian")),
        ("http://deb.debian.org/debian-security", DEBIAN.format("debian-security")),
        ("http://security.debian.org/debian-security", DEBIAN.format("debian-security")),
        ("http://ftp.de.debian.org/debian", DEBIAN.format("debian")),
        (
            "https://ppa.launchpadcontent.net/team/name/ubuntu",
            "https://snapshot.ppa.launchpadcontent.net/team/name/ubuntu/20260301T120000Z/",
        ),
        ("http://archive.ubuntu.com.evil.example/ubuntu", None),
        ("http://apt.corp.example/debian", None),
        ("http://deb.debian.org/other", None),
    ],
)
def test_public_archives(uri: str, expected: str | None) -> None:
    assert bases(uri, AT, ()) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("text", "uri", "expected"),
    [
        pytest.param(
            "https://snap.corp/{archive}/{stamp}",
            "http://apt.corp/pub/debian",
            "https://snap.corp/debian/20260301T120000Z/",
            id="last part of the path",
        ),
        pytest.param(
            "http://snap.corp/{host}/{path}/{seconds}/",
            "http://apt.corp:81/pub/debian",
            "http://snap.corp/apt.corp:81/pub/debian/1772366400/",
            id="all of it, and seconds",
        ),
        pytest.param(
            "http://snap.corp/{path}/{stamp}/", "http://apt.corp", "http://snap.corp/20260301T120000Z/", id="no path"
        ),
        pytest.param(
            "http://apt.corp/pub=http://s/{stamp}", "http://apt.corp/pub/debian", "http://s/20260301T120000Z/", id="for"
        ),
        pytest.param("http://apt.corp/pub=http://s/{stamp}", "http://apt.corp/public", None, id="not by half a name"),
        pytest.param(
            "http://apt.corp/pub/=http://s/{stamp}", "http://apt.corp/pub", "http://s/20260301T120000Z/", id="/"
        ),
        pytest.param("http://a=http://s/{stamp}", "http://b/x", None, id="for somebody else"),
    ],
)
def test_configured_ones(text: str, uri: str, expected: str | None) -> None:
    assert parse(text).base(uri, AT) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("snapshots.corp/{stamp}", id="no scheme"),
        pytest.param("https://snapshots.corp/", id="no instant"),
        pytest.param("https://snapshots.corp/{stamp}/{suite}", id="unknown placeholder"),
        pytest.param("https://user:secret@snapshots.corp/{stamp}", id="a login"),
        pytest.param("gopher://snapshots.corp/{stamp}", id="scheme"),
    ],
)
def test_what_is_no_service(text: str) -> None:
    with pytest.raises(ConfigError, match="snapshot service"):
        parse(text)


def test_a_login_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("https://user:secret@snapshots.corp/{stamp}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(release(), [], id="says nothing"),
        pytest.param(release(snapshots="no"), [], id="has none"),
        pytest.param(
            release(snapshots="https://s.corp/a/@SNAPSHOTID@/"), ["https://s.corp/a/20260301T120000Z/"], id="names one"
        ),
        pytest.param(release(snapshots="file:///etc/@SNAPSHOTID@/"), [], id="which is a file of ours"),
        pytest.param(release(snapshots="https://s.corp/"), [], id="without an instant"),
        pytest.param(release(origin="Debian", label="Debian"), [DEBIAN.format("debian")], id="a mirror of Debian"),
        pytest.param(
            release(origin="Debian", label="Debian-Security"), [DEBIAN.format("debian-security")], id="of security"
        ),
        pytest.param(release(origin="Ubuntu", label="Ubuntu"), [UBUNTU], id="of Ubuntu"),
        pytest.param(release(origin="Corp", label="Debian"), [], id="somebody else's"),
    ],
)
def test_what_a_release_says_of_itself(said: Release, expected: list[str]) -> None:
    assert bases("http://mirror.corp/x", AT, (), said) == expected


def test_the_configured_one_comes_first_and_each_once() -> None:
    configured = [Service("http://s/{stamp}/"), Service("http://elsewhere/{stamp}/", prefix="http://other")]
    said = release(origin="Debian", label="Debian")
    assert bases("http://deb.debian.org/debian", AT, configured, said) == [
        "http://s/20260301T120000Z/",
        DEBIAN.format("debian"),
    ]
