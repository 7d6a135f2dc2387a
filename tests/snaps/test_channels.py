from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.errors import ConfigError
from snaps.channels import RISKS, parse


@pytest.mark.parametrize(
    ("text", "full", "short"),
    [
        ("stable", "latest/stable", "stable"),
        ("edge", "latest/edge", "edge"),
        ("3.2", "3.2/stable", "3.2/stable"),
        ("3.2/beta", "3.2/beta", "3.2/beta"),
        ("latest/stable", "latest/stable", "stable"),
        ("edge/fix-1", "latest/edge/fix-1", "edge/fix-1"),
        ("3.2/candidate/hot_fix", "3.2/candidate/hot_fix", "3.2/candidate/hot_fix"),
        ("stable/ubuntu-24.04", "latest/stable/ubuntu-24.04", "stable/ubuntu-24.04"),
    ],
)
def test_forms_people_write(text: str, full: str, short: str) -> None:
    assert (str(parse(text)), parse(text).short) == (full, short)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a channel"),
        ("a/b/c/d", "is not a channel"),
        ("/stable", "is not a channel"),
        ("stable/", "is not a channel"),
        ("3.2/hot", "'hot' in '3.2/hot' is not a risk"),
        ("edge/stable/x", "has a risk where the track stands"),
        ("st able", "is not a channel"),
        ("stable\n", "is not a channel"),
        ("../stable", "is not a channel"),
    ],
)
def test_what_is_no_channel_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(text)


WORD = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True).filter(lambda word: word not in RISKS)


@given(WORD, st.sampled_from(RISKS), st.just("") | WORD)
def test_the_full_form_is_read_back(track: str, risk: str, branch: str) -> None:
    full = "/".join(part for part in (track, risk, branch) if part)
    assert str(parse(full)) == full
    assert parse(parse(full).short) == parse(full)
