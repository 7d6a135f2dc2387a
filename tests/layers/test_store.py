"""Layers by key: made once, seen whole, shared, pruned."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from image_builder.errors import PipelineError
from image_builder.layers import Construction, Layer, Store

Put = Callable[..., Layer]
Key = Callable[[int], str]


def test_a_layer_is_made_and_found_again(store: Store, put: Put, key: Key) -> None:
    assert store.get(key(1)) is None
    made = put(1, {"etc/x": "content"}, parent=None, name="base")
    found = store.get(key(1))
    assert found
    assert (found.key, found.diff, found.meta) == (key(1), made.diff, {"parent": None, "name": "base"})
    assert (found.diff / "etc/x").read_text() == "content"
    assert found.size_bytes >= 4096
    with store.building(key(1)) as again:
        assert isinstance(again, Layer), "made once"
    assert [layer.key for layer in store.list()] == [key(1)]
    assert list((store.root / "building").iterdir()) == []


def test_an_empty_place_is_asked_without_being_made(tmp_path: Path, key: Key) -> None:
    store = Store(tmp_path / "none")
    assert (store.get(key(1)), store.recall("solution", "x")) == (None, None)
    assert (store.list(), store.failed(), store.verify(deep=True), store.prune(0)) == ([], [], [], [])
    assert not store.root.exists()


@pytest.mark.parametrize("key", ["", "ab", "A" * 64, "../" + "a" * 61, "g" * 64])
def test_a_key_is_a_sha256(store: Store, key: str) -> None:
    with pytest.raises(PipelineError, match="not a key"):
        store.get(key)


def test_the_root_of_a_layer_is_open_whatever_the_umask(put: Put) -> None:
    before = os.umask(0o077)
    try:
        assert put(1).diff.stat().st_mode & 0o777 == 0o755
    finally:
        os.umask(before)


def test_what_is_not_committed_is_thrown_away(store: Store, key: Key) -> None:
    with pytest.raises(ZeroDivisionError), store.building(key(1)) as construction:
        assert isinstance(construction, Construction)
        (construction.diff / "half").touch()
        raise ZeroDivisionError
    assert store.get(key(1)) is None
    assert store.failed() == []
    assert list((store.root / "building").iterdir()) == []


def test_a_failed_step_is_kept_for_a_look_until_the_next_build(store: Store, key: Key) -> None:
    with store.building(key(1)) as construction:
        assert isinstance(construction, Construction)
        (construction.diff / "half").touch()
        construction.abandon(meta={"step": "hook"})
    (failed,) = store.failed()
    assert (failed.key, failed.meta, (failed.diff / "half").exists()) == (key(1), {"step": "hook"}, True)
    with Store(store.root) as next_build:
        next_build.forget_failed()
        assert failed.diff.exists(), "somebody is looking"
    store.close()
    with Store(store.root) as next_build:
        next_build.forget_failed()
    assert not failed.diff.exists()


def test_the_next_try_takes_the_place_of_the_failed_one(store: Store, put: Put, key: Key) -> None:
    with store.building(key(1)) as construction:
        assert isinstance(construction, Construction)
        construction.abandon()
    put(1)
    assert store.failed() == []


def test_a_construction_ends_once(store: Store, key: Key) -> None:
    with store.building(key(1)) as construction:
        assert isinstance(construction, Construction)
        construction.commit({})
        with pytest.raises(PipelineError, match="ended already"):
            construction.abandon()
    assert store.get(key(1))


def test_another_thread_waits_and_gets_the_layer(store: Store, key: Key) -> None:
    begun, waiting = threading.Event(), threading.Event()
    told: list[str] = []
    got: list[Layer | Construction] = []

    def on_wait(who: str) -> None:
        told.append(who)
        waiting.set()

    def second() -> None:
        begun.wait()
        with store.building(key(1), on_wait=on_wait) as layer:
            got.append(layer)

    thread = threading.Thread(target=second)
    thread.start()
    with store.building(key(1)) as construction:
        assert isinstance(construction, Construction)
        begun.set()
        assert waiting.wait(10)
        made = construction.commit({})
    thread.join()
    assert [layer.key for layer in got if isinstance(layer, Layer)] == [made.key]
    assert len(told) == 1
    assert told[0].startswith(f"pid {os.getpid()} (")
    assert " since " in told[0]


def test_who_waits_for_one_that_fails_makes_it(store: Store, key: Key) -> None:
    waiting = threading.Event()
    got: list[Layer | Construction] = []

    def second() -> None:
        with store.building(key(1), on_wait=lambda _: waiting.set()) as construction:
            got.append(construction)

    with store.building(key(1)) as construction:
        assert isinstance(construction, Construction)
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        construction.abandon()
    thread.join()
    assert isinstance(got[0], Construction)


def test_waiting_can_be_cancelled(store: Store, key: Key) -> None:
    cancel = threading.Event()
    with (
        store.building(key(1)),
        pytest.raises(PipelineError, match="cancelled"),
        store.building(key(1), on_wait=lambda _: cancel.set(), cancel=cancel),
    ):
        pass


def damage_meta(layer: Layer) -> None:
    (layer.directory / "meta.json").write_text("")


def damage_diff(layer: Layer) -> None:
    layer.diff.rename(layer.directory / "elsewhere")


def damage_power(layer: Layer) -> None:
    """As if the machine had gone down before the layer was written out."""
    path = layer.directory / "meta.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "boot": "another"}))
    (layer.directory / "durable").unlink(missing_ok=True)


@pytest.mark.parametrize("damage", [damage_meta, damage_diff, damage_power])
def test_a_damaged_layer_is_said_not_used_and_made_anew(
    store: Store, put: Put, key: Key, damage: Callable[[Layer], None], caplog: pytest.LogCaptureFixture
) -> None:
    layer = put(1)
    store.close()  # written out: nothing marks it durable afterwards
    damage(layer)
    with caplog.at_level(logging.WARNING):
        assert store.get(key(1)) is None
    assert "damaged" in caplog.text
    assert [problem.path for problem in store.verify(deep=False)] == [layer.directory]
    put(1)
    assert store.get(key(1))


def test_a_layer_written_out_is_trusted_after_the_next_start_of_the_machine(store: Store, put: Put, key: Key) -> None:
    layer = put(1)
    store.close()
    assert (layer.directory / "durable").exists()
    about = json.loads((layer.directory / "meta.json").read_text())
    (layer.directory / "meta.json").write_text(json.dumps({**about, "boot": "another"}))
    assert store.get(key(1))


def test_prune_takes_the_oldest_and_leaves_what_is_in_use(store: Store, put: Put, key: Key) -> None:
    for number in range(4):
        put(number, {"file": "x" * 100_000}, used=1000 + number)
    size = store.list()[0].size_bytes
    store.close()
    with Store(store.root) as other, Store(store.root) as build:
        assert build.get(key(0))
        os.utime(store.root / "layers" / key(0)[:16] / "used", (1000, 1000))
        would = other.prune(2 * size, dry_run=True)
        assert [item.key for item in would] == [key(1), key(2)]
        assert len(other.list()) == 4
        assert other.prune(2 * size) == would
        assert [layer.key for layer in other.list()] == [key(0), key(3)]
        assert list((store.root / "trash").iterdir()) == []
    assert [item.key for item in store.prune(0)] == [key(0), key(3)]


def test_prune_does_not_take_what_its_own_store_uses(store: Store, put: Put) -> None:
    put(1)
    assert store.prune(0) == []


def test_a_clock_set_back_changes_the_order_of_pruning_only(store: Store, put: Put, key: Key) -> None:
    put(1, used=4_000_000_000)
    put(2, used=-100)
    assert store.get(key(1))
    assert {layer.key for layer in store.list()} == {key(1), key(2)}
    assert store.verify(deep=True) == []
