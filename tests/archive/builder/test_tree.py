"""A source tree as sbuild gets it: with the upstream tarball that its format wants."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from image_builder.archive.builder.tree import copied
from image_builder.errors import ConfigError

EPOCH = 1_700_000_000
PATCH = "--- a/hello.c\n+++ b/hello.c\n@@ -1 +1 @@\n-int main;\n+int main(void);\n"


def tree(folder: Path, version: str = "1:2.0-1", source_format: str = "3.0 (quilt)") -> Path:
    """A git checkout of Debian packaging: upstream's files, debian/ beside them, patches not applied."""
    made = folder / "hello"
    (made / "debian/source").mkdir(parents=True)
    (made / "debian/patches").mkdir()
    (made / ".git").mkdir()
    (made / "hello.c").write_text("int main;\n")
    (made / "debian/control").write_text(
        "Source: hello\nMaintainer: Test <test@localhost>\n\nPackage: hello\nArchitecture: any\nDescription: x\n"
    )
    (made / "debian/changelog").write_text(
        f"hello ({version}) stable; urgency=low\n\n  * X.\n\n"
        " -- Test <test@localhost>  Thu, 01 Jan 2026 00:00:00 +0000\n"
    )
    (made / "debian/source/format").write_text(f"{source_format}\n")
    if "quilt" in source_format:
        (made / "debian/patches/series").write_text("one.patch\n")
        (made / "debian/patches/one.patch").write_text(PATCH)
    return made


def packed(copy: Path) -> list[str]:
    """What dpkg-source makes of it, as sbuild lets it."""
    subprocess.run(["dpkg-source", "--build", copy.name], cwd=copy.parent, check=True, capture_output=True)
    return sorted(path.name for path in copy.parent.iterdir() if path.is_file())


def test_a_checkout_gets_a_tarball_of_what_is_not_debians(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    copy = copied(tree(tmp_path), tmp_path / "out", EPOCH)
    assert not (copy / ".git").exists()
    with tarfile.open(tmp_path / "out/hello_2.0.orig.tar.gz") as tar:
        assert tar.getnames() == ["hello-2.0", "hello-2.0/hello.c"]
        assert {member.mtime for member in tar} == {EPOCH}
    assert packed(copy) == ["hello_2.0-1.debian.tar.xz", "hello_2.0-1.dsc", "hello_2.0.orig.tar.gz"]
    subprocess.run(["dpkg-source", "-x", "hello_2.0-1.dsc"], cwd=tmp_path / "out", check=True, capture_output=True)
    assert (tmp_path / "out/hello-2.0/hello.c").read_text() == "int main(void);\n", "its patches are applied"


def test_the_tarball_beside_it_is_taken(tmp_path: Path) -> None:
    source = tree(tmp_path)
    for name in ("hello_2.0.orig.tar.gz", "hello_1.9.orig.tar.gz"):
        (tmp_path / name).write_text("whatever")
    (tmp_path / "out").mkdir()
    copied(source, tmp_path / "out", EPOCH)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["hello_2.0.orig.tar.gz", "tree"]
    assert (tmp_path / "out/hello_2.0.orig.tar.gz").read_text() == "whatever"


@pytest.mark.parametrize(("version", "source_format"), [("2.0", "3.0 (native)"), ("2.0", "1.0"), ("2.0-1", "1.0")])
def test_what_needs_none_gets_none(version: str, source_format: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    copy = copied(tree(tmp_path, version, source_format), tmp_path / "out", EPOCH)
    assert packed(copy) == [f"hello_{version}.dsc", f"hello_{version}.tar.{'xz' if '3.0' in source_format else 'gz'}"]


def test_applied_patches_without_a_tarball_are_refused(tmp_path: Path) -> None:
    source = tree(tmp_path)
    (source / ".pc").mkdir()
    (source / ".pc/applied-patches").write_text("one.patch\n")
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match=r"hello_2\.0\.orig\.tar\.xz"):
        copied(source, tmp_path / "out", EPOCH)
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "hello_2.0.orig.tar.xz").touch()
    assert copied(source, tmp_path / "out", EPOCH).is_dir()
