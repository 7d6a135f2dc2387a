from __future__ import annotations

import json
from dataclasses import replace

import pytest

from image_builder.apt.solution import Package, Solution, parse_uris, status_text, step_between
from image_builder.errors import PipelineError

LIBC = Package("libc6", "amd64", "2.41-12", "a" * 64, 10, "http://x/libc6.deb")
TZ = Package("tzdata", "all", "2026a", "b" * 64, 5, "http://x/tzdata.deb")
APT = Package("apt", "amd64", "1:3.0_4", "c" * 64, 7, "http://x/apt.deb")
PRINTED = f"""\
Reading package lists...
Building dependency tree...
The following additional packages will be installed:
  libonig5
The following packages will be REMOVED:
  apt* tzdata
  old:i386
The following NEW packages will be installed:
  hello libonig5
'http://x/pool/libonig5_6.9_amd64.deb' libonig5_6.9_amd64.deb 100 SHA256:{"1" * 64}
'http://x/pool/hello_1%253a99-1_all.deb' hello_1%3a99-1_all.deb 2000 SHA256:{"2" * 64}
"""


def test_what_apt_would_do() -> None:
    packages, removed = parse_uris(PRINTED, architecture="amd64", where="x")
    assert packages == [
        Package("hello", "all", "1:99-1", "2" * 64, 2000, "http://x/pool/hello_1%253a99-1_all.deb"),
        Package("libonig5", "amd64", "6.9", "1" * 64, 100, "http://x/pool/libonig5_6.9_amd64.deb"),
    ]
    assert removed == [("apt", "amd64"), ("old", "i386"), ("tzdata", "amd64")]


def test_a_package_nobody_could_check_is_refused() -> None:
    line = f"'http://x/a_1_all.deb' a_1_all.deb 10 MD5Sum:{'0' * 32}\n"
    with pytest.raises(PipelineError, match="no SHA-256"):
        parse_uris(line, architecture="amd64", where="x")


def test_files_are_named_as_apt_names_them() -> None:
    assert APT.deb == "apt_1%3a3.0%5f4_amd64.deb"


def test_the_state_after_each_step() -> None:
    newer = replace(LIBC, version="2.42")
    base = Solution((APT, LIBC, TZ))
    step = Solution((newer,), (("tzdata", "all"),), base)
    assert dict(step.installed) == {("apt", "amd64"): APT, ("libc6", "amd64"): newer}
    assert dict(base.installed)["libc6", "amd64"] == LIBC


def test_a_package_that_becomes_all_replaces_itself() -> None:
    of_all = replace(LIBC, architecture="all")
    assert dict(Solution((of_all,), (), Solution((LIBC,))).installed) == {("libc6", "all"): of_all}
    assert dict(Solution((LIBC,), (), Solution((of_all,))).installed) == {("libc6", "amd64"): LIBC}


def test_several_questions_are_one_step() -> None:
    base = Solution((APT, TZ))
    state = Solution((LIBC,), (("tzdata", "all"),), Solution((), (), base))
    assert step_between(base, state) == Solution((LIBC,), (("tzdata", "all"),), base)
    assert step_between(base, base) == Solution((), (), base)


def test_the_digest_is_of_the_choice_alone() -> None:
    one = Solution((LIBC,), (), Solution((APT,)))
    elsewhere = Solution((replace(LIBC, uri="http://mirror/libc6.deb"),), (), Solution((APT,)))
    assert one.digest == elsewhere.digest
    others = [
        Solution((replace(LIBC, version="2.42"),), (), one.below),
        Solution((replace(LIBC, sha256="d" * 64),), (), one.below),
        Solution((LIBC,), (("tzdata", "all"),), one.below),
        Solution((LIBC,), (), Solution((TZ,))),
        Solution((LIBC,)),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 6


def test_a_solution_survives_json() -> None:
    one = Solution((LIBC, TZ), (("gone", "all"),), Solution((APT,)))
    again = Solution.from_json(json.loads(json.dumps(one.to_json())))
    assert again == one
    assert again.digest == one.digest
    assert again.size_bytes == 15


STANZAS = f"""\
Package: libc6
Architecture: amd64
Version: 2.41-12
Depends: libgcc-s1
Description: library
 of many lines
 Version: 0
Filename: pool/libc6.deb
Size: 10
SHA256: {"a" * 64}

Package: libc6
Architecture: amd64
Version: 2.41-12
SHA256: {"f" * 64}


Package: tzdata
Architecture: all
Version: 2026a
SHA256: {"b" * 64}
"""


def test_a_status_file_of_what_is_installed() -> None:
    text = status_text(STANZAS, Solution((LIBC, TZ)).installed, where="x")
    assert text == (
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12\nDepends: libgcc-s1\n\n"
        "Package: tzdata\nStatus: install ok installed\nArchitecture: all\nVersion: 2026a\n"
    )


def test_a_package_the_index_lacks_is_named() -> None:
    with pytest.raises(PipelineError, match=r"apt 1:3.0_4 \(amd64\) is not in the frozen index"):
        status_text(STANZAS, Solution((LIBC, APT)).installed, where="x")
