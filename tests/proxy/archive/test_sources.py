from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.errors import ConfigError
from proxy.archive.sources import Source, debian, merged, parse

KEYS = (Path("/keys.gpg"),)


def parsed(text: str, name: str = "config/archives/x.list.chroot") -> list[Source]:
    return parse(text, where=name, architecture="amd64", keyrings=KEYS)


def test_a_stable_suite_has_updates_and_security() -> None:
    sources = debian("trixie", "amd64", components=["main", "contrib"])
    assert [source.top for source in sources] == [
        "http://deb.debian.org/debian/dists/trixie/",
        "http://deb.debian.org/debian/dists/trixie-updates/",
        "http://deb.debian.org/debian-security/dists/trixie-security/",
    ]
    assert sources[0].line() == "deb [arch=amd64] http://deb.debian.org/debian trixie main contrib"


@pytest.mark.parametrize("suite", ["sid", "unstable", "experimental"])
def test_a_rolling_suite_stands_alone(suite: str) -> None:
    assert [source.suite for source in debian(suite, "amd64")] == [suite]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="empty"),
        pytest.param("# deb http://x y main\n\n", [], id="comment"),
        pytest.param("deb-src http://x trixie main\n", [], id="sources are no packages"),
        pytest.param(
            "deb http://x/debian/ trixie main contrib # why\n",
            [Source("http://x/debian", "trixie", ("main", "contrib"), ("amd64",), KEYS)],
            id="plain",
        ),
        pytest.param(
            "deb [ arch=amd64,i386 trusted=yes ] http://x ./\n",
            [Source("http://x", "./", (), ("amd64", "i386"), KEYS, trusted=True)],
            id="flat and trusted",
        ),
        pytest.param(
            "deb [signed-by=/a.gpg,/b.asc] https://x s main\r\n",
            [Source("https://x", "s", ("main",), ("amd64",), (Path("/a.gpg"), Path("/b.asc")))],
            id="own keys, carriage return",
        ),
    ],
)
def test_one_line_format(text: str, expected: list[Source]) -> None:
    assert parsed(text) == expected


def test_deb822_format() -> None:
    text = """\
# ours
Types: deb deb-src
URIs: http://x
 http://y/
Suites: trixie trixie-updates
Components: main
Signed-By: /k.gpg

Types: deb
Enabled: no
URIs: http://off
Suites: trixie
Components: main

Types: deb
URIs: file:/srv/flat
Suites: ./
Architectures: arm64
Trusted: yes
"""
    key = (Path("/k.gpg"),)
    assert parsed(text, "x.sources.chroot") == [
        *(
            Source(uri, suite, ("main",), ("amd64",), key)
            for uri in ("http://x", "http://y")
            for suite in ("trixie", "trixie-updates")
        ),
        Source("file:/srv/flat", "./", (), ("arm64",), KEYS, trusted=True),
    ]


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        pytest.param("deb http://x trixie main\ndeb trixie\n", "x.list", "line 2: not a source", id="words missing"),
        pytest.param("deb ftp://x trixie main\n", "x.list", "line 1: 'ftp://x' is not an address", id="scheme"),
        pytest.param("deb http://x trixie\n", "x.list", "'trixie' needs a component", id="no component"),
        pytest.param("deb http://x ./ main\n", "x.list", "'./' needs no components", id="flat with component"),
        pytest.param("\nTypes: deb\nURIs: http://x\n", "x.sources", "line 2: no Suites", id="field missing"),
        pytest.param("Types: deb\nwhat\n", "x.sources", "line 2: not a field", id="no field"),
    ],
)
def test_errors_name_file_and_line(text: str, name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(text, name)
    assert said in str(caught.value)
    assert str(caught.value).startswith(name)


@given(
    st.text(alphabet=st.sampled_from(list("deb [arch=]http://x./ \t\r\n#:TypesURIsSuites-\x00é"))),
    st.sampled_from(["a.list", "a.sources"]),
)
def test_any_text_is_read_or_refused(text: str, name: str) -> None:
    try:
        found = parsed(text, name)
    except ConfigError:
        return
    assert all(source.uri and source.suite for source in found)


def test_lines_about_one_suite_are_one_source() -> None:
    one = Source("http://x", "s", ("main",), ("amd64",), KEYS)
    other = Source("http://x", "s", ("main", "contrib"), ("arm64",), (Path("/o"),))
    assert merged([one, other, Source("http://x", "t", ("main",), ("amd64",))]) == [
        Source("http://x", "s", ("main", "contrib"), ("amd64", "arm64"), (*KEYS, Path("/o"))),
        Source("http://x", "t", ("main",), ("amd64",)),
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("deb http://a b main\ndeb https://me:secret@x s main\n", "a.list", id="one line"),
        pytest.param("Types: deb\nURIs: https://me:secret@x\nSuites: s\nComponents: main\n", "a.sources", id="deb822"),
        pytest.param("deb https://me:secret@x\n", "a.list", id="not even a source"),
        pytest.param("https://me:secret@x\n  y\n", "a.sources", id="not even a field"),
    ],
)
def test_logins_in_addresses_are_refused_and_not_repeated(text: str, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(text, name)
    assert "secret" not in str(caught.value)


def test_a_source_has_no_login() -> None:
    with pytest.raises(ConfigError, match=r"https://x/y: .*login") as caught:
        Source("https://me:secret@x/y", "s", ("main",), ("amd64",))
    assert "auth.conf" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_source_packages_where_they_are_wanted() -> None:
    text = "deb http://x s main\ndeb-src http://x s contrib\n"
    (found,) = merged(parse(text, where="a.list", architecture="amd64", source_packages=True))
    assert (found.components, found.source_packages) == (("main", "contrib"), True)
    assert not parse(text, where="a.list", architecture="amd64")[0].source_packages
