from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.errors import ConfigError
from snaps.manifest import parse, text


def test_lines_of_all_kinds() -> None:
    found = parse("# made by a tool\n\nhello 29\ncore22 1380\ncanonical/set-1=3\ncanonical/set-2 4\n")
    assert found.revisions == {"hello": 29, "core22": 1380}
    assert found.sets == ("canonical/set-1=3", "canonical/set-2 4")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (" hello 29", "is not NAME REVISION"),
        ("hello", "is not NAME REVISION"),
        ("hello 29 30", "is not NAME REVISION"),
        ("hello 0", "is no revision"),
        ("hello x1", "made locally"),
        ("hello -3", "is no revision"),
        ("Hello 3", "is not NAME REVISION"),
        ("a/b/c=1", "is no validation set"),
        ("account/set=0", "is no validation set"),
        ("account/set", "is no validation set"),
        ("account/set=1 2", "is no validation set"),
    ],
)
def test_other_lines_are_refused_by_number(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as e:
        parse(f"# one\n{line}\n")
    assert e.value.where == "seed.manifest:2"


def test_a_snap_has_one_revision() -> None:
    assert parse("hello 1\nhello 1\n").revisions == {"hello": 1}
    with pytest.raises(ConfigError, match="twice"):
        parse("hello 1\nhello 2\n")


NAME = st.from_regex(r"[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,9})?", fullmatch=True)


@given(st.dictionaries(NAME, st.integers(1, 10**9)))
def test_what_is_written_is_read_back(revisions: dict[str, int]) -> None:
    assert parse(text(revisions.items())).revisions == revisions
