from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from image_builder.errors import ConfigError
from snaps.wishes import from_values, joined, parse, read


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hello", "hello=latest/stable"),
        ("hello=edge", "hello=latest/edge"),
        ("go/classic", "go/classic=latest/stable"),
        ("go/classic=1.22/stable/fix", "go/classic=1.22/stable/fix"),
        ("lxd=5.21/stable/ubuntu-24.04", "lxd=5.21/stable/ubuntu-24.04"),
    ],
)
def test_what_livecd_rootfs_writes(text: str, meant: str) -> None:
    assert str(parse(text)) == meant
    assert parse(meant) == parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "=", "hello=", "hello/", "hello/devmode", "Hello", "-a", "a--b", "1", "a" * 41, "a/classic/x", "hello=x/y"],
)
def test_what_says_no_snap_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text)


def test_yaml_in_both_forms(tmp_path: Path) -> None:
    file = tmp_path / "snaps.yaml"
    file.write_text(
        "snaps:\n- hello=edge\n- {name: go, channel: 1.22/stable, classic: true}\n- {name: lxd, revision: 7}\n"
    )
    assert [str(wish) for wish in read(file)] == [
        "hello=latest/edge", "go/classic=1.22/stable", "lxd=latest/stable at revision 7",
    ]  # fmt: skip
    file.write_text("[hello, go/classic]")
    assert [wish.name for wish in read(file)] == ["hello", "go"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([{"name": "go", "channel": 1.22}], "the number 1.22"),
        ([{"name": "go", "chanel": "edge"}], "unknown key 'chanel'"),
        ([{"name": "go", "classic": "yes"}], "channel or classic of go"),
        ([{"name": "go", "revision": 0}], "the revision of go"),
        ([{"name": "go", "revision": True}], "the revision of go"),
        ([{"channel": "edge"}], "None is no name"),
        ([7], "7 does not say which snap"),
        (7, "is no list of snaps"),
    ],
)
def test_yaml_that_cannot_be_meant_is_refused(value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_values(value)


def test_two_wishes_for_one_snap_have_to_agree() -> None:
    same = [parse("hello=stable", where="a"), parse("hello=latest/stable", where="b"), parse("go/classic", where="a")]
    assert [wish.name for wish in joined(same)] == ["hello", "go"]
    with pytest.raises(ConfigError) as e:
        joined([*same, parse("hello=edge", where="EXTRA_SNAPS"), parse("go", where="c")])
    assert "hello: a asks for hello=latest/stable, EXTRA_SNAPS for hello=latest/edge" in str(e.value)
    assert "go: a asks for go/classic=latest/stable, c for go=latest/stable" in str(e.value)
