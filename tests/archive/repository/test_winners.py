from __future__ import annotations

import itertools

import pytest

from image_builder.archive.repository.names import import_name, package_file, split_import
from image_builder.archive.repository.winners import Provider, expected, provider, winners


def given(source: str, file: str, inode: int = 1, meta: int = 2) -> Provider:
    one = provider(source, file, inode, meta)
    assert one is not None
    return one


def test_the_first_source_by_its_name_wins_in_any_order() -> None:
    offers = [given("b", "foo_1_amd64.deb"), given("a-pkg", "foo_9_amd64.deb"), given("a", "foo-doc_1_all.deb")]
    for order in itertools.permutations(offers):
        assert winners(order, lambda _: True)["foo"].source == "a-pkg"


def test_native_wins_over_imported_and_imported_by_name() -> None:
    native, amd64, arm64 = (
        given("a", name)
        for name in ("doc_2_all.deb", import_name("amd64", "doc_1_all.deb"), import_name("arm64", "doc_1_all.deb"))
    )
    for order in itertools.permutations([native, amd64, arm64]):
        assert winners(order, lambda _: True)["doc"] == native
    for order in itertools.permutations([arm64, amd64]):
        assert winners(order, lambda _: True)["doc"].origin == "amd64"


def test_an_import_of_the_first_source_wins_over_a_native_file_of_the_second() -> None:
    offers = [given("b", "doc_1_all.deb"), given("a", import_name("amd64", "doc_1_all.deb"))]
    assert winners(offers, lambda _: True)["doc"].source == "a"


def test_what_is_not_for_builds_leaves_the_name_to_the_next() -> None:
    offers = [given("a", "foo_1_amd64.deb"), given("b", "foo_1_amd64.deb", 7, 8)]
    assert winners(offers, lambda source: source != "a")["foo"].source == "b"
    assert winners(offers, lambda _: False) == {}


def test_one_name_is_one_entry_with_the_record_of_its_own_delivery() -> None:
    offers = [given("a", "foo_1_amd64.udeb", 1, 2), given("b", "foo_1_amd64.deb", 3, 4)]
    assert expected(winners(offers, lambda _: True).values()) == {"foo.udeb": 1, "foo.meta": 2}


@pytest.mark.parametrize(
    "file",
    ["foo_1.dsc", "foo_1.tar.gz", "foo_1_amd64.buildinfo", "foo_1_amd64.changes", "foo_1_amd64.log.zst", "result.json",
     "foo.deb", "Foo_1_amd64.deb", "foo_1_amd64.deb.part", ".foo_1_amd64.deb", "_1_amd64.deb"],
)  # fmt: skip
def test_only_binary_packages_are_offered(file: str) -> None:
    assert package_file(file) is None
    assert provider("a", file, 1, 2) is None


def test_names_of_imports() -> None:
    name = import_name("i386", "libc6-dev_2.36-9+b1_all.deb")
    assert name == "::import::i386::libc6-dev_2.36-9+b1_all.deb"
    assert split_import(name) == ("i386", "libc6-dev_2.36-9+b1_all.deb")
    assert split_import("foo_1_all.deb") == ("", "foo_1_all.deb")
    assert given("a", name).name == "libc6-dev"
