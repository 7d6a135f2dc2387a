"""What the builder's root is made of: pinned in the rebuild's lock, chosen by apt, fetched before it is made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from archive_fixtures import NOW
from local_archive import LocalArchive

from image_builder.archive.builder import root, tools
from image_builder.archive.builder.assignment import Tools
from image_builder.archive.configuration import ArchiveConfig
from image_builder.archive.rebuild.pins import Pins
from image_builder.errors import CommandError, PipelineError
from image_builder.layers import Store
from image_builder.lock import Lock
from proxy.archive.sources import Source

pytestmark = pytest.mark.root


class Ground:
    """A rebuild of a small archive whose builder's root is from the same archive, in another suite."""

    def __init__(self, folder: Path, archive: LocalArchive, uri: str) -> None:
        self.folder, self.archive, self.uri = folder, archive, uri
        self.store = Store(folder / "store")
        for name in sorted({"base-files", "apt", *root.PACKAGES}):
            archive.add(name, **({"Essential": "yes"} if name == "base-files" else {}))
        self.publish()

    def publish(self, hours: int = 0) -> None:
        for suite in ("stable", "tools"):
            self.archive.publish(suite, date=NOW + timedelta(hours=hours))

    def config(self, **changed: object) -> ArchiveConfig:
        given = {
            "sources": [f"deb {self.uri} stable main"], "suite": "stable", "architectures": ["amd64"],
            "tool_suite": "tools", "tool_mirror": self.uri, "keyring": str(self.archive.key.keyring), **changed,
        }  # fmt: skip
        return ArchiveConfig.model_validate(given, context={"folder": self.folder})

    def tools(self, *, update: bool = False, hours: int = 0, **changed: object) -> Tools:
        """What a start of a rebuild finds out, or has in its lock."""
        config, keyring = self.config(**changed), self.archive.key.keyring
        sources = [Source(self.uri, "stable", ("main",), ("amd64",), (keyring,))]
        now = NOW + timedelta(hours=hours)
        pins = Pins(config, keyring, self.store.downloads(), now, update=update)
        pins.of(sources)
        return pins.of_tools(sources)

    @property
    def lock(self) -> Lock:
        lock = Lock.read(self.folder / "image-builder.lock")
        assert lock is not None
        return lock


@pytest.fixture
def ground(served: str, archive: LocalArchive, tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, archive, served)
    with made.store:
        yield made


def chosen(ground: Ground, tools_: Tools) -> dict[str, str]:
    return {one.name: one.version for one in tools.solution(ground.store, tools_, root.PACKAGES).packages}


def test_the_lock_says_what_it_is_made_of_until_it_is_made_anew(ground: Ground) -> None:
    first = ground.tools()
    assert ground.lock.tool_archives == first.pins
    assert [(pin.suite, pin.date) for pin in first.pins] == [("tools", NOW)]
    assert chosen(ground, first)["sbuild"] == "1.0"
    ground.archive.add("sbuild", "2.0")
    ground.publish(hours=1)
    assert ground.tools(hours=2) == first
    assert chosen(ground, ground.tools(hours=2))["sbuild"] == "1.0"
    second = ground.tools(update=True, hours=2)
    assert chosen(ground, second)["sbuild"] == "2.0"
    assert ground.lock.tool_archives == second.pins
    assert [pin.date for pin in ground.lock.archives] == [NOW + timedelta(hours=1)]


def test_the_archive_that_is_rebuilt_is_not_pinned_twice(ground: Ground) -> None:
    """Also not at two moments: between two answers of a mirror it may be updated."""
    made = ground.tools(tool_suite="stable")
    assert [pin.inrelease_sha256 for pin in made.pins] == [pin.inrelease_sha256 for pin in ground.lock.archives]


def test_a_rebuild_of_an_instant_without_such_tools_gets_those_of_now(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    ground.archive.publish("stable", date=NOW - timedelta(days=300))
    stamp = (NOW - timedelta(days=200)).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = ground.tools(snapshot=stamp)
    assert [pin.date for pin in ground.lock.archives] == [NOW - timedelta(days=300)]
    assert [pin.date for pin in made.pins] == [NOW]
    assert "the builder's root is of now" in caplog.text


def test_another_instant_is_another_lock(ground: Ground) -> None:
    ground.tools()
    ground.publish(hours=1)
    after = (NOW + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [pin.date for pin in ground.tools(hours=3).pins] == [NOW]
    ground.tools(hours=3, snapshot=after)
    assert [pin.date for pin in ground.lock.archives] == [NOW + timedelta(hours=1)]
    before = ground.lock
    ground.tools(hours=4, snapshot=after)
    assert ground.lock == before, "the lock is of that instant"


def test_it_is_made_of_what_was_fetched(ground: Ground, tmp_path: Path) -> None:
    """Begun with packages of the pinned state, and not ended: they are not real ones."""
    made = ground.tools()
    with pytest.raises(CommandError, match="mmdebstrap"):
        root.made(ground.store, made, tmp_path / "log")
    packages = tools.solution(ground.store, made, root.PACKAGES).packages
    assert {one.name for one in packages} >= set(root.PACKAGES)
    assert all((ground.store.root / "archive/sha256" / one.sha256).exists() for one in packages)
    assert list((ground.store.root / "building").iterdir()) == []


def test_what_is_not_pinned_is_not_made(ground: Ground, tmp_path: Path) -> None:
    made = ground.tools().model_copy(update={"pins": ()})
    with pytest.raises(PipelineError, match="not pinned"):
        root.made(ground.store, made, tmp_path / "log")
