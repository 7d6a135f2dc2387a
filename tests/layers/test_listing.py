"""Every kind of change to a layer is noticed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from image_builder.layers.digest import digest
from image_builder.layers.listing import differences, write_listing


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "file").write_text("content")
    (tree / "sub/link").symlink_to("../file")
    (tree / "new\nline").touch()
    (tree / "\udcff").mkdir()  # the byte 255
    for path in [*tree.rglob("*"), tree]:
        os.utime(path, ns=(1, 1_700_000_000_123_456_789), follow_symlinks=False)
    return tree


def rewrite(path: Path, content: str) -> None:
    """Change content; size stays if content is as long, and the time is put back."""
    times = path.stat()
    path.write_text(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def relink(tree: Path) -> None:
    times = (tree / "sub").stat()
    (tree / "sub/link").unlink()
    (tree / "sub/link").symlink_to("../else")
    os.utime(tree / "sub/link", ns=(1, 1_700_000_000_123_456_789), follow_symlinks=False)
    os.utime(tree / "sub", ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.fixture
def before(tree: Path) -> Path:
    write_listing(tree, tree.parent / "listing")
    return tree.parent / "listing"


def test_no_change(tree: Path, before: Path) -> None:
    assert differences(before, tree) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda tree: (tree / "file").unlink(), "file: missing", id="removed"),
        pytest.param(lambda tree: (tree / "more").touch(), "more: not there at commit", id="added"),
        pytest.param(lambda tree: (tree / "file").chmod(0o4755), "file: was f 644", id="mode"),
        pytest.param(lambda tree: os.utime(tree / "file", ns=(1, 2)), "file: was f", id="time"),
        pytest.param(lambda tree: rewrite(tree / "file", "longer content"), "file: was f", id="size"),
        pytest.param(relink, "sub/link: was l", id="link target"),
        pytest.param(lambda tree: (tree / "new\nline").unlink(), "new\nline: missing", id="a name with a line feed"),
        pytest.param(lambda tree: (tree / "\udcff").rmdir(), "\udcff: missing", id="a name not in UTF-8"),
        pytest.param(lambda tree: (tree / "sub").chmod(0o700), "sub: was d", id="mode of a directory"),
    ],
)
def test_changes_the_listing_shows(tree: Path, before: Path, change: Callable[[Path], None], said: str) -> None:
    change(tree)
    assert any(line.startswith(said) for line in differences(before, tree))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda tree: rewrite(tree / "file", "CONTENT"), id="content of the same size"),
        pytest.param(lambda tree: (tree / "file").chmod(0o600), id="mode"),
        pytest.param(lambda tree: (tree / "file").rename(tree / "file2"), id="name"),
        pytest.param(relink, id="link target"),
        pytest.param(lambda tree: os.setxattr(tree / "file", "user.x", b"1"), id="extended attribute"),
    ],
)
def test_changes_the_digest_shows(tree: Path, change: Callable[[Path], None]) -> None:
    before = digest(tree)
    assert digest(tree) == before
    change(tree)
    assert digest(tree) != before


def test_the_digest_leaves_times_out(tree: Path) -> None:
    before = digest(tree)
    os.utime(tree / "file", ns=(1, 2))
    assert digest(tree) == before


def test_hard_links_are_counted_once(tree: Path, before: Path) -> None:
    (tree / "a").write_bytes(b"x" * 1_000_000)
    alone = write_listing(tree, before)
    os.link(tree / "a", tree / "b")
    assert write_listing(tree, before) == alone > 1_000_000


def test_a_tree_that_is_gone_is_a_difference(tree: Path, before: Path) -> None:
    assert differences(before, tree / "nothing")
