"""OBS's acceptance ideas, and what a repository must survive."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rebuilt import deliver, killed_after, quick_folder, tree

from image_builder.archive.repository.full import Changes
from image_builder.archive.repository.repository import Repository
from image_builder.archive.repository.useforbuild import Flag, Flags
from image_builder.archive.results import Results
from image_builder.errors import ConfigError

OFF = Flag(False)


@pytest.fixture
def folder() -> Iterator[Path]:
    with quick_folder() as made:
        yield made


@pytest.fixture
def results(folder: Path) -> Results:
    return Results(folder / "results")


@pytest.fixture
def repository(results: Results, folder: Path) -> Repository:
    return Repository(results, folder / "repository", {"stable": ("amd64", "arm64")})


def offered(repository: Repository, architecture: str = "amd64") -> dict[str, bytes]:
    """What is in the tree, the records left out."""
    full = repository.full("stable", architecture)
    return {name: data for name, data in tree(full).items() if not name.endswith(".meta")}


def test_a_pkg_wins_and_disabling_it_offers_b_pkg_with_its_own_record(results: Results, repository: Repository) -> None:
    deliver(results, "b-pkg", "amd64", ["foo_1_amd64.deb"], 1)
    repository.update("stable")
    deliver(results, "a-pkg", "amd64", ["foo_1_amd64.deb"], 2)
    assert repository.update("stable") == Changes(linked=2)
    full = repository.full("stable", "amd64")
    assert (full / "foo.deb").read_text() == "a-pkg amd64 2 foo_1_amd64.deb\n"

    repository.set_flags("stable", Flags(packages={"a-pkg": (OFF,)}))
    assert (full / "foo.deb").read_text() == "b-pkg amd64 1 foo_1_amd64.deb\n"
    assert (full / "foo.meta").read_bytes() == (results.place("stable", "amd64", "b-pkg") / "result.json").read_bytes()

    repository.set_flags("stable", Flags())
    assert (full / "foo.deb").read_text() == "a-pkg amd64 2 foo_1_amd64.deb\n"
    results.remove("stable", "amd64", "b-pkg")
    assert repository.update("stable") == Changes()


def test_an_update_touches_only_what_changed(results: Results, repository: Repository) -> None:
    for number, source in enumerate("abcdef"):
        deliver(results, source, "amd64", [f"lib{source}_1_amd64.deb", f"{source}{source}_1_amd64.deb"], number)
    repository.update("stable")
    full = repository.full("stable", "amd64")
    before = {path.name: path.lstat() for path in full.iterdir()}
    deliver(results, "c", "amd64", ["libc_2_amd64.deb"], 10)
    assert repository.update("stable") == Changes(linked=2, removed=2)
    after = {path.name: path.lstat() for path in full.iterdir()}
    assert before.keys() - after.keys() == {"cc.deb", "cc.meta"}
    changed = {name for name in after if after[name].st_ino != before[name].st_ino}
    assert changed == {"libc.deb", "libc.meta"}
    assert repository.update("stable") == Changes()


def test_files_are_links_not_copies(results: Results, repository: Repository) -> None:
    deliver(results, "a", "amd64", ["foo_1_amd64.deb"], 1)
    repository.update("stable")
    full = repository.full("stable", "amd64")
    assert (full / "foo.deb").samefile(results.place("stable", "amd64", "a") / "foo_1_amd64.deb")
    assert (full / "foo.meta").samefile(results.place("stable", "amd64", "a") / "result.json")


def test_an_import_survives_a_native_rebuild_and_ends_with_its_origin(results: Results, repository: Repository) -> None:
    deliver(results, "a", "amd64", ["foo_1_amd64.deb", "foo-doc_1_all.deb"], 1)
    repository.update("stable")
    here = results.place("stable", "arm64", "a")
    assert sorted(path.name for path in here.iterdir()) == [
        "::import::amd64::foo-doc_1_all.deb", "::import::amd64::result.json", "::import::amd64::stanzas",
    ]  # fmt: skip
    assert offered(repository, "arm64") == {"foo-doc.deb": b"a amd64 1 foo-doc_1_all.deb\n"}

    deliver(results, "a", "arm64", ["foo_1_arm64.deb"], 2)
    assert (here / "::import::amd64::foo-doc_1_all.deb").exists()  # before anybody updates
    repository.update("stable")
    assert offered(repository, "arm64").keys() == {"foo.deb", "foo-doc.deb"}

    deliver(results, "a", "amd64", ["foo_2_amd64.deb"], 3)
    repository.update("stable")
    assert offered(repository, "arm64").keys() == {"foo.deb"}
    assert not list(here.glob("::import::*"))


def test_packages_built_once_for_all_reach_every_architecture(results: Results, repository: Repository) -> None:
    deliver(results, "docs", "all", ["docs_1_all.deb"], 1)
    repository.update("stable")
    assert offered(repository, "amd64") == offered(repository, "arm64") == {"docs.deb": b"docs all 1 docs_1_all.deb\n"}
    results.remove("stable", "all", "docs")
    repository.update("stable")
    assert offered(repository, "amd64") == offered(repository, "arm64") == {}
    assert results.sources("stable", "amd64") == []


def test_what_is_off_here_is_still_handed_on_and_off_there_by_its_own_flag(
    results: Results, repository: Repository
) -> None:
    repository.set_flags("stable", Flags(packages={"a": (Flag(False, architecture="amd64"),)}))
    deliver(results, "a", "amd64", ["doc_1_all.deb"], 1)
    repository.update("stable")
    assert offered(repository, "amd64") == {}
    assert offered(repository, "arm64").keys() == {"doc.deb"}


@pytest.mark.parametrize("what", ["tree", "cache", "both", "a link", "a stranger", "another file", "imports"])
def test_what_somebody_destroyed_is_mended(results: Results, repository: Repository, what: str) -> None:
    deliver(results, "a", "amd64", ["foo_1_amd64.deb", "doc_1_all.deb"], 1)
    deliver(results, "b", "amd64", ["foo_1_amd64.deb", "bar_1_amd64.deb"], 2)
    repository.update("stable")
    before = {name: tree(repository.full("stable", name)) for name in ("amd64", "arm64")}
    full = repository.full("stable", "amd64")
    if what in ("tree", "both"):
        shutil.rmtree(full)
    if what in ("cache", "both"):
        (repository.folder / "stable/:bininfo").unlink()
    if what == "a link":
        (full / "foo.meta").unlink()
    if what == "a stranger":
        (full / "stranger.deb").write_text("?")
    if what == "another file":
        (full / "foo.deb").unlink()
        (full / "foo.deb").write_text("?")
    if what == "imports":
        (results.place("stable", "arm64", "a") / "::import::amd64::doc_1_all.deb").unlink()
    if what not in ("cache", "imports"):
        assert repository.verify("stable") != []
    repository.update("stable")
    assert {name: tree(repository.full("stable", name)) for name in ("amd64", "arm64")} == before
    assert repository.verify("stable") == []


def test_a_cache_of_rubbish_is_made_anew(results: Results, repository: Repository) -> None:
    deliver(results, "a", "amd64", ["foo_1_amd64.deb"], 1)
    repository.update("stable")
    (repository.folder / "stable/:bininfo").write_bytes(os.urandom(9000))
    deliver(results, "a", "amd64", ["bar_1_amd64.deb"], 2)
    repository.update("stable")
    assert offered(repository) == {"bar.deb": b"a amd64 2 bar_1_amd64.deb\n"}


def test_a_kill_between_any_two_effects_is_healed(results: Results, repository: Repository) -> None:
    """Of deliveries and updates, one effect further each time."""
    deliver(results, "b", "amd64", ["foo_1_amd64.deb", "doc_1_all.deb"], 1)
    repository.update("stable")
    for effects in range(200):
        attempt = 100 + effects

        def work(attempt: int = attempt) -> None:
            results.remove("stable", "arm64", "c")
            repository.update("stable")
            deliver(results, "a", "amd64", ["foo_1_amd64.deb", "doc_1_all.deb", "more_1_amd64.deb"], attempt)
            deliver(results, "c", "arm64", ["bar_1_all.deb"], attempt + 1000)
            repository.update("stable")

        killed = killed_after(effects, work)
        repository.update("stable")
        assert repository.verify("stable") == []
        mended = {name: tree(repository.full("stable", name)) for name in ("amd64", "arm64")}
        shutil.rmtree(repository.folder)
        repository.update("stable")
        assert {name: tree(repository.full("stable", name)) for name in ("amd64", "arm64")} == mended
        for left in (".coming", ".going"):
            assert list((results.folder / "stable" / left).iterdir()) == []
        if not killed:
            break
    assert not killed
    assert effects > 50


def test_providers_say_who_would_be_next(results: Results, repository: Repository) -> None:
    for number, source in enumerate("cab"):
        deliver(results, source, "amd64", ["foo_1_amd64.deb"], number)
    assert [one.source for one in repository.providers("stable", "amd64", "foo")] == ["a", "b", "c"]
    assert repository.winners("stable", "amd64")["foo"].source == "a"


def test_a_suite_nobody_rebuilds_is_an_error(repository: Repository) -> None:
    with pytest.raises(ConfigError, match="there is stable"):
        repository.update("unstable")


def test_many_deliver_and_update_at_once(results: Results, folder: Path) -> None:
    """Each with a repository of its own, as programs have: two schedulers, a publisher, somebody at a terminal."""
    wrong: list[BaseException] = []

    def bring(source: str) -> None:
        for attempt in range(5):
            deliver(
                results, source, "amd64", ["foo_1_amd64.deb", f"{source}-doc_1_all.deb"], attempt + ord(source) * 100
            )

    def follow() -> None:
        try:
            for _ in range(10):
                Repository(results, folder / "repository", {"stable": ("amd64", "arm64")}).update("stable")
        except BaseException as e:
            wrong.append(e)

    threads = [threading.Thread(target=bring, args=(source,)) for source in "abc"]
    threads += [threading.Thread(target=follow) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    last = Repository(results, folder / "repository", {"stable": ("amd64", "arm64")})
    last.update("stable")
    assert last.verify("stable") == []
    assert (last.full("stable", "amd64") / "foo.deb").read_text() == f"a amd64 {ord('a') * 100 + 4} foo_1_amd64.deb\n"
    assert offered(last, "arm64").keys() == {"a-doc.deb", "b-doc.deb", "c-doc.deb"}
