"""What goes first when the store is too large."""

from __future__ import annotations

import pytest

from image_builder.layers.prune import Item, choose


def layer(key: str, used: float, parent: str | None = None, size: int = 10) -> Item:
    return Item(key, "layer", "layer", size, used, parent)


BASE, PACKAGES, HOOK, OTHER = (
    layer("base", 1),
    layer("packages", 2, "base"),
    layer("hook", 9, "packages"),
    layer("other", 3),
)


@pytest.mark.parametrize(
    ("max_bytes", "in_use", "expected"),
    [
        pytest.param(40, (), [], id="it fits"),
        pytest.param(39, (), ["other"], id="a layer with others on it is not the oldest, however long ago it was made"),
        pytest.param(20, (), ["other", "hook"], id="then the leaf"),
        pytest.param(10, (), ["other", "hook", "packages"], id="then what it stood on"),
        pytest.param(0, (), ["other", "hook", "packages", "base"], id="all"),
        pytest.param(0, ("hook",), ["other"], id="what is in use keeps all below it"),
        pytest.param(0, ("packages",), ["other", "hook"], id="but not what stands on it"),
    ],
)
def test_layers(max_bytes: int, in_use: tuple[str, ...], expected: list[str]) -> None:
    items = [HOOK, BASE, OTHER, PACKAGES]
    assert [item.key for item in choose(items, max_bytes, lambda item: item.key not in in_use)] == expected


def test_downloads_and_values_go_by_age_with_the_layers() -> None:
    items = [OTHER, Item("deb", "download", "download", 10, 1), Item("solution", "value", "value", 10, 5)]
    assert [item.key for item in choose(items, 10, lambda _: True)] == ["deb", "other"]


def test_a_download_is_no_child_of_a_layer_with_the_same_key() -> None:
    items = [Item("a", "download", "download", 10, 1, parent="a"), layer("a", 2)]
    assert len(choose(items, 0, lambda _: True)) == 2


def test_a_circle_of_parents_ends() -> None:
    assert choose([layer("a", 1, "b"), layer("b", 2, "a")], 0, lambda _: True) == []


def test_a_layer_whose_parent_is_gone_can_go() -> None:
    assert choose([layer("a", 1, "gone")], 0, lambda _: True) != []
