"""The build repository as the real apt reads it, also one that began with an older index."""

from __future__ import annotations

import subprocess
from pathlib import Path

from local_archive import served
from published import Rebuilt, apt_root

from image_builder.archive.publish.signing import Signer

DAY = 86_400.0


def apt(folder: Path, words: list[str], *command: str) -> str:
    done = subprocess.run(["apt-get", *words, *command], check=False, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_apt_installs_from_it_with_an_index_of_before(tmp_path: Path) -> None:
    rebuilt = Rebuilt(tmp_path, Signer())
    rebuilt.build("hello", {"hello": "amd64", "doc": "all"})
    index = rebuilt.repository.index("stable", "amd64", now=0.0)
    with served(index) as address:
        words = apt_root(tmp_path / "apt", address)
        (tmp_path / "apt/sources.list").write_text(f"deb [trusted=yes] {address} ./\n")
        apt(tmp_path / "apt", words, "update")
        rebuilt.build("hello", {"hello": "amd64"}, content="other bytes, same version")
        rebuilt.repository.index("stable", "amd64", now=100.0)
        apt(tmp_path / "apt", words, "download", "hello", "doc")  # of the index it has read
        assert (tmp_path / "apt/doc_1-1_all.deb").exists()
        apt(tmp_path / "apt", words, "update")
        apt(tmp_path / "apt", words, "download", "hello")


def test_files_of_older_indices_go_after_a_day(tmp_path: Path) -> None:
    rebuilt = Rebuilt(tmp_path, Signer())
    files = tmp_path / "repository/stable/amd64/files"
    for number in range(3):
        rebuilt.build("hello", {"hello": "amd64"}, content=f"build {number}")
        rebuilt.repository.index("stable", "amd64", now=number * 1000.0)
    assert len(list(files.iterdir())) == 3
    rebuilt.repository.index("stable", "amd64", now=1000.0 + DAY)
    assert len(list(files.iterdir())) == 2
    rebuilt.repository.index("stable", "amd64", now=2000.0 + DAY)
    assert len(list(files.iterdir())) == 1


def test_the_same_results_are_the_same_index(tmp_path: Path) -> None:
    rebuilt = Rebuilt(tmp_path, Signer())
    rebuilt.build("b", {"libb": "amd64", "aa": "amd64"})
    rebuilt.build("a", {"liba": "amd64"})
    index = rebuilt.repository.index("stable", "amd64", now=0.0)
    first = {name: (index / name).read_bytes() for name in ("Packages", "Release")}
    rebuilt.repository.rebuild("stable")
    rebuilt.repository.index("stable", "amd64", now=5.0)
    assert {name: (index / name).read_bytes() for name in first} == first
    names = [line for line in first["Packages"].decode().splitlines() if line.startswith("Package: ")]
    assert names == ["Package: aa", "Package: liba", "Package: libb"]
