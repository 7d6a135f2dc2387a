"""Bills of materials, read back by SPDX's own tools."""

from __future__ import annotations

import json
from pathlib import Path

from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from image_builder.artifacts.collect import Artefact
from image_builder.artifacts.sbom import Installed, installed, spdx

STATUS = """\
Package: libstdc++6
Status: install ok installed
Architecture: amd64
Source: gcc-14 (14.2.0-19)
Version: 14.2.0-19+b1
Maintainer: Debian GCC Maintainers <debian-gcc@lists.debian.org>
Homepage: http://gcc.gnu.org/
Description: GNU Standard C++ Library v3
 This package contains an additional runtime library.

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.37-2+b5
Maintainer: nobody in particular
Homepage: <script>
Description: GNU Bourne Again SHell
"""
IMAGE = Artefact("livecd.debian.squashfs", 5, "ab" * 32, Path("/x"), "squashfs")
FOLDER = Artefact("livecd.debian.root", 0, "", Path("/x"), "squashfs")


def document(**more: str) -> str:
    words = {"project": "debian", "suite": "trixie", "vendor": "debian", "tool": "image-builder-1", **more}
    return spdx("squashfs", installed(STATUS.splitlines()), [IMAGE, FOLDER], epoch=1700000000, **words)  # type: ignore[arg-type]


def test_what_is_installed() -> None:
    bash, library = installed(STATUS.splitlines())
    assert bash == Installed(
        "bash", "5.2.37-2+b5", "amd64", "bash", "5.2.37-2+b5", "nobody in particular", "<script>",
        "GNU Bourne Again SHell",
    )  # fmt: skip
    assert (library.source, library.source_version) == ("gcc-14", "14.2.0-19")


def test_the_formats_own_validator_accepts_it(tmp_path: Path) -> None:
    (tmp_path / "x.spdx.json").write_text(document())
    read = parse_file(str(tmp_path / "x.spdx.json"))
    assert validate_full_spdx_document(read) == []
    assert [package.name for package in read.packages] == [
        "debian-squashfs", "bash", "libstdc++6", "livecd.debian.squashfs",
    ]  # fmt: skip


def test_the_validator_sees_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.spdx.json").write_text(document().replace("SPDXRef-Package-bash-amd64", "SPDXRef-Package bash", 1))
    assert validate_full_spdx_document(parse_file(str(tmp_path / "x.spdx.json"))) != []


def test_names_and_versions_are_escaped_where_the_formats_ask_for_it() -> None:
    library = json.loads(document())["packages"][2]
    assert library["SPDXID"] == "SPDXRef-Package-libstdc.2b..2b.6-amd64"
    assert library["externalRefs"][0]["referenceLocator"] == (
        "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19%2Bb1?arch=amd64&distro=debian-trixie"
    )
    assert library["supplier"] == "Organization: Debian GCC Maintainers (debian-gcc@lists.debian.org)"
    assert "homepage" not in json.loads(document())["packages"][1]


def test_the_same_root_gives_the_same_bytes_and_another_a_name_of_its_own() -> None:
    assert document() == document()
    names = {json.loads(text)["documentNamespace"] for text in (document(), document(suite="bookworm"))}
    assert len(names) == 2


def test_artefacts_have_their_digest() -> None:
    last = json.loads(document())["packages"][-1]
    assert (last["name"], last["checksums"]) == (IMAGE.name, [{"algorithm": "SHA256", "checksumValue": "ab" * 32}])
