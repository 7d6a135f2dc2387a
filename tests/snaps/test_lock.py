"""From wishes to a lock, through a store on a real socket with real snap files and real signatures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from assertion_signer import Authority, b64url
from snap_store import SnapStore, snap_id, status

from image_builder.errors import ConfigError, PipelineError, SurroundingsError
from image_builder.lock import SnapPin
from snaps.assertions.refused import RefusedError
from snaps.assertions.trust import from_text
from snaps.files import SnapFiles
from snaps.lock import SnapSet, resolve, unmet
from snaps.locked import have
from snaps.store.client import StoreClient
from snaps.store.errors import NotFoundError
from snaps.wishes import Wish, parse

NOW = datetime(2026, 9, 1, tzinfo=UTC)
Lock = Callable[..., SnapSet]


class Quiet:
    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, *_: Any) -> None: ...
    def got(self, *_: Any) -> None: ...
    def done(self, *_: Any) -> None: ...
    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def lock(signed_store: SnapStore, store_client: StoreClient, snap_authority: Authority, tmp_path: Path) -> Lock:  # noqa: ARG001
    """Resolve these wishes."""

    def made(*texts: str | Wish, **how: Any) -> SnapSet:
        wishes = [one if isinstance(one, Wish) else parse(one) for one in texts]
        trust = from_text(snap_authority.trust, where="test", now=NOW)
        settings = {"trust": trust, "now": NOW, "progress": Quiet()} | how
        return resolve(wishes, store_client, SnapFiles(tmp_path / "snaps"), **settings)

    return made


def pin(made: SnapSet, name: str) -> SnapPin:
    return next(one for one in made.pins if one.name == name)


def test_a_snap_with_all_it_needs(signed_store: SnapStore, lock: Lock) -> None:
    quiet = Quiet()
    made = lock("editor", progress=quiet)
    assert [(one.name, one.revision, one.needs) for one in made.pins] == [
        ("core22", 22, ()), ("editor", 3, ("core22", "theme")), ("snapd", 1, ()), ("theme", 5, ("core22",)),
    ]  # fmt: skip
    assert quiet.said == [
        "snapd: added, every set of snaps needs it",
        "core22: added, base of editor",
        "theme: added, default provider of content of editor",
    ]
    found = pin(made, "editor")
    kept = signed_store.revisions["editor", 3]
    assert (found.snap_id, found.sha3_384, found.size_bytes) == (snap_id("editor"), kept.sha3_384, len(kept.data))
    assert (found.type, found.base, found.publisher) == ("app", "core22", "publisher")
    assert (pin(made, "core22").type, pin(made, "core22").base) == ("base", "")
    assert (found.channel, found.effective_channel, found.classic) == ("latest/stable", "latest/stable", False)


def test_every_snap_has_a_cohort_of_its_own(signed_store: SnapStore, lock: Lock) -> None:
    made = lock("hello")
    assert signed_store.paths("cohorts|refresh") == ["POST /v2/cohorts", "POST /v2/snaps/refresh"] * 2
    found = pin(made, "hello")
    assert found.cohort in signed_store.cohorts
    assert found.cohort_created == datetime.fromtimestamp(1_790_000_000, UTC)
    assert len({one.cohort for one in made.pins}) == 3


@pytest.mark.parametrize("key", ["+", "one-for-the-whole-store"])
def test_a_cohort_key_of_ones_own(signed_store: SnapStore, lock: Lock, key: str) -> None:
    made = lock("hello", cohort_key=key)
    assert {one.cohort for one in made.pins} == {key}
    assert made.notes == ()
    assert signed_store.paths("cohorts") == []
    asked = [a.body["actions"] for a in signed_store.asked if a.path.endswith("refresh")]
    assert {action["cohort-key"] for actions in asked for action in actions} == {key}


def test_a_cohort_holds_while_the_store_releases(signed_store: SnapStore, lock: Lock) -> None:
    key = signed_store.cohort_key("hello")
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    made = lock("hello", cohort_key=key)
    assert pin(made, "hello").revision == 29
    assert made.notes == tuple(
        f"{name}: the cohort key was made for another snap (id {snap_id('hello')}), so it fixes nothing here"
        for name in ("snapd", "core22")
    )


def test_a_cohort_key_of_91_days(signed_store: SnapStore, lock: Lock) -> None:
    key = signed_store.cohort_key("hello", created=int((NOW - timedelta(days=91)).timestamp()))
    assert "hello: the cohort key is 91 days old; from 90 on it stands for other revisions" in lock(
        "hello", cohort_key=key
    ).notes  # fmt: skip


def test_a_revision_by_number(signed_store: SnapStore, lock: Lock) -> None:
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    found = pin(lock(Wish("hello", revision=29)), "hello")
    assert (found.revision, found.cohort, found.effective_channel) == (29, None, "")


def test_a_closed_channel_is_told(lock: Lock) -> None:
    made = lock("hello=edge")
    assert made.notes == ("hello: from latest/stable in place of latest/edge (the one asked for is closed)",)
    assert (pin(made, "hello").channel, pin(made, "hello").effective_channel) == ("latest/edge", "latest/stable")


def test_classic_has_to_be_allowed(lock: Lock) -> None:
    with pytest.raises(ConfigError, match="go needs classic confinement, which nobody allowed it: ask for go/classic"):
        lock("go=1.22")
    made = lock("go/classic=1.22", "hello/classic")
    assert pin(made, "go").classic
    assert not pin(made, "hello").classic
    assert made.notes == ("hello: classic confinement was allowed, and is not needed",)


def test_a_base_asked_for_by_name_keeps_its_channel(signed_store: SnapStore, lock: Lock) -> None:
    signed_store.add_snap(23, {"name": "core22", "type": "base"}, channel="latest/edge")
    assert pin(lock("hello", "core22=edge"), "core22").revision == 23


def test_snaps_of_the_first_days(signed_store: SnapStore, lock: Lock) -> None:
    signed_store.add_snap(4, {"name": "old"})
    signed_store.add_snap(16, {"name": "core", "type": "os"})
    made = lock("old")
    assert pin(made, "old").base == "core"
    assert (pin(made, "core").type, pin(made, "core").base) == ("os", "")


def test_channels_that_are_not_there_are_told_with_those_that_are(lock: Lock) -> None:
    with pytest.raises(NotFoundError, match=r"go, channel latest/stable: .*released are 1\.22/stable \(amd64\)"):
        lock("hello", "go", cohort_key="+")


def test_a_base_the_store_does_not_have(signed_store: SnapStore, lock: Lock) -> None:
    signed_store.add_snap(4, {"name": "new", "base": "core99"})
    with pytest.raises(NotFoundError, match="No snap named 'core99'"):
        lock("new")


def test_a_file_with_another_name_inside(signed_store: SnapStore, lock: Lock) -> None:
    signed_store.add("hello", 31, signed_store.revisions["theme", 5].data, {"name": "hello"})
    with pytest.raises(PipelineError, match="hello: revision 31 is a file that calls itself theme"):
        lock("hello")


def test_a_store_that_is_away_pins_nothing(signed_store: SnapStore, lock: Lock) -> None:
    signed_store.fault("cohorts", answer=status(503))
    with pytest.raises(SurroundingsError):
        lock("hello")
    assert signed_store.paths("refresh") == []


def test_the_proofs_are_whole_and_in_order(lock: Lock) -> None:
    texts = lock("hello").assertions
    kinds = [text.split("\n", 1)[0].removeprefix("type: ") for text in texts]
    assert kinds.count("snap-revision") == kinds.count("snap-declaration") == 3
    assert kinds.index("account-key") < kinds.index("snap-declaration") < kinds.index("snap-revision")
    assert lock("hello").assertions == texts


def assertion_fault(store: SnapStore, *key: str, data: bytes | None) -> None:
    """The store has something else under this key, or nothing."""
    if data is None:
        del store.assertions[key]
    else:
        assert key in store.assertions
        store.assertions[key] = data


HELLO = ("snap-declaration", "16", snap_id("hello"))


def test_an_assertion_that_is_not_there(signed_store: SnapStore, lock: Lock) -> None:
    assertion_fault(signed_store, *HELLO, data=None)
    with pytest.raises(NotFoundError, match=f"snap-declaration/16/{snap_id('hello')}"):
        lock("hello")


def test_a_file_nobody_signed(signed_store: SnapStore, lock: Lock) -> None:
    sha3 = b64url(signed_store.revisions["hello", 29].sha3_384)
    assertion_fault(signed_store, "snap-revision", sha3, data=None)
    with pytest.raises(NotFoundError, match=f"snap-revision/{sha3}"):
        lock("hello")


def test_other_bytes_than_were_signed(signed_store: SnapStore, lock: Lock) -> None:
    """The store offers another file under the same revision, with hashes that fit."""
    signed_store.authority = None
    signed_store.add_snap(29, {"name": "hello", "base": "core22"}, payload=b"evil")
    with pytest.raises(NotFoundError, match="snap-revision/"):
        lock("hello")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"snap_id": snap_id("theme"), "revision": 29}, "snap-id", id="of another snap with the same size"),
        pytest.param({"snap_id": snap_id("hello"), "revision": 28}, "revision 28", id="an old revision replayed"),
    ],
)
def test_a_snap_revision_that_says_another_thing(
    signed_store: SnapStore, snap_authority: Authority, lock: Lock, change: dict[str, Any], said: str
) -> None:
    lock("theme")  # its declaration is in the store
    kept = signed_store.revisions["hello", 29]
    made = snap_authority.snap_revision(
        kept.sha3_384, len(kept.data), change["snap_id"], change["revision"], kept.publisher
    )
    assertion_fault(signed_store, "snap-revision", b64url(kept.sha3_384), data=made)
    with pytest.raises(RefusedError, match=said):
        lock("hello")


def test_a_declaration_with_another_name(signed_store: SnapStore, snap_authority: Authority, lock: Lock) -> None:
    made = snap_authority.snap_declaration(snap_id("hello"), "other", "publisher")
    assertion_fault(signed_store, *HELLO, data=made)
    with pytest.raises(RefusedError, match="this snap is called other, not hello"):
        lock("hello")


def test_an_answer_with_another_assertion(signed_store: SnapStore, lock: Lock) -> None:
    assertion_fault(signed_store, *HELLO, data=signed_store.assertions["snap-declaration", "16", snap_id("theme")])
    with pytest.raises(RefusedError, match="answers with another assertion"):
        lock("hello")


def test_a_stranger_signs(signed_store: SnapStore, lock: Lock) -> None:
    stranger = Authority("stranger")
    assertion_fault(signed_store, *HELLO, data=stranger.snap_declaration(snap_id("hello"), "hello", "publisher"))
    signed_store.assertions["account-key", stranger.store.id] = stranger.store_account_key
    signed_store.assertions["account-key", stranger.root.id] = stranger.root_account_key
    signed_store.assertions["account", "stranger"] = stranger.root_account
    with pytest.raises(RefusedError):
        lock("hello")


def test_nothing_older_than_the_lock_before(signed_store: SnapStore, snap_authority: Authority, lock: Lock) -> None:
    new = snap_authority.snap_declaration(snap_id("hello"), "hello", "publisher", revision="8")
    old = signed_store.assertions[HELLO]
    assertion_fault(signed_store, *HELLO, data=new)
    made = lock("hello")
    assertion_fault(signed_store, *HELLO, data=old)
    with pytest.raises(RefusedError, match="revision"):
        lock("hello", known=made.assertions)


def test_what_a_lock_is_without(lock: Lock) -> None:
    pins = lock("hello", "go/classic=1.22").pins
    assert unmet([parse("hello"), parse("go/classic=1.22"), parse("core22")], pins) == []
    assert unmet([parse("hello=edge"), parse("go=1.22"), parse("x"), Wish("core22", revision=1)], pins) == [
        "hello: snaps asks for latest/edge, the lock has latest/stable",
        "go needs classic confinement: ask for go/classic (snaps)",
        "x (snaps) is not in the lock, which has core22, go, hello, snapd",
        "core22: snaps asks for revision 1, the lock has 22",
    ]


def test_the_files_of_a_lock(signed_store: SnapStore, store_client: StoreClient, lock: Lock, tmp_path: Path) -> None:
    pins = lock("hello").pins
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    files = SnapFiles(tmp_path / "elsewhere")
    assert have(pins, store_client, files, Quiet()) == sum(one.size_bytes for one in pins)
    assert all(files.has(one.sha3_384, one.size_bytes) for one in pins)
    before = len(signed_store.asked)
    assert have(pins, store_client, files, Quiet()) == 0
    assert len(signed_store.asked) == before  # with the files there, the store is not needed


def test_a_store_with_another_file_for_the_locked_revision(
    signed_store: SnapStore, store_client: StoreClient, lock: Lock, tmp_path: Path
) -> None:
    pins = lock("hello").pins
    signed_store.add_snap(29, {"name": "hello", "base": "core22"}, payload=b"other")
    with pytest.raises(PipelineError, match="hello: the store has another file for revision 29 than the lock"):
        have(pins, store_client, SnapFiles(tmp_path / "elsewhere"), Quiet())
