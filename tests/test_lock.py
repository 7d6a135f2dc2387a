from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_builder.errors import ConfigError, PipelineError, SurroundingsError
from image_builder.lock import SCHEMA_FILE, ArchivePin, Lock, SnapPin, duration, schema

AT = datetime(2026, 3, 1, 12, 30, 0, tzinfo=UTC)


def pin(suite: str = "trixie", **changes: Any) -> ArchivePin:
    fields = {
        "uri": "http://deb.debian.org/debian",
        "suite": suite,
        "codename": suite,
        "components": ("main",),
        "architectures": ("amd64",),
        "inrelease_sha256": "ab" * 32,
        "date": AT,
        "signer": "B8" * 20,
        "from": f"http://deb.debian.org/debian/dists/{suite}/InRelease",
    }
    return ArchivePin.model_validate(fields | changes)


def snap_pin(**changes: Any) -> SnapPin:
    fields = {
        "name": "lxd",
        "snap_id": "J60k4JY0HppjwOjW8dZdYc8obXKxujRu",
        "revision": 1,
        "sha3_384": "0" * 96,
        "size_bytes": 8192,
        "channel": "latest/stable",
    }
    return SnapPin.model_validate(fields | changes)


def lock(*pins: ArchivePin, **fields: Any) -> Lock:
    return Lock(created=AT, archives=pins or (pin(),), **fields)


def text_with(**changes: Any) -> str:
    return json.dumps(json.loads(lock().text()) | changes)


def test_a_lock_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    snap = snap_pin(revision=29351, channel="5.21/stable", cohort="Mq", cohort_created=AT)
    written = lock(pin(valid_until=AT + timedelta(days=7)), snaps=(snap,), tools={"live-build": "1:2025"})
    path = tmp_path / "image-builder.lock"
    written.write(path)
    assert Lock.read(path) == written
    assert [entry.name for entry in tmp_path.iterdir()] == ["image-builder.lock"]


def test_the_same_lock_gives_the_same_bytes() -> None:
    assert lock().text() == Lock.parse(lock().text(), where="x").text()
    assert '"date": "2026-03-01T12:30:00Z"' in lock().text()
    assert '"from": "http://deb.debian.org/debian/dists/trixie/InRelease"' in lock().text()


def test_no_file_is_no_lock(tmp_path: Path) -> None:
    assert Lock.read(tmp_path / "image-builder.lock") is None


def test_a_lock_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "image-builder.lock"
    path.mkdir()  # root may write anywhere; over a folder nobody can
    with pytest.raises(SurroundingsError, match="cannot be written"):
        lock().write(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["image-builder.lock"]


def test_published_schema_is_the_models() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == schema()


def test_written_locks_keep_to_the_published_schema() -> None:
    published = json.loads(SCHEMA_FILE.read_text())
    snap = snap_pin()
    jsonschema.validate(json.loads(lock(snaps=(snap,), tools={"apt": "3"}).text()), published)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(text_with(surprise=1)), published)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "not JSON", id="empty"),
        pytest.param("[" * 100_000, "not JSON", id="nested too deep"),
        pytest.param("[]", "the lock", id="not an object"),
        pytest.param("{}", "created", id="nothing in it"),
        pytest.param(text_with(version=2), "version 2", id="version of tomorrow"),
        pytest.param(text_with(mirror="x"), "mirror: not known to this version", id="unknown field"),
        pytest.param(text_with(created="2026-03-01T12:00:00"), "created", id="instant without a zone"),
        pytest.param(text_with(archives=[{"suite": "x"}]), "archives.0.uri", id="half a pin"),
        pytest.param(
            text_with(archives=[json.loads(pin().model_dump_json(by_alias=True)) | {"inrelease_sha256": "../x"}]),
            "archives.0.inrelease_sha256",
            id="hash that is a path",
        ),
    ],
)
def test_bad_locks_are_refused_in_words(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "image-builder.lock"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        Lock.read(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_status == 2


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image-builder.lock"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not a text file"):
        Lock.read(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json_is_a_lock_or_a_clear_refusal(value: Any) -> None:
    with pytest.raises(ConfigError):
        Lock.parse(json.dumps(value), where="image-builder.lock")


def test_newest_date_is_the_newest_signed_one() -> None:
    newest = AT + timedelta(hours=1)
    assert lock(pin(), pin("trixie-updates", date=newest)).newest_date() == newest
    with pytest.raises(PipelineError, match="no archive"):
        Lock(created=AT).newest_date()


def test_digest_is_of_what_is_pinned() -> None:
    assert lock().digest == Lock(created=AT + timedelta(days=1), archives=(pin(),)).digest
    assert lock().digest != lock(pin(inrelease_sha256="cd" * 32)).digest


def test_age_in_words() -> None:
    assert lock().age(AT + timedelta(days=2, hours=3)) == "2 days (archive of 2026-03-01T12:30:00Z)"


def test_an_archive_of_the_future_says_that_the_clock_is_wrong() -> None:
    said = lock().age(AT - timedelta(days=400))
    assert said.startswith("newer than this machine's clock by 400 days, which is therefore wrong (archive of")
    assert lock().age(AT) == lock().age(AT - timedelta(minutes=1)), "two clocks may differ a little"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "less than a minute"), (59, "less than a minute"), (60, "1 minute"), (7200, "2 hours"), (86400, "1 day")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


URI = "http://deb.debian.org/debian"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param((URI, "trixie", ["main"], ["amd64"]), [], id="the same"),
        pytest.param(
            (URI, "sid", ["main"], ["amd64"]), [f"{URI} sid is not in the lock, which has trixie"], id="suite"
        ),
        pytest.param(
            ("http://x", "trixie", ["main"], ["amd64"]),
            [f"http://x trixie is not in the lock, which has {URI}"],
            id="archive",
        ),
        pytest.param(
            (URI, "trixie", ["main", "contrib"], ["amd64"]),
            [f"{URI} trixie: component contrib is not in the lock, which has main"],
            id="component",
        ),
        pytest.param(
            (URI, "trixie", ["main"], ["arm64"]),
            [f"{URI} trixie: architecture arm64 is not in the lock, which has amd64"],
            id="architecture",
        ),
    ],
)
def test_what_a_lock_does_not_cover(asked: tuple[str, str, list[str], list[str]], said: list[str]) -> None:
    assert lock().missing([asked]) == said
