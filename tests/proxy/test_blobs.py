from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import counting_origin
import pytest

from image_builder.errors import PipelineError, SurroundingsError
from proxy import http
from proxy.blobs import Blobs
from proxy.http import NotThereError
from proxy.store.coming import WrongBytesError

DATA = os.urandom(3 << 20)
SHA = hashlib.sha256(DATA).hexdigest()
PROJECT = Path(__file__).parents[2]


@pytest.fixture
def origin(monkeypatch: pytest.MonkeyPatch) -> Iterator[counting_origin.Origin]:
    monkeypatch.setattr(http, "PAUSE_S", 0.0)
    with counting_origin.origin({"/file": DATA, "/other": b"other"}) as made:
        yield made
    http.close_idle()


@pytest.fixture
def store(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "store/sha256", shared=())


def left(store: Blobs) -> list[str]:
    """What lies in the store beside whole files."""
    return [str(p.relative_to(store.folder.parent)) for p in store.folder.parent.glob("coming/*.part")]


def test_fetch(origin: counting_origin.Origin, store: Blobs) -> None:
    path = store.fetch(f"{origin.address}/file", SHA, len(DATA))
    assert path == store.path(SHA)
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o644
    assert left(store) == []
    store.fetch(f"{origin.address}/file", SHA, len(DATA))
    assert origin.counts["/file"] == 1


def test_the_first_address_that_has_it(origin: counting_origin.Origin, store: Blobs) -> None:
    urls = [f"{origin.address}/{name}" for name in ("gone", "other", "file", "never")]
    assert store.fetch(urls, SHA, len(DATA)).exists()
    assert dict(origin.counts) == {"/gone": 1, "/other": 1, "/file": 1}


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        pytest.param(["gone", "gone2"], NotThereError, "404", id="nobody has it"),
        pytest.param(["gone", "other"], WrongBytesError, "the signed index says", id="wrong says more than missing"),
        pytest.param([], NotThereError, "no address", id="nobody is known"),
    ],
)
def test_none_has_it(
    origin: counting_origin.Origin, store: Blobs, names: list[str], error: type[PipelineError], words: str
) -> None:
    urls = [f"{origin.address}/{name}" for name in names]
    with pytest.raises(error, match=words) as raised:
        store.fetch(urls, SHA, len(DATA))
    assert all(url in str(raised.value) for url in urls)
    assert not store.has(SHA)
    assert left(store) == []


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
def test_the_size_counts_too(origin: counting_origin.Origin, store: Blobs, size: int) -> None:
    with pytest.raises(PipelineError):
        store.fetch(f"{origin.address}/file", SHA, size)
    assert not store.has(SHA)


def test_a_size_nobody_knows(origin: counting_origin.Origin, store: Blobs) -> None:
    assert store.fetch(f"{origin.address}/file", SHA, None).exists()


def test_an_answer_cut_short_is_gone_on_with(origin: counting_origin.Origin, store: Blobs) -> None:
    origin.cut["/file"] = 1 << 20
    store.fetch(f"{origin.address}/file", SHA, len(DATA))
    assert store.path(SHA).read_bytes() == DATA
    assert origin.ranges == [("/file", f"bytes={1 << 20}-")]
    assert origin.sent_bytes == len(DATA)


def test_what_an_earlier_run_left_is_used(origin: counting_origin.Origin, store: Blobs) -> None:
    with store.claim(SHA, len(DATA)) as part:
        assert part is not None
        part.write(DATA[:1000])
    store.fetch(f"{origin.address}/file", SHA, len(DATA))
    assert origin.ranges == [("/file", "bytes=1000-")]


def test_what_was_left_whole_needs_no_network(store: Blobs) -> None:
    with store.claim(SHA, len(DATA)) as part:
        assert part is not None
        part.write(DATA)
    assert store.fetch([], SHA, len(DATA)).read_bytes() == DATA


@pytest.mark.parametrize("wrong", [b"x" * 1000, b"x" * len(DATA), b"x" * (len(DATA) + 5)])
def test_what_was_left_of_something_else(origin: counting_origin.Origin, store: Blobs, wrong: bytes) -> None:
    store.part_path(SHA).parent.mkdir(parents=True)
    store.part_path(SHA).write_bytes(wrong)
    assert store.fetch(f"{origin.address}/file", SHA, len(DATA)).read_bytes() == DATA


