from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.credentials import Login, find, known, parse, without_logins


def fits(machine: str, url: str) -> bool:
    return find(url, parse(f"machine {machine} login me password secret")) is not None


@pytest.mark.parametrize(
    ("machine", "fit"),
    [
        # the examples of apt_auth.conf(5), for https://example.org/debian
        ("example.org", True),
        ("example.org/deb", True),
        ("example.org/debian", True),
        ("example.org/debian/", True),
        ("example.org:443", False),
        ("example.org/deb/", False),
        ("example.org/ubuntu", False),
        ("example.orga", False),
        ("example.net", False),
        ("https://example.org", True),
        ("http://example.org", False),
        ("EXAMPLE.org", True),
    ],
)
def test_which_addresses_an_entry_is_for(machine: str, fit: bool) -> None:
    assert fits(machine, "https://example.org/debian/dists/x/InRelease") is fit


@pytest.mark.parametrize(
    ("machine", "url", "fit"),
    [
        pytest.param("example.org", "http://example.org/", False, id="nothing in the clear by oversight"),
        pytest.param("http://example.org", "http://example.org/", True, id="in the clear when asked for"),
        pytest.param("http://example.org", "https://example.org/", False, id="one protocol is not the other"),
        pytest.param("example.org:8443", "https://example.org:8443/x", True, id="port"),
        pytest.param("example.org:8443", "https://example.org:9443/x", False, id="another port"),
        pytest.param("example.org", "https://example.org:8443/x", True, id="no port is any port"),
        pytest.param("example.org", "https://sub.example.org/", False, id="below the name"),
        pytest.param("example.org", "https://example.org.evil/", False, id="before a name"),
        pytest.param("example.org", "https://evil/example.org", False, id="in a path"),
        pytest.param("example.org", "https://example.org@evil/", False, id="as a user"),
        pytest.param("[::1]:81/x", "https://[::1]:81/x/y", True, id="IPv6"),
    ],
)
def test_only_for_its_own(machine: str, url: str, fit: bool) -> None:
    assert fits(machine, url) is fit


@pytest.mark.parametrize(
    ("text", "logins"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("machine a login b password c", [("a", "b", "c")], id="one line"),
        pytest.param("machine a\n  login b\n\tpassword c\n", [("a", "b", "c")], id="several lines"),
        pytest.param("machine a password c login b", [("a", "b", "c")], id="any order"),
        pytest.param("machine a login b password c#d", [("a", "b", "c#d")], id="a sign in a password"),
        pytest.param("# machine x login y password z\nmachine a login b password c", [("a", "b", "c")], id="comment"),
        pytest.param("machine a login b\nmachine c login d password e", [("c", "d", "e")], id="no password"),
        pytest.param("machine a account z login b password c", [("a", "b", "c")], id="unknown words"),
        pytest.param("machine a login machine password login", [("a", "machine", "login")], id="words as values"),
        pytest.param("login b password c", [], id="for no machine"),
        pytest.param("machine a:x login b password c", [], id="no port"),
        pytest.param("machine a login b password", [], id="cut off"),
        pytest.param("machine", [], id="cut off sooner"),
    ],
)
def test_entries(text: str, logins: list[tuple[str, str, str]]) -> None:
    assert [(one.host, one.name, one.password) for one in parse(text)] == logins


@given(st.text(alphabet="machinelogpswrd :/[]#\n\t."))
def test_any_text_is_read(text: str) -> None:
    parse(text)


def test_the_first_entry_counts() -> None:
    logins = parse("machine a/x login 1 password 1 machine a login 2 password 2 machine a/y login 3 password 3")
    found = [find(f"https://a/{path}", logins) for path in ("x", "y")]
    assert [one.name for one in found if one] == ["1", "2"]


def test_where_entries_are_looked_for(tmp_path: Path) -> None:
    folder = tmp_path / "auth.conf.d"
    folder.mkdir()
    (folder / "b.conf").write_text("machine x login in-folder-b password p")
    (folder / "a.conf").write_text("machine x login in-folder-a password p")
    (folder / "a.conf.dpkg-old").write_text("machine x login old password p")
    file = tmp_path / "auth.conf"
    file.write_text("machine x login in-file password p")
    places = (file, folder, tmp_path / "nothing")
    environ = {"SNAPSHOT_PROXY_AUTH": "machine x login in-environment password p"}
    names = ["in-environment", "in-file", "in-folder-a", "in-folder-b"]
    assert [one.name for one in known(environ, places)] == names
    file.write_text("machine x login changed password p")
    os.utime(file, ns=(1, 1))
    assert known({}, places)[0].name == "changed"


def test_secrets_are_in_no_repr() -> None:
    assert "secret" not in repr(Login("https", "a", None, "", "me-secret", "secret"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a:b@c/d", "https://c/d"),
        ("https://a:b@d@c/d", "https://c/d"),
        ("deb http://x/y@z s", "deb http://x/y@z s"),
        ("deb [arch=amd64] https://a@c/ s m, https://e:f@g", "deb [arch=amd64] https://c/ s m, https://g"),
    ],
)
def test_addresses_as_they_may_be_shown(text: str, shown: str) -> None:
    assert without_logins(text) == shown
