"""Downloads over a real socket: every fault of a server, a break, a neighbour, a kill."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from snap_store import SnapStore, _Handler, cut, status

from image_builder.errors import PipelineError, SurroundingsError
from snaps import download as downloads
from snaps.download import Wanted, download
from snaps.files import SnapFiles
from snaps.store import transport
from snaps.store.answers import Question
from snaps.store.client import StoreClient
from snaps.store.errors import StoreError

DATA = random.Random(5).randbytes(3 * downloads.CHUNK_BYTES + 4711)


@dataclass
class Heard:
    """What a progress was told."""

    said: list[str] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    bytes: int = 0

    def begin(self, wanted: Wanted, there: int) -> None:  # noqa: ARG002
        self.begun.append(there)

    def got(self, wanted: Wanted, there: int) -> None:  # noqa: ARG002
        self.bytes = there

    def done(self, wanted: Wanted) -> None:
        self.ended.append(wanted.name)

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def files(tmp_path: Path) -> SnapFiles:
    return SnapFiles(tmp_path / "snaps")


@pytest.fixture
def wanted(loopback: SnapStore, store_client: StoreClient) -> Wanted:
    loopback.add("hello", 29, DATA, {"name": "hello"})
    return to_have(store_client, "hello")


def to_have(client: StoreClient, name: str) -> Wanted:
    (offer,) = client.offers([Question(name)])
    return Wanted(offer.name, offer.revision, offer.sha3_384, offer.size_bytes, offer.url)


def begun(files: SnapFiles, wanted: Wanted, data: bytes) -> None:
    """What an earlier try left."""
    files.partial(wanted.sha3_384).parent.mkdir(parents=True)
    files.partial(wanted.sha3_384).write_bytes(data)


def is_whole(files: SnapFiles, wanted: Wanted) -> bool:
    left = list(files.partial("").iterdir())
    return files.path(wanted.sha3_384).read_bytes() == DATA and left == []


def ranges(store: SnapStore) -> list[str]:
    return [a.headers.get("Range", "") for a in store.asked if a.host == "cdn"]


def test_a_file_comes_once(loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted) -> None:
    heard = Heard()
    assert download(store_client, [wanted, wanted], files, heard) == len(DATA)
    assert is_whole(files, wanted)
    assert (heard.begun, heard.bytes, heard.ended) == ([0], len(DATA), ["hello"])
    before = len(loopback.asked)
    assert download(store_client, [wanted], files, heard) == 0
    assert len(loopback.asked) == before


def test_several_at_once(loopback: SnapStore, store_client: StoreClient, files: SnapFiles) -> None:
    all_at_once = threading.Barrier(4, timeout=20)

    def together(handler: _Handler) -> None:
        all_at_once.wait()  # breaks, and with it the test, unless all four are asked for at the same time
        status(503)(handler)

    for number in range(4):
        loopback.add(f"snap-{number}", 1, bytes([number]) * 5000, {})
    loopback.fault("download", times=4, answer=together)
    wanted = [to_have(store_client, f"snap-{number}") for number in range(4)]
    assert download(store_client, wanted, files, Heard(), jobs=4) == 20_000
    assert all(files.has(one.sha3_384, 5000) for one in wanted)


def test_a_break_is_resumed(loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted) -> None:
    begun(files, wanted, DATA[:1_000_000])
    assert download(store_client, [wanted], files, Heard()) == len(DATA) - 1_000_000
    assert ranges(loopback) == ["bytes=1000000-"]
    assert is_whole(files, wanted)


def test_all_there_but_the_name(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted
) -> None:
    begun(files, wanted, DATA)
    assert download(store_client, [wanted], files, Heard()) == 0
    assert ranges(loopback) == []
    assert is_whole(files, wanted)


def test_more_there_than_there_should_be(store_client: StoreClient, files: SnapFiles, wanted: Wanted) -> None:
    begun(files, wanted, DATA + b"x")
    assert download(store_client, [wanted], files, Heard()) == len(DATA)
    assert is_whole(files, wanted)


def test_a_damaged_beginning_is_fetched_anew(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted
) -> None:
    begun(files, wanted, b"x" + DATA[1:5000])
    heard = Heard()
    download(store_client, [wanted], files, heard)
    assert ranges(loopback) == ["bytes=5000-", ""]
    assert heard.said == ["hello: what came has another hash than the store says; once more from the start"]
    assert is_whole(files, wanted)


def test_a_short_body_goes_on_where_it_ended(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted
) -> None:
    def half(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        handler.wfile.write(DATA[:2_000_000])
        cut(handler)

    loopback.fault("download", host="cdn", times=1, answer=half)
    assert download(store_client, [wanted], files, Heard()) == len(DATA)
    assert ranges(loopback) == ["", "bytes=2000000-"]
    assert is_whole(files, wanted)


def test_a_body_that_is_short_and_says_so(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted
) -> None:
    loopback.fault("download", host="cdn", times=1, bytes=lambda data: data[:-7])
    download(store_client, [wanted], files, Heard())
    assert ranges(loopback)[1] == f"bytes={len(DATA) - 7}-"
    assert is_whole(files, wanted)


def test_a_server_without_ranges_begins_again(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted
) -> None:
    loopback.ranges = False
    begun(files, wanted, DATA[:1_000_000])
    heard = Heard()
    assert download(store_client, [wanted], files, heard) == len(DATA)
    assert heard.begun == [1_000_000, 0]
    assert is_whole(files, wanted)


@pytest.mark.parametrize("content_range", ["bytes 999999-3/4", "bytes 0-3/4", "", "nonsense"])
def test_another_part_than_asked_for(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted, content_range: str
) -> None:
    def wrong(handler: _Handler) -> None:
        handler.whole(DATA[:1000], 206, {"Content-Range": content_range})

    begun(files, wanted, DATA[:1_000_000])
    loopback.fault("download", host="cdn", times=1, answer=wrong)
    download(store_client, [wanted], files, Heard())
    assert ranges(loopback) == ["bytes=1000000-", ""]
    assert is_whole(files, wanted)


def test_no_bytes_from_there_on(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted
) -> None:
    begun(files, wanted, DATA[:-1])
    loopback.fault("download", host="cdn", times=1, answer=status(416))
    download(store_client, [wanted], files, Heard())
    assert ranges(loopback) == [f"bytes={len(DATA) - 1}-", ""]
    assert is_whole(files, wanted)


def test_other_bytes_are_fetched_twice_and_then_refused(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted
) -> None:
    loopback.fault("download", host="cdn", bytes=lambda data: b"x" + data[1:])
    with pytest.raises(PipelineError, match=r"the store says .*; fetched twice") as e:
        download(store_client, [wanted], files, Heard())
    assert "token" not in str(e.value)
    assert len(ranges(loopback)) == 2
    assert not files.path(wanted.sha3_384).exists()
    assert files.partial(wanted.sha3_384).stat().st_size == 0


def test_other_bytes_once(loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted) -> None:
    loopback.fault("download", host="cdn", times=1, bytes=lambda data: data[:-1] + b"x")
    download(store_client, [wanted], files, Heard())
    assert is_whole(files, wanted)


def test_more_bytes_than_named_are_never_written(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted
) -> None:
    loopback.fault("download", host="cdn", bytes=lambda data: data + b"x")
    with pytest.raises(SurroundingsError, match=f"more than the {len(DATA)} bytes"):
        download(store_client, [wanted], files, Heard())
    assert not files.path(wanted.sha3_384).exists()


def test_a_compressed_body_is_refused(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted
) -> None:
    answer = lambda handler: handler.whole(DATA, 200, {"Content-Encoding": "gzip"})  # noqa: E731
    loopback.fault("download", host="cdn", answer=answer)
    with pytest.raises(StoreError, match="compressed"):
        download(store_client, [wanted], files, Heard())


def test_what_may_heal_and_what_will_not(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted
) -> None:
    loopback.fault("download", host="cdn", times=2, answer=status(503))
    loopback.fault("download", host="cdn", times=2, answer=cut)
    download(store_client, [wanted], files, Heard())
    assert is_whole(files, wanted)
    files.path(wanted.sha3_384).unlink()
    for code, said in ((404, "made to fail"), (402, "has to be bought"), (403, "may not")):
        loopback.asked.clear()
        loopback.faults.clear()
        loopback.fault("download", host="cdn", answer=status(code))
        with pytest.raises(StoreError, match=said):
            download(store_client, [wanted], files, Heard())
        assert len(ranges(loopback)) == 1


def test_a_server_that_trickles_is_left(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "SLOW_WINDOW_S", 0.2)
    monkeypatch.setattr(downloads, "TRIES", 1)

    def trickle(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        for at in range(1000):
            handler.wfile.write(DATA[at : at + 1])
            handler.wfile.flush()
            time.sleep(0.02)

    loopback.fault("download", host="cdn", answer=trickle)
    with pytest.raises(SurroundingsError, match="less than 4096 bytes a second"):
        download(store_client, [wanted], files, Heard())
    assert 0 < files.partial(wanted.sha3_384).stat().st_size < 1000  # the next try goes on from there


def test_no_cdn_is_said_to_the_store(loopback: SnapStore, files: SnapFiles, wanted: Wanted) -> None:
    from snaps.store.settings import Settings

    loopback.by_cdn = False
    download(StoreClient(Settings(api=loopback.address, cdn=False)), [wanted], files, Heard())
    assert loopback.asked[-1].headers["Snap-CDN"] == "none"
    assert is_whole(files, wanted)


def test_the_first_failure_ends_the_rest(loopback: SnapStore, store_client: StoreClient, files: SnapFiles) -> None:
    loopback.add("bad", 1, bytes(9000), {})
    loopback.add("slow", 1, DATA, {})
    loopback.chunk_pause_s = 0.05  # 40 s for all of it
    wanted = [to_have(store_client, name) for name in ("slow", "bad")]
    loopback.fault(wanted[1].url.rsplit("/", 1)[1], host="cdn", answer=status(404))
    since = time.monotonic()
    with pytest.raises(StoreError):
        download(store_client, wanted, files, Heard())
    assert time.monotonic() - since < 20


def test_a_pause_before_another_try_ends_with_the_rest(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "FIRST_PAUSE_S", 60.0)
    for name in ("bad", "away"):
        loopback.add(name, 1, bytes(9000), {"name": name})
    wanted = [to_have(store_client, name) for name in ("away", "bad")]
    loopback.fault(wanted[0].url.rsplit("/", 1)[1], host="cdn", answer=status(503))

    def later(handler: _Handler) -> None:
        time.sleep(0.2)  # the other one is in its pause by now
        status(404)(handler)

    loopback.fault(wanted[1].url.rsplit("/", 1)[1], host="cdn", answer=later)
    since = time.monotonic()
    with pytest.raises(StoreError, match="404"):
        download(store_client, wanted, files, Heard())
    assert time.monotonic() - since < 20


def test_two_at_once_fetch_one_snap_once(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted
) -> None:
    loopback.chunk_pause_s = 0.001
    heard = Heard()
    other = threading.Thread(target=download, args=(store_client, [wanted], files, Heard()))
    other.start()
    while not files.partial(wanted.sha3_384).exists() or not files.partial(wanted.sha3_384).stat().st_size:
        time.sleep(0.005)
    assert download(store_client, [wanted], files, heard) == 0
    other.join()
    assert heard.said == ["hello: waits for another download of the same snap"]
    assert len(ranges(loopback)) == 1
    assert is_whole(files, wanted)


def test_a_full_disk_is_said(store_client: StoreClient, wanted: Wanted) -> None:
    with pytest.raises(SurroundingsError, match="hello: ") as e:
        download(store_client, [wanted], SnapFiles(Path("/proc/snaps")), Heard())
    assert e.value.exit_status == 3


def test_killed_in_the_middle_the_next_goes_on(
    loopback: SnapStore, store_client: StoreClient, files: SnapFiles, wanted: Wanted
) -> None:
    loopback.chunk_pause_s = 0.01
    script = (
        "from pathlib import Path\n"
        "class Quiet:\n"
        "    begin = got = done = say = lambda *_: None\n"
        "from snaps.download import Wanted, download\n"
        "from snaps.files import SnapFiles\n"
        "from snaps.store.client import StoreClient\n"
        "from snaps.store.settings import Settings\n"
        f"client, files = StoreClient(Settings(api={loopback.address!r})), SnapFiles(Path({str(files.folder)!r}))\n"
        f"download(client, [{wanted!r}], files, Quiet())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[2]) as child:
        part = files.partial(wanted.sha3_384)
        while child.poll() is None and (not part.exists() or part.stat().st_size < 100_000):
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
    assert not files.path(wanted.sha3_384).exists()
    there = part.stat().st_size
    assert hashlib.sha256(part.read_bytes()).digest() == hashlib.sha256(DATA[:there]).digest()
    loopback.chunk_pause_s = 0.0
    assert download(store_client, [wanted], files, Heard()) == len(DATA) - there
    assert is_whole(files, wanted)


def test_another_name_for_a_file(store_client: StoreClient, files: SnapFiles, wanted: Wanted, tmp_path: Path) -> None:
    download(store_client, [wanted], files, Heard())
    target: Any = tmp_path / "out/hello_29.snap"
    files.place(wanted.sha3_384, target)
    assert target.stat().st_ino == files.path(wanted.sha3_384).stat().st_ino
    files.place(wanted.sha3_384, target)
    files.place(wanted.sha3_384, Path("/dev/shm") / f"hello-{os.getpid()}.snap")  # another file system: a copy
    copy = Path("/dev/shm") / f"hello-{os.getpid()}.snap"
    assert copy.read_bytes() == DATA
    copy.unlink()
    assert [p.name for p in target.parent.iterdir()] == ["hello_29.snap"]
