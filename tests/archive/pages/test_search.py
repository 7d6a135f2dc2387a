"""Search on the server: what is found, and in which order."""

from __future__ import annotations

import json

from image_builder.archive.pages.reading import Place, Standing
from image_builder.archive.pages.search import Known, find, index, script
from image_builder.archive.states import State

NEW, OLD = Place(2, "trixie", "amd64"), Place(1, "trixie", "amd64")


def known() -> list[Known]:
    new = [
        Standing("libssl", "1", State.INSTALLED, "libssl libssl-dev"),
        Standing("openssl", "3", State.BUILD_ATTEMPTED, "openssl libssl3t64 libssl-dev"),
        Standing("zlib", "1", State.NEEDS_BUILD, "zlib1g"),
    ]
    return index(
        [(NEW, new), (OLD, [Standing("openssl", "2", State.FAILED, "x"), Standing("gone", "1", State.FAILED, "")])]
    )


def names(question: str) -> list[str]:
    return [one.source for one in find(known(), question)]


def test_each_stands_as_in_the_newest_run_that_has_it() -> None:
    assert {one.source: one.states for one in known()} == {
        "gone": ("trixie amd64: Failed",),
        "libssl": ("trixie amd64: Installed",),
        "openssl": ("trixie amd64: Build-Attempted",),
        "zlib": ("trixie amd64: Needs-Build",),
    }


def test_what_is_found() -> None:
    assert names("ssl") == ["libssl", "openssl"]
    assert names("OpenSSL") == ["openssl"]
    assert names("libssl3t64") == ["openssl"]
    assert names("ssl build-attempted") == ["openssl"]
    assert names("amd64 zlib1g") == ["zlib"]
    assert names("nothing") == names("") == names("  ") == []


def test_the_closest_names_come_first() -> None:
    some = [Known(name, (), "") for name in ("a-hello", "hello-x", "hello", "y")] + [Known("b", (), "hello-dev")]
    assert [one.source for one in find(some, "hello")] == ["hello", "hello-x", "a-hello", "b"]


def test_the_index_is_a_script_with_nothing_but_data() -> None:
    text = script([*known(), Known("</script>\t\n\u2028", ("s: </script>",), "")])
    head, tail = "globalThis.searchIndex = ", ";\n"
    assert text.startswith(head) and text.endswith(tail)
    assert text.isascii()
    value = json.loads(text[len(head) : -len(tail)])
    lines = [line.split("\t") for line in value["packages"].split("\n")]
    assert lines[1] == ["libssl", "1", "libssl-dev"]
    assert lines[-1] == ["</script>  \ufffd", "4", "", "package/=3C/=3C=2Fscript=3E=09=0A=E2=80=A8.html"]
    assert value["labels"][1] == "trixie amd64: Installed"
