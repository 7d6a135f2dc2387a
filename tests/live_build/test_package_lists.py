"""What package lists ask for, and when that cannot be known beforehand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.live_build.package_lists import is_read, own_list, wanted


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.list", True),
        ("a.list.chroot", True),
        ("a.list.chroot_install", True),
        ("a.list.chroot_live", True),
        ("a.list.binary", False),
        ("a.list.chroot_install~", False),
        ("a.list.chroot.orig", False),
        ("list", False),
        (".list", True),
        ("README", False),
    ],
)
def test_which_files_a_chroot_step_reads(name: str, read: bool) -> None:
    assert is_read(name) is read


def test_names_are_in_the_order_of_files_each_once() -> None:
    found = wanted({"b.list.chroot": "vim nano\n", "a.list": "curl\tvim  libc6:amd64 x=1 y-\n", "c.list.binary": "no"})
    assert found == (("curl", "vim", "libc6:amd64", "x=1", "y-", "nano"), "", False)


@pytest.mark.parametrize(
    ("text", "names", "dynamic", "executes"),
    [
        pytest.param("# a comment\n#ifdef\n#! no\nvim", ("vim",), "", False, id="comments"),
        pytest.param("#if ARCHITECTURES amd64\nvim\n#endif\n", ("vim",), "l.list:1 is conditional", False, id="if"),
        pytest.param("a\n#nif\tX y\n", ("a",), "l.list:2 is conditional", False, id="nif"),
        pytest.param("a\n  ! echo b\n", ("a",), "l.list:2 runs a command", True, id="command"),
        pytest.param("a%s\nb\n", ("b",), "l.list:1 holds what live-build's printf interprets", False, id="percent"),
        pytest.param("#if X y\n! echo b\n", (), "l.list:2 runs a command", True, id="a command says more"),
        pytest.param("", (), "", False, id="empty"),
    ],
)
def test_lists_that_cannot_be_known(text: str, names: tuple[str, ...], dynamic: str, executes: bool) -> None:
    assert wanted({"l.list": text}) == (names, dynamic, executes)


@given(st.dictionaries(st.text(max_size=8).map(lambda n: f"{n}.list.chroot"), st.text()))
def test_any_text_can_be_read(lists: dict[str, str]) -> None:
    found = wanted(lists)
    assert len(set(found.names)) == len(found.names)
    assert all(name.split() == [name] for name in found.names)
    assert bool(found.dynamic) >= found.executes
    if not found.dynamic:
        assert not set("%\\") & set("".join(found.names))


@given(st.lists(st.from_regex(r"[a-z0-9][a-z0-9+.-]+", fullmatch=True), unique=True))
def test_the_configurations_own_packages_come_back_as_asked(packages: list[str]) -> None:
    assert wanted({"image-builder.list.chroot": own_list(packages)}) == (tuple(packages), "", False)
