"""Published to a folder, and read by the real apt over HTTP."""

from __future__ import annotations

import lzma
import re
import subprocess
import threading
from pathlib import Path

import pytest
from local_archive import served
from published import DATE, Rebuilt, apt_root, broken
from rebuilt import tree

from image_builder.archive.publish.folder import FolderPlace
from image_builder.archive.publish.indices import SuiteDescription
from image_builder.errors import PipelineError


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path / "public")


class Apt:
    """The real apt, with a root of its own that knows one archive."""

    def __init__(self, folder: Path, place: FolderPlace, address: str, components: str = "main contrib") -> None:
        self._folder, self._words = folder, apt_root(folder, address, components=components)
        (folder / "key.asc").write_bytes(place.read("archive-key.asc") or b"")

    def __call__(self, program: str, *arguments: str) -> str:
        command = [program, *self._words, *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self._folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "W:" not in done.stderr, done.stderr
        return done.stdout


def test_apt_reads_components_sources_and_what_is_for_all(rebuilt: Rebuilt, place: FolderPlace, tmp_path: Path) -> None:
    done = rebuilt.publish(place)
    assert [(one.packages, one.sources) for one in done] == [(3, 1)]
    with served(place.folder) as address:
        apt = Apt(tmp_path / "apt", place, address)
        apt("apt-get", "update")
        assert "Rebuilt" in apt("apt-cache", "policy")
        assert re.search(r"500 http://\S+ stable/contrib amd64 Packages", apt("apt-cache", "policy", "extra"))
        apt("apt-get", "download", "hello", "hello-doc", "extra")
        apt("apt-get", "source", "--download-only", "hello")
        assert {path.name for path in (tmp_path / "apt").glob("*_*")} == {
            "hello_1-1_amd64.deb", "hello-doc_1-1_all.deb", "extra_1-1_amd64.deb", "hello_1.dsc", "hello_1.tar.gz",
        }  # fmt: skip
        only_main = Apt(tmp_path / "main", place, address, components="main")
        only_main("apt-get", "update")
        assert only_main("apt-cache", "policy", "extra") == ""


def test_the_other_architecture_has_what_is_for_all(rebuilt: Rebuilt, place: FolderPlace) -> None:
    rebuilt.publish(place)
    data = lzma.decompress(place.read("dists/stable/main/binary-arm64/Packages.xz") or b"").decode()
    assert re.findall("(?m)^Package: (.*)$", data) == ["hello-doc"]


def test_the_same_results_and_date_are_the_same_bytes(rebuilt: Rebuilt, place: FolderPlace, tmp_path: Path) -> None:
    rebuilt.publish(place)
    again = FolderPlace(tmp_path / "again")
    (rebuilt.folder / "cache").rename(rebuilt.folder / "cache of the first")
    rebuilt.publish(again)
    assert tree(place.folder) == tree(again.folder)


def test_what_is_there_is_not_written_again(rebuilt: Rebuilt, place: FolderPlace) -> None:
    rebuilt.publish(place)
    before = {path: path.stat().st_mtime_ns for path in place.folder.rglob("*") if path.is_file()}
    assert rebuilt.publish(place)[0].uploaded == 0
    assert {path: path.stat().st_mtime_ns for path in place.folder.rglob("*") if path.is_file()} == before
    rebuilt.build("extra", {"extra": "amd64"}, "2-1", component="contrib")
    done = rebuilt.publish(place, DATE + 1)[0]
    assert done.uploaded == 3  # the package, and its component's index, packed in two ways


def test_old_files_stay_for_so_many_publications(rebuilt: Rebuilt, place: FolderPlace) -> None:
    for number in range(4):
        rebuilt.build("extra", {"extra": "amd64"}, f"{number}-1", component="contrib")
        rebuilt.publish(place, DATE + number, keep=2)
    there = sorted(path.name for path in place.folder.rglob("extra_*"))
    assert there == ["extra_2-1_amd64.deb", "extra_3-1_amd64.deb"]
    assert len(list((place.folder / "dists/stable/contrib/binary-amd64/by-hash/SHA256").iterdir())) == 4
    assert sorted(path.name for path in (place.folder / ".generations/stable").iterdir()) == ["00000003", "00000004"]


def test_two_suites_share_a_pool_and_neither_loses_the_others_files(rebuilt: Rebuilt, place: FolderPlace) -> None:
    both = (SuiteDescription("stable"), SuiteDescription("stable", name="stable-next"))
    rebuilt.publish(place, suites=both)
    for number in range(3):
        rebuilt.build("hello", {"hello": "amd64"}, f"{number}-2")
        rebuilt.publish(place, DATE + number, keep=1, suites=both[1:])
    assert broken(place.read, "stable") == broken(place.read, "stable-next") == []
    assert sorted(path.name for path in place.folder.rglob("hello_*.deb")) == [
        "hello_1-1_amd64.deb",
        "hello_2-2_amd64.deb",
    ]


def test_installers_find_their_packages_in_a_section_of_their_own(rebuilt: Rebuilt, place: FolderPlace) -> None:
    rebuilt.build("disk", {"disk": "amd64"})
    folder = rebuilt.results.place("stable", "amd64", "disk")
    (folder / "disk_1-1_amd64.deb").rename(folder / "disk_1-1_amd64.udeb")
    text = (folder / "result.json").read_text().replace("_amd64.deb", "_amd64.udeb")
    (folder / "result.json").write_text(text)
    rebuilt.publish(place)
    release = (place.read("dists/stable/InRelease") or b"").decode()
    assert "main/debian-installer/binary-amd64/Packages.xz" in release
    assert "Components: main contrib\n" in release
    assert (place.folder / "dists/stable/main/debian-installer/binary-amd64/Packages.xz").exists()


def test_a_component_can_be_said_for_a_package_and_is_in_its_section(rebuilt: Rebuilt, place: FolderPlace) -> None:
    rebuilt.build("tools", {"tools": "amd64", "more": "amd64"}, Section="non-free/utils")
    rebuilt.publish(place, suites=(SuiteDescription("stable", components={"more": "universe"}),))
    assert len(list((place.folder / "pool/non-free/t/tools").rglob("tools_*.deb"))) == 1
    assert len(list((place.folder / "pool/universe/t/tools").rglob("more_*.deb"))) == 1
    assert b"\nComponents: main contrib non-free universe\n" in (place.read("dists/stable/InRelease") or b"")


def test_a_date_before_the_one_that_is_published_is_refused(rebuilt: Rebuilt, place: FolderPlace) -> None:
    rebuilt.publish(place)
    with pytest.raises(PipelineError, match="apt would not take it"):
        rebuilt.publish(place, DATE - 1)


def test_what_apt_ftparchive_remembers_may_be_damaged(rebuilt: Rebuilt, place: FolderPlace) -> None:
    rebuilt.publish(place)
    before = tree(place.folder)
    for path in (rebuilt.folder / "cache/seen").glob("*.db"):
        path.write_bytes(b"killed while it was written" * 1000)
    rebuilt.publish(place, check=True)
    assert tree(place.folder) == before


def test_what_somebody_deleted_is_written_again_when_it_is_checked(rebuilt: Rebuilt, place: FolderPlace) -> None:
    rebuilt.publish(place)
    before = tree(place.folder)
    next(place.folder.rglob("extra_*.deb")).unlink()
    assert broken(place.read, "stable") != []
    assert rebuilt.publish(place, check=True)[0].uploaded == 1
    assert tree(place.folder) == before


def test_how_long_it_holds_is_said_if_asked_for(rebuilt: Rebuilt, place: FolderPlace) -> None:
    rebuilt.publish(place)
    assert b"Valid-Until" not in (place.read("dists/stable/InRelease") or b"")
    rebuilt.publish(place, suites=(SuiteDescription("stable", valid_for_s=86400),))
    release = (place.read("dists/stable/InRelease") or b"").decode()
    assert "Date: Sun, 15 Jun 2025 15:06:40 UTC\n" in release
    assert "Valid-Until: Mon, 16 Jun 2025 15:06:40 UTC\n" in release


def test_readers_never_see_a_broken_state(rebuilt: Rebuilt, place: FolderPlace, tmp_path: Path) -> None:
    """apt updates and downloads all the time while one publication follows the other."""
    rebuilt.publish(place)
    ended, seen = threading.Event(), set()
    with served(place.folder) as address:
        apt = Apt(tmp_path / "apt", place, address)

        def read() -> None:
            apt("apt-get", "update")
            version = re.search(r"Candidate: (\S+)", apt("apt-cache", "policy", "hello"))
            apt("apt-get", "download", "hello", "hello-doc")
            seen.add(version[1] if version else "")

        failures: list[BaseException] = []

        def loop() -> None:
            try:
                while not ended.is_set():
                    read()
            except AssertionError as e:
                failures.append(e)

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            for number in range(2, 8):
                rebuilt.build("hello", {"hello": "amd64", "hello-doc": "all"}, "1-1", content=f"other bytes {number}")
                rebuilt.build("new", {f"new{number}": "amd64"}, f"{number}-1")
                rebuilt.publish(place, DATE + number)
        finally:
            ended.set()
            thread.join()
        read()
    assert failures == []
    assert seen == {"1-1"}
    assert broken(place.read, "stable") == []
