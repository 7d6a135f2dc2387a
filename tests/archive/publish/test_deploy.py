"""Killed between any two effects: readers have the old state or the new one, and the next call finishes."""

from __future__ import annotations

import pytest
from published import Publication, publication, whole
from rebuilt import killed_after, quick_folder, tree

from image_builder.archive.publish.deploy import Deployment, read_generations
from image_builder.archive.publish.folder import FolderPlace
from image_builder.archive.publish.generations import dropped, from_text, manifest_name, parse_name, to_text


@pytest.mark.parametrize("then", ["the same again", "another", "back to the first"])
def test_a_kill_between_any_two_effects(then: str) -> None:
    for effects in range(500):
        with quick_folder() as folder:
            place = FolderPlace(folder / "public")

            def carry_out(one: Publication, place: FolderPlace = place) -> None:
                pool, made, inrelease = one
                with place.locked():
                    Deployment(place, "stable", pool, made).carry_out(inrelease, keep=2)

            packages = (["a", "b", "c"], ["a", "b"], ["a", "d", "e"])
            states = [publication(folder / str(n), n, names) for n, names in enumerate(packages, 1)]
            carry_out(states[0])
            carry_out(states[1])
            killed = killed_after(effects, lambda: carry_out(states[2]))  # noqa: B023
            assert whole(place.read) in ((2, 3) if killed else (3,))
            last = {
                "the same again": states[2],
                "another": publication(folder / "4", 4, ["a", "f"]),
                "back to the first": (*states[0][:2], states[0][2].replace("1", "4", 1)),
            }[then]
            carry_out(last)
            assert whole(place.read) == int(last[2].split()[0])
            known = read_generations(place)
            assert all(one.whole for key, one in known.items() if key == max(known))
            named = {name for one in known.values() for name in one.names}
            there = {name for name in tree(place.folder) if name.startswith("pool/") or "/by-hash/" in name}
            assert there <= named  # nothing is there that nobody would ever remove
            assert len(known) <= 2
            assert not (place.folder / ".parts").exists()
        if not killed:
            break
    assert not killed
    assert effects > 20


def test_names_of_manifests() -> None:
    for suite in ("stable", "stable/updates"):
        for unfinished in (False, True):
            assert parse_name(manifest_name(suite, 7, unfinished=unfinished)) == (suite, 7, unfinished)
    for other in ("pool/a", ".generations/7", ".generations/stable/x", ".generations/stable/7.partly"):
        assert parse_name(other) is None


def test_lists_of_names_are_read_as_written() -> None:
    assert from_text(to_text(["b", "a"])) == {"a", "b"}
    assert to_text(["b", "a"]) == to_text(["a", "b"])


def test_what_may_go() -> None:
    known = {("s", 1): {"a", "b", "x"}, ("s", 2): {"b"}, ("s", 3): {"c"}, ("t", 1): {"a"}}
    assert dropped(known, keep=2) == ([("s", 1)], {"x"})
    assert dropped(known, keep=1) == ([("s", 1), ("s", 2)], {"b", "x"})
    assert dropped({}, keep=1) == ([], set())