def test_threads_fetch_once(origin: counting_origin.Origin, store: Blobs) -> None:
    origin.pause_s = 0.005
    threads = [threading.Thread(target=store.fetch, args=(f"{origin.address}/file", SHA, len(DATA))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.has(SHA, len(DATA))
    assert origin.counts["/file"] == 1


def fetching(store: Blobs, address: str) -> subprocess.Popen[bytes]:
    """Another process that fetches the file."""
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from proxy.blobs import Blobs
        folder, url, sha256, size = sys.argv[1:]
        Blobs(Path(folder), shared=()).fetch(url, sha256, int(size))
    """)
    arguments = [str(store.folder), f"{address}/file", SHA, str(len(DATA))]
    return subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=PROJECT)


def until_some_came(store: Blobs) -> int:
    for _ in range(12_000):
        if store.part_path(SHA).exists() and (size := store.part_path(SHA).stat().st_size):
            return size
        time.sleep(0.005)
    raise AssertionError("nothing came")


def test_processes_fetch_once(origin: counting_origin.Origin, store: Blobs) -> None:
    origin.pause_s = 0.01
    processes = [fetching(store, origin.address) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert store.path(SHA).read_bytes() == DATA
    assert origin.counts["/file"] == 1
    assert left(store) == []


def test_killed_while_it_fetched(origin: counting_origin.Origin, store: Blobs) -> None:
    """Its claim is free at once, and what it got is gone on with; who waited takes over."""
    origin.pause_s = 0.05
    process = fetching(store, origin.address)
    until_some_came(store)
    assert store.claim(SHA, len(DATA)) is None
    waiting = fetching(store, origin.address)
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert not store.has(SHA)
    origin.pause_s = 0.0
    assert waiting.wait(60) == 0
    assert store.path(SHA).read_bytes() == DATA
    ((_, wanted),) = origin.ranges
    assert int(wanted.removeprefix("bytes=").removesuffix("-")) > 0
    assert left(store) == []


def test_reading_along(store: Blobs) -> None:
    """A part grows only; who begins anew does so in a new inode; the file keeps its inode when it gets its name."""
    with store.claim(SHA, len(DATA)) as part:
        assert part is not None
        part.write(DATA[:10])
        with store.part_path(SHA).open("rb") as reader:
            assert reader.read() == DATA[:10]
            part.restart()
            part.write(b"y" * 5)
            reader.seek(0)
            assert reader.read() == DATA[:10]
        part.restart()
        part.write(DATA)
        inode = store.part_path(SHA).stat().st_ino
        assert part.commit().stat().st_ino == inode


def test_waiting_has_an_end(store: Blobs) -> None:
    with store.claim(SHA, None):
        assert store.claim(SHA, None) is None
        assert not store.wait(SHA, timeout_s=0.01)
    assert not store.wait(SHA)


def test_another_hosts_store_is_asked_first(origin: counting_origin.Origin, tmp_path: Path) -> None:
    with counting_origin.origin({f"/store/sha256/{SHA}": DATA}) as other:
        store = Blobs(tmp_path / "sha256", shared=[f"{other.address}/store/"])
        store.fetch(f"{origin.address}/file", SHA, len(DATA))
        assert (other.counts.total(), origin.counts.total()) == (1, 0)
        small = hashlib.sha256(b"other").hexdigest()
        store.fetch(f"{origin.address}/other", small, 5)
        assert origin.counts["/other"] == 1


def test_another_host_is_not_believed(origin: counting_origin.Origin, tmp_path: Path) -> None:
    with counting_origin.origin({f"/sha256/{SHA}": b"z" * len(DATA)}) as other:
        store = Blobs(tmp_path / "sha256", shared=[other.address])
        assert store.fetch(f"{origin.address}/file", SHA, len(DATA)).read_bytes() == DATA


def test_another_host_that_is_down_is_asked_once(
    origin: counting_origin.Origin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with counting_origin.origin({}) as other:
        pass
    store = Blobs(tmp_path / "sha256", shared=[f"{other.address}/"])
    store.fetch(f"{origin.address}/file", SHA, len(DATA))
    store.fetch(f"{origin.address}/other", hashlib.sha256(b"other").hexdigest(), 5)
    assert caplog.text.count("does not answer") == 1


def test_shared_stores_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_BUILDER_SHARED_STORES", "http://a.example http://b.example/x/")
    wanted = [f"http://a.example/sha256/{SHA}", f"http://b.example/x/sha256/{SHA}", "http://own"]
    assert Blobs(tmp_path).addresses(SHA, ["http://own"]) == wanted


def test_no_network_is_no_verdict(store: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSE_S", 0.0)
    with counting_origin.origin({}) as gone:
        pass
    with pytest.raises(SurroundingsError, match=r"127\.0\.0\.1"):
        store.fetch([f"{gone.address}/file"], SHA, len(DATA))


def test_use_is_noted(store: Blobs) -> None:
    sha256 = store.add(b"x")
    os.utime(store.path(sha256), (1000, 2000))
    store.use(sha256)
    status = store.path(sha256).stat()
    assert (status.st_atime > 1000, status.st_mtime) == (True, 2000)
