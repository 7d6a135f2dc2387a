"""What builders deliver: taken as it came, or refused with the reason; nothing half, nothing lost."""

from __future__ import annotations

import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import local_archive
import pytest
from rebuilt import changes, deb, deliver, killed_after, source_package, tree

from image_builder.archive.delivery import RefusedError
from image_builder.archive.model import Outcome
from image_builder.archive.results import Result, Results
from image_builder.errors import PipelineError

ASKED = Result("stable", "hello", "1-1", "1-1", "amd64", run="gcc-15 stage 1", stage=1, attempt=7, token="live",
               started=10.0, finished=20.5, seconds=10.5, memory_bytes=1 << 30, toolchain="ab" * 32)  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results")


@pytest.fixture
def delivered(tmp_path: Path) -> Path:
    """What a good build of ASKED leaves."""
    folder = tmp_path / "delivered"
    folder.mkdir()
    deb(folder, "hello", Source="hello")
    deb(folder, "hello-doc", architecture="all", Source="hello (1-1)", Section="contrib/doc")
    (folder / "hello_1-1_amd64.buildinfo").write_text("Format: 1.0\n")
    changes(folder, "hello")
    (folder / "hello_1-1_amd64.log.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    return folder


def test_a_result_is_kept_as_it_came(results: Results, delivered: Path) -> None:
    accepted = results.accept(ASKED, delivered)
    place = results.place("stable", "amd64", "hello")
    kept = tree(place)
    assert {name: data for name, data in kept.items() if name not in ("result.json", "stanzas")} == tree(delivered)
    assert results.read("stable", "amd64", "hello") == accepted
    assert {entry.name for entry in accepted.files} == set(tree(delivered))
    assert (accepted.run, accepted.seconds, accepted.toolchain) == (ASKED.run, ASKED.seconds, ASKED.toolchain)
    stanzas = kept["stanzas"].decode().split("\n\n")
    assert [stanza.splitlines()[0] for stanza in stanzas] == ["Package: hello-doc", "Package: hello"]
    assert "Section: contrib/doc\n" in stanzas[0]


def test_an_older_result_becomes_history_without_its_packages(results: Results, delivered: Path) -> None:
    results.accept(ASKED, delivered)
    results.accept(replace(ASKED, attempt=8, token="other"), delivered)
    old = results.history(7)
    assert old is not None
    assert set(tree(old)) == {
        "hello_1-1_amd64.buildinfo", "hello_1-1_amd64.changes", "hello_1-1_amd64.log.zst", "result.json",
    }  # fmt: skip
    assert results.history(8) is None


def test_the_same_attempt_twice_is_one_result(results: Results, delivered: Path) -> None:
    first = results.accept(ASKED, delivered)
    shutil.rmtree(delivered)
    assert results.accept(ASKED, delivered) == first
    assert results.history(7) is None


def test_what_failed_is_kept_without_packages(results: Results, delivered: Path) -> None:
    results.keep(replace(ASKED, outcome=Outcome.ATTEMPTED), delivered)
    assert results.read("stable", "amd64", "hello") is None
    kept = results.history(7)
    assert kept is not None
    assert not list(kept.glob("*.deb"))
    assert Result.parse((kept / "result.json").read_text(), where=kept).outcome is Outcome.ATTEMPTED
    assert (kept / "hello_1-1_amd64.log.zst").exists()


def spoil(folder: Path, how: str) -> None:
    package = folder / "hello_1-1_amd64.deb"
    if how == "damaged":
        package.write_bytes(package.read_bytes() + b"!")
    elif how == "missing":
        package.unlink()
    elif how == "not listed":
        deb(folder, "more", Source="hello")
    elif how == "no package":
        package.write_text("no package")
    elif how == "another name":
        package.rename(folder / "bash_1-1_amd64.deb")
    elif how == "another source":
        deb(folder, "hello", Source="bash")
    elif how == "another architecture":
        package.unlink()
        deb(folder, "hello", architecture="arm64", Source="hello")
    elif how == "link":
        (folder / "evil").symlink_to("/etc/passwd")
    elif how == "folder":
        (folder / "evil").mkdir()
    elif how == "import":
        (folder / "::import::arm64::x_1_all.deb").write_text("")
    elif how == "record":
        (folder / "result.json").write_text("{}")
    elif how == "two .changes":
        (folder / "more.changes").write_text("")
    elif how == "index fields":
        deb(folder, "hello", Source="hello", Filename="/etc/passwd")
    if how in ("no package", "another name", "another source", "another architecture", "index fields"):
        (folder / "hello_1-1_amd64.changes").unlink()
        changes(folder, "hello")


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("damaged", "another file than .changes says"),
        ("missing", "in .changes and was not delivered"),
        ("not listed", "was delivered and is not in .changes"),
        ("no package", "not a Debian package"),
        ("another name", "holds the package 'hello'"),
        ("another source", "made of the source 'bash'"),
        ("another architecture", "made for arm64"),
        ("link", "not a plain file"),
        ("folder", "not a plain file"),
        ("import", "cannot have a file of this name"),
        ("record", "cannot have a file of this name"),
        ("two .changes", "2 files called .changes"),
        ("index fields", "what only an index may have"),
    ],
)
def test_what_is_not_as_asked_for_is_refused(results: Results, delivered: Path, how: str, why: str) -> None:
    spoil(delivered, how)
    with pytest.raises(RefusedError, match=why):
        results.accept(ASKED, delivered)
    assert results.read("stable", "amd64", "hello") is None
    assert results.sources("stable", "amd64") == []


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (replace(ASKED, version="2-1", binary_version="2-1"), "says version '1-1'; asked for was '2-1'"),
        (replace(ASKED, binary_version="1-1+b1"), r"says version '1-1'; asked for was '1-1\+b1'"),
        (replace(ASKED, source="bash"), "says source 'hello'"),
        (replace(ASKED, architecture="all"), "made for amd64; asked for was all"),
        (replace(ASKED, source="../hello"), "cannot be the name of a folder|says source"),
        (replace(ASKED, suite=".hidden"), "cannot be the name of a folder"),
    ],
)
def test_a_wrong_version_or_name_is_refused(results: Results, delivered: Path, asked: Result, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        results.accept(asked, delivered)


def test_a_rebuild_without_a_new_source_says_both_versions(results: Results, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    deb(folder, "hello", "1-1+b1", Source="hello (1-1)")
    changes(folder, "hello (1-1)", "1-1+b1")
    accepted = results.accept(replace(ASKED, binary_version="1-1+b1"), folder)
    assert (accepted.version, accepted.binary_version) == ("1-1", "1-1+b1")


def test_results_of_others_have_to_be_signed(
    results: Results, delivered: Path, key: local_archive.Key, stranger: local_archive.Key
) -> None:
    path = delivered / "hello_1-1_amd64.changes"
    text = path.read_text()
    for content in (text.encode(), stranger.sign(text)):
        path.write_bytes(content)
        with pytest.raises(RefusedError, match="not signed by a key of"):
            results.accept(ASKED, delivered, keyring=key.keyring)
    path.write_bytes(key.sign(text))
    results.accept(ASKED, delivered, keyring=key.keyring)


def test_what_stands_around_a_signed_text_does_not_count(
    results: Results, delivered: Path, key: local_archive.Key
) -> None:
    path = delivered / "hello_1-1_amd64.changes"
    signed = key.sign(path.read_text().replace("Version: 1-1", "Version: 0-1"))
    path.write_bytes(path.read_bytes() + b"\n" + signed)
    with pytest.raises(RefusedError, match=r"says version '0-1'|not signed"):
        results.accept(ASKED, delivered, keyring=key.keyring)


def test_a_kill_leaves_the_old_result_or_the_new_one(results: Results) -> None:
    files = {1: ["a_1_amd64.deb", "b_1_amd64.deb"], 2: ["a_1_amd64.deb"]}
    for effects in range(200):
        shutil.rmtree(results.folder, ignore_errors=True)
        deliver(results, "hello", "amd64", files[1], 1)
        killed = killed_after(effects, lambda: deliver(results, "hello", "amd64", files[2], 2))
        there = results.read("stable", "amd64", "hello")
        assert there is not None
        place = results.place("stable", "amd64", "hello")
        assert set(tree(place)) == {*files[there.attempt], "result.json", "stanzas"}
        with results.locked("stable"):
            pass
        assert list((results.folder / "stable/.going").glob("*")) == []
        assert (results.history(1) is not None) == (there.attempt == 2)
        if not killed:
            break
    assert not killed
    assert effects > 15


def test_many_deliver_at_once_and_each_reader_sees_a_whole_result(results: Results) -> None:
    ended, wrong = threading.Event(), []
    deliver(results, "hello", "amd64", ["a_1_amd64.deb"], 1)

    def read() -> None:
        while not ended.is_set():
            if results.read("stable", "amd64", "hello") is None:
                wrong.append("nothing there")

    def bring(first: int) -> None:
        for attempt in range(first, first + 5):
            deliver(results, "hello", "amd64", ["a_1_amd64.deb"], attempt)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=bring, args=(first,)) for first in (10, 20, 30)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    reader.join()
    assert wrong == []
    assert len(list((results.folder / "history").iterdir())) == 15


def test_a_folder_taken_for_a_dead_ones_before_it_is_held_is_made_again(
    results: Results, delivered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def mkdtemp(*, dir: Path) -> str:
        made.append(tempfile.mkdtemp(dir=dir))
        if len(made) == 1:
            with results.locked("stable"):  # where another process clears what killed ones left
                pass
        return made[-1]

    monkeypatch.setattr("image_builder.archive.results.mkdtemp", mkdtemp)
    results.accept(ASKED, delivered)
    assert len(made) == 2
    assert not Path(made[0]).exists()
    assert results.read("stable", "amd64", "hello") is not None


def test_sources_are_taken_in_once(results: Results, tmp_path: Path) -> None:
    dsc = source_package(tmp_path, "hello", "1")
    taken = results.accept_source("stable", "contrib", dsc)
    assert (taken.source, taken.version, taken.component) == ("hello", "1", "contrib")
    place = results.place("stable", "source", "hello")
    assert {"hello_1.dsc", "hello_1.tar.gz"} < set(tree(place))
    before = place.stat().st_ino
    results.accept_source("stable", "contrib", dsc)
    assert place.stat().st_ino == before
    (tmp_path / "hello_1.tar.gz").write_text("another")
    with pytest.raises(RefusedError, match="another file than the"):
        results.accept_source("stable", "contrib", dsc)
    (tmp_path / "hello_1.tar.gz").unlink()
    with pytest.raises(RefusedError, match="not beside it"):
        results.accept_source("stable", "contrib", dsc)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": [{"name": 1}]}'])
def test_a_record_nobody_wrote_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no record of a result"):
        Result.parse(text, where=tmp_path)
