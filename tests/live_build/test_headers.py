"""What a hook says of itself at its top."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.live_build.headers import HEADER_BYTES, Header, chosen, parse

NOTHING = Header(None, None, None, None)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        pytest.param("", NOTHING, id="empty"),
        pytest.param("#!/bin/sh\n# makes a disk\nset -e\n", NOTHING, id="says nothing"),
        pytest.param("#!/bin/sh\n# inputs: a/*.tmpl lib/b.sh\n", NOTHING._replace(inputs=("a/*.tmpl", "lib/b.sh")),
                     id="inputs"),
        pytest.param("# packages:\n", NOTHING._replace(packages=()), id="uses no archive"),
        pytest.param("# packages: none\n", NOTHING._replace(packages=()), id="none in a word"),
        pytest.param("#packages: a, b,c\n", NOTHING._replace(packages=("a", "b", "c")), id="commas"),
        pytest.param("# packages: a\n\n# more\n# packages: b\n", NOTHING._replace(packages=("a", "b")), id="added up"),
        pytest.param("# architectures: amd64 arm64\r\n", NOTHING._replace(architectures=("amd64", "arm64")), id="CRLF"),
        pytest.param("# distributions: debian\n", NOTHING._replace(distributions=("debian",)), id="distributions"),
        pytest.param("set -e\n# inputs: all\n", NOTHING, id="only at the top"),
        pytest.param("# see inputs: all\n# Packages: x\n", NOTHING, id="only as the first word"),
        pytest.param("#" * HEADER_BYTES + "\n# inputs: all\n", NOTHING, id="only the beginning"),
    ],
)  # fmt: skip
def test_headers(text: str, header: Header) -> None:
    assert parse(text) == header


@given(st.one_of(st.text(), st.text("#: \n,inputspackagesnone")))
def test_any_text_can_be_read(text: str) -> None:
    for words in parse(text):
        assert words is None or all(word.split() == [word] and "," not in word for word in words)


WORDS = st.lists(st.from_regex(r"[a-z*/.]{1,8}", fullmatch=True).filter(lambda w: w != "none"), max_size=5)


@given(WORDS, WORDS, WORDS, WORDS, WORDS)
def test_what_is_written_is_read(
    inputs: list[str], packages: list[str], architectures: list[str], snaps: list[str], tree: list[str]
) -> None:
    lines = [f"# inputs: {' '.join(inputs)}", f"# packages: {', '.join(packages)}",
             f"# architectures: {' '.join(architectures)}", f"# snaps: {' '.join(snaps)}",
             f"# tree: {' '.join(tree)}"]  # fmt: skip
    found = parse("\n".join(["#!/bin/sh", *lines, "exit"]))
    assert found == (tuple(inputs), tuple(packages), tuple(architectures), tuple(snaps), tuple(tree), None)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        pytest.param(["zstd", "linux-image-cloud-$ARCH"], ("zstd", "linux-image-cloud-$ARCH"), id="for everybody"),
        pytest.param(["a[amd64]", "b[arm64]", "c[debian]", "d[ubuntu]"], ("a", "c"), id="one condition"),
        pytest.param(["a[debian+amd64]", "b[debian+arm64]"], ("a",), id="both"),
        pytest.param(["a[]", "a[", "a]b"], ("a[", "a]b"), id="odd words are left for apt to refuse"),
    ],
)
def test_which_packages_are_for_this_build(words: list[str], names: tuple[str, ...]) -> None:
    assert chosen(words, {"debian", "amd64"}) == names
