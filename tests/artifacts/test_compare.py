"""Manifests and file lists, held against each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from image_builder.artifacts.compare import Entry, changes, files, packages

LISTING = """\
.:
total 76
lrwxrwxrwx 1 root root    7 Jul 17 17:05 bin -> usr/bin
drwxr-xr-x 2 root root 4096 Jul 17  2025 boot
-rw-r--r-- 1 root root  123 Nov  1 09:00 name with  blanks

./dev:
total 0
crw-rw-rw- 1 root root 1, 3 Nov 21 13:37 null
brw-rw---- 1 root disk 8,  0 Nov 21 13:37 sda

./etc:
-rwsr-xr-x 1 root _ssh 31 Nov 21 13:37 odd: -> name:
-rw-r----- 1 root shadow 500 Nov 21 13:37 shadow
?????????? ? ?    ?        ?            ? unreadable
"""


def test_a_listing() -> None:
    assert files(LISTING) == {
        "./bin": Entry("lrwxrwxrwx", "root", "root", link="usr/bin"),
        "./boot": Entry("drwxr-xr-x", "root", "root"),
        "./name with  blanks": Entry("-rw-r--r--", "root", "root", "123"),
        "./dev/null": Entry("crw-rw-rw-", "root", "root", "1,3"),
        "./dev/sda": Entry("brw-rw----", "root", "disk", "8,0"),
        "./etc/odd: -> name:": Entry("-rwsr-xr-x", "root", "_ssh", "31"),
        "./etc/shadow": Entry("-rw-r-----", "root", "shadow", "500"),
    }


def test_an_entry_in_words() -> None:
    assert str(Entry("-rw-r--r--", "root", "adm", "5")) == "-rw-r--r-- root:adm 5"
    assert str(Entry("lrwxrwxrwx", "root", "root", link="x")) == "lrwxrwxrwx root:root -> x"


def test_a_manifest() -> None:
    assert packages("apt\t3.0.4\nlibc6:amd64\t2.41-12\n\nodd line\n") == {"apt": "3.0.4", "libc6:amd64": "2.41-12"}


@given(st.dictionaries(st.text(max_size=3), st.integers()), st.dictionaries(st.text(max_size=3), st.integers()))
def test_changes_lead_from_one_to_the_other(one: dict[str, int], two: dict[str, int]) -> None:
    found = changes(one, two)
    made = {n: v for n, v in one.items() if n not in found.removed}
    made |= found.added
    made |= {n: new for n, (_, new) in found.changed.items()}
    assert made == two
    assert bool(found) == (one != two)
    assert all(old != new for old, new in found.changed.values())
    assert list(found.added) == sorted(found.added)
