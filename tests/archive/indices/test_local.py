"""What the user brings along is read by what it is, and checked."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from image_builder.archive.indices.local import read_local, read_tree
from image_builder.archive.model import PackageListEntry
from image_builder.errors import ConfigError, PipelineError

CONTROL = """# a comment
Source: hello
Section: devel
Priority: optional
Build-Depends: debhelper-compat (= 13),
# one in the middle
               gettext <!nocheck>
Build-Depends-Indep: texinfo

Package: hello
Architecture: linux-any hurd-any
Essential: yes
Depends: ${shlibs:Depends}
Description: greets

Package: hello-doc
Section: doc
Architecture: all
Build-Profiles: <!nodoc>
"""
CHANGELOG = """hello (2.10-3local1) unstable; urgency=medium

  * Ours.

 -- Me <me@localhost>  Mon, 01 Jan 2024 00:00:00 +0000
"""


def tree(folder: Path) -> Path:
    debian = folder / "hello-2.10/debian"
    debian.mkdir(parents=True)
    (debian / "control").write_text(CONTROL)
    (debian / "changelog").write_text(CHANGELOG)
    return debian.parent


def dsc(folder: Path, *, sha256: str = "", name: str = "hello_1.tar.xz") -> Path:
    content = b"not really a tarball"
    (folder / "hello_1.tar.xz").write_bytes(content)
    digest = sha256 or hashlib.sha256(content).hexdigest()
    path = folder / "hello_1.dsc"
    path.write_text(
        "Format: 3.0 (native)\nSource: hello\nBinary: hello, hello-doc\nArchitecture: any all\nVersion: 1\n"
        "Build-Depends: gettext\nPackage-List:\n hello deb devel optional arch=any\n"
        f"Checksums-Sha256:\n {digest} {len(content)} {name}\nFiles:\n {'0' * 32} {len(content)} {name}\n"
    )
    return path


def deb(folder: Path) -> Path:
    control = folder / "package/DEBIAN/control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: hello\nVersion: 9-1+b1\nArchitecture: all\nMaintainer: me\nDepends: libc6 (>= 2),\n x\n"
        "Section: devel\nPriority: optional\nDescription: greets\n"
    )
    path = folder / "anything.deb"
    subprocess.run(
        ["dpkg-deb", "-Zxz", "--root-owner-group", "--build", folder / "package", path], check=True, capture_output=True
    )
    return path


def test_all_three(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    places = [tree(tmp_path / "a"), deb(tmp_path / "b")]
    found = read_local(places)
    assert (found.source_places, found.binary_places) == ({"hello": places[0]}, {"hello": places[1]})
    source, binary = found.sources["hello"], found.binaries["hello"]
    assert (source.version, source.architectures, source.binaries) == (
        "2.10-3local1",
        ("hurd-any", "linux-any", "all"),
        ("hello", "hello-doc"),
    )
    assert (source.build_depends, source.build_depends_indep) == (
        "debhelper-compat (= 13), gettext <!nocheck>",
        "texinfo",
    )
    assert source.package_list == (
        PackageListEntry("hello", "deb", "devel", "optional", ("linux-any", "hurd-any"), "", True),
        PackageListEntry("hello-doc", "deb", "doc", "optional", ("all",), "<!nodoc>"),
    )
    assert (binary.version, binary.source, binary.source_version) == ("9-1+b1", "hello", "9-1")
    assert binary.relations == {"Depends": "libc6 (>= 2), x"}
    assert binary.file is not None
    assert binary.file.sha256 == hashlib.sha256(places[1].read_bytes()).hexdigest()


def test_a_dsc_is_read_with_its_files(tmp_path: Path) -> None:
    path = dsc(tmp_path)
    source = read_local([path]).sources["hello"]
    assert (source.version, source.architectures, source.build_depends) == ("1", ("any", "all"), "gettext")
    assert [entry.name for entry in source.files] == ["hello_1.tar.xz", "hello_1.dsc"]
    assert [entry.name for entry in source.package_list] == ["hello"]


def test_a_dsc_whose_files_are_others_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"hello_1.tar.xz beside it has 20 bytes and SHA-256"):
        read_local([dsc(tmp_path, sha256="0" * 64)])


def test_a_dsc_whose_files_are_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"other.tar.xz: cannot be read"):
        read_local([dsc(tmp_path, name="other.tar.xz")])


def test_a_dsc_that_names_a_file_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="names no file"):
        read_local([dsc(tmp_path, name="../../etc/shadow")])


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="hello is given twice"):
        read_local([tree(tmp_path), dsc(tmp_path / "other")])


@pytest.mark.parametrize("name", ["nothing.dsc", "nothing.deb", "nothing"])
def test_what_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing"):
        read_local([tmp_path / name])


def test_what_is_no_package(tmp_path: Path) -> None:
    for name in ("a.deb", "a.dsc", "a.txt"):
        (tmp_path / name).write_text("hello\n")
        with pytest.raises(PipelineError, match=rf"a\.{name[2:]}"):
            read_local([tmp_path / name])


@pytest.mark.parametrize("missing", ["control", "changelog"])
def test_a_folder_that_is_no_source_tree(missing: str, tmp_path: Path) -> None:
    folder = tree(tmp_path)
    (folder / "debian" / missing).unlink()
    with pytest.raises(ConfigError, match="is no source tree"):
        read_tree(folder)


def test_a_tree_with_only_binaries_in_its_control(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    (folder / "debian/control").write_text("Package: hello\nArchitecture: any\n")
    with pytest.raises(ConfigError, match="no paragraph with Source"):
        read_tree(folder)
