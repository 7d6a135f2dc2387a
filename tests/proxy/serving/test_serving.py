"""What the server answers, when nothing goes wrong upstream."""

from __future__ import annotations

import hashlib
import http.client
import multiprocessing
import random
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import local_archive
import pytest
from counting_origin import Origin, origin
from frozen_archive import NOW, Frozen, Serving, ask_alone, frozen_archive, serving

from proxy.serving import server as server_module

SMALL, LARGE, NAME = "/pool/small_1.0_all.deb", "/pool/large_1.0_all.deb", "/dists/stable/InRelease"


@pytest.fixture(scope="module")
def files(key: local_archive.Key, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    made = local_archive.LocalArchive(tmp_path_factory.mktemp("serving") / "archive", key)
    made.add("small")
    made.add("large", content=random.Random(5).randbytes(4 << 20))
    made.publish(date=NOW)
    paths = (path for path in made.folder.rglob("*") if path.is_file())
    return {f"/{path.relative_to(made.folder)}": path.read_bytes() for path in paths}


@pytest.fixture
def source(files: dict[str, bytes]) -> Iterator[Origin]:
    with origin(dict(files)) as made:
        yield made


@pytest.fixture
def frozen(source: Origin, key: local_archive.Key, tmp_path: Path) -> Frozen:
    return frozen_archive(source.address, key, tmp_path / "cache")


@pytest.fixture
def proxy(frozen: Frozen, tmp_path: Path) -> Iterator[Serving]:
    with serving(frozen, tmp_path / "requests.log") as made:
        yield made


def test_once_from_upstream_then_from_the_store(proxy: Serving, source: Origin, files: dict[str, bytes]) -> None:
    for _ in range(3):
        status, body, headers = proxy.get(source.address + LARGE)
        assert (status, body) == (200, files[LARGE])
        assert headers["X-Snapshot"] == f"20260301T120000Z {hashlib.sha256(body).hexdigest()}"
        assert headers["Last-Modified"] == "Sun, 01 Mar 2026 12:00:00 GMT"
    proxy.service.fetches.close()
    assert source.counts[LARGE] == 1
    host = source.address.removeprefix("http://")
    assert proxy.lines()[0].source == f"fetched:{host}"


def test_https_and_http_are_one_archive(proxy: Serving, source: Origin, files: dict[str, bytes]) -> None:
    host = source.address.removeprefix("http://")
    status, body, _ = proxy.get(SMALL, Host=host, X_Snapshot_Scheme="https")
    assert (status, body) == (200, files[SMALL])
    assert proxy.lines()[-1].url == f"https://{host}{SMALL}"


@pytest.mark.parametrize(
    ("url", "status", "reason"),
    [
        ("http://example.org/", 403, "example.org is not frozen"),
        ("http://1.2.3.4/debian/dists/stable/InRelease", 403, "1.2.3.4 is not frozen"),
        ("{}/pool/other_1.0_all.deb", 404, "no frozen index names it"),
        ("{}/dists/unstable/InRelease", 404, "unstable is not pinned"),
        ("{}/project/trace/master", 404, "no part of a frozen archive"),
        ("{}/pool/../pool/small_1.0_all.deb", 404, "a folder above"),
        ("{}/pool/small_1.0_all.deb?live=1", 404, "without a query"),
        ("{}/dists/stable/main/binary-amd64/by-hash/SHA256/" + 64 * "0", 404, "no frozen index names it"),
        ("{}/", 404, "a folder"),
    ],
)
def test_refusals_say_why(url: str, status: int, reason: str, proxy: Serving, source: Origin) -> None:
    before = source.counts.total()
    got, body, headers = proxy.get(url.format(source.address))
    assert (got, reason in body.decode()) == (status, True)
    assert headers["X-Snapshot"] == "20260301T120000Z -"
    assert reason in proxy.lines()[-1].reason
    assert source.counts.total() == before


def test_the_self_test(proxy: Serving) -> None:
    status, body, headers = proxy.get("http://snapshot-proxy.invalid/any")
    assert (status, body, headers["X-Snapshot"]) == (200, b"snapshot-proxy 20260301T120000Z\n", "20260301T120000Z -")


def test_other_methods_are_refused(proxy: Serving, source: Origin) -> None:
    assert proxy.get(source.address + SMALL, "DELETE")[0] == 405
    status, body, headers = proxy.get(source.address + SMALL, "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_a_release_file_is_always_given_whole(proxy: Serving, source: Origin, files: dict[str, bytes]) -> None:
    """With 304 or 206 apt would keep, or put together, lists of another instant."""
    later = {"If_Modified_Since": "Sun, 01 Mar 2026 13:00:00 GMT", "If_None_Match": "*", "Range": "bytes=10-"}
    status, body, headers = proxy.get(source.address + NAME, **later)
    assert (status, body, "Accept-Ranges" in headers) == (200, files[NAME], False)


@pytest.mark.parametrize("kept", [True, False], ids=["from the store", "while it comes"])
def test_the_rest_of_a_package(kept: bool, proxy: Serving, source: Origin, files: dict[str, bytes]) -> None:
    if kept:
        proxy.get(source.address + LARGE)
    start = len(files[LARGE]) - 1_000_000
    status, body, headers = proxy.get(source.address + LARGE, Range=f"bytes={start}-")
    assert (status, body) == (206, files[LARGE][start:])
    assert headers["Content-Range"] == f"bytes {start}-{len(files[LARGE]) - 1}/{len(files[LARGE])}"
    status, body, headers = proxy.get(source.address + LARGE, Range=f"bytes={len(files[LARGE])}-")
    assert (status, body, headers["Content-Range"]) == (416, b"", f"bytes */{len(files[LARGE])}")


def test_clients_who_ask_at_once_make_one_fetch(proxy: Serving, source: Origin, files: dict[str, bytes]) -> None:
    source.pause_s = 0.002
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(proxy.get(source.address + LARGE)[1])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [files[LARGE]] * 6
    assert source.counts[LARGE] == 1


def test_two_builds_fetch_a_file_once(frozen: Frozen, source: Origin, files: dict[str, bytes], tmp_path: Path) -> None:
    """Two processes with one store; the second one shows what the first one fetches, as it comes."""
    source.pause_s = 0.005
    context = multiprocessing.get_context("spawn")
    go = context.Event()
    sha256 = hashlib.sha256(files[LARGE]).hexdigest()
    builds = [
        context.Process(target=ask_alone, args=(frozen, tmp_path / f"{n}.log", go, source.address + LARGE, sha256))
        for n in range(2)
    ]
    for build in builds:
        build.start()
    go.set()
    for build in builds:
        build.join(30)
    assert [build.exitcode for build in builds] == [0, 0]
    assert source.counts[LARGE] == 1


def test_what_another_build_was_killed_over_is_gone_on_with(
    proxy: Serving, frozen: Frozen, source: Origin, files: dict[str, bytes]
) -> None:
    sha256 = hashlib.sha256(files[LARGE]).hexdigest()
    part = frozen.store.part_path(sha256)
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(files[LARGE][:2_000_000])
    assert proxy.get(source.address + LARGE)[1] == files[LARGE]
    assert source.ranges == [(LARGE, "bytes=2000000-")]


@pytest.mark.parametrize("path", [SMALL, LARGE])
def test_a_file_the_disk_has_changed_is_not_given(
    path: str, proxy: Serving, frozen: Frozen, source: Origin, files: dict[str, bytes]
) -> None:
    proxy.get(source.address + path)
    proxy.service.fetches.close()
    place = frozen.store.path(hashlib.sha256(files[path]).hexdigest())
    damaged = bytearray(files[path])
    damaged[-5] ^= 1
    place.write_bytes(damaged)
    with serving(frozen, proxy.journal) as again:
        if path == LARGE:  # may be on its way before all of it is looked at: cut then
            with suppress(http.client.IncompleteRead, OSError):
                assert again.get(source.address + path)[1] == files[path]
        assert again.get(source.address + path)[1] == files[path]


def open_below(folder: Path) -> int:
    """How many files of this process are open there."""
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += one.readlink().is_relative_to(folder)
    return found


def test_what_is_sent_ahead_is_answered_in_its_order(
    proxy: Serving, frozen: Frozen, source: Origin, files: dict[str, bytes]
) -> None:
    for path in (SMALL, LARGE):
        proxy.get(source.address + path)
    proxy.service.fetches.close()
    host, paths = source.address.removeprefix("http://"), [SMALL, LARGE, SMALL, SMALL, NAME] * 6
    with serving(frozen, proxy.journal.with_name("again.log")) as again:
        heads = [f"GET {source.address}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() for path in paths]
        got, at = again.raw(b"".join(heads)), 0
        for path in paths:
            at = got.index(b"\r\n\r\n", at) + 4
            assert got[at : at + len(files[path])] == files[path]
            at += len(files[path])
        assert at == len(got)
        lines = again.lines(len(paths))
        assert [(line.url, line.source) for line in lines] == [(source.address + path, "store") for path in paths]
    assert open_below(frozen.store.folder) == 0


def test_who_goes_away_leaves_nothing_open(proxy: Serving, frozen: Frozen, source: Origin) -> None:
    proxy.get(source.address + LARGE)
    proxy.service.fetches.close()
    host = source.address.removeprefix("http://")
    with serving(frozen, proxy.journal.with_name("again.log")) as again:
        with socket.create_connection(("127.0.0.1", again.port), 60) as client:
            client.sendall(f"GET {source.address}{LARGE} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() * 8)
            until = time.monotonic() + 60
            while open_below(frozen.store.folder) < 2 and time.monotonic() < until:
                time.sleep(0.001)
            assert open_below(frozen.store.folder) > 1  # looked up before their turn
        lines = again.lines()
        assert lines[-1].status == 0
        while open_below(frozen.store.folder) and time.monotonic() < until:
            time.sleep(0.001)
    assert open_below(frozen.store.folder) == 0


def test_offline_only_what_is_kept(frozen: Frozen, source: Origin, files: dict[str, bytes], tmp_path: Path) -> None:
    with serving(frozen, tmp_path / "first.log") as proxy:
        proxy.get(source.address + SMALL)
    source.files.clear()
    with serving(frozen, tmp_path / "second.log", offline=True) as proxy:
        assert proxy.get(source.address + SMALL)[1] == files[SMALL]
        assert proxy.get(source.address + NAME)[1] == files[NAME]
        status, body, _ = proxy.get(source.address + LARGE)
        assert (status, b"nothing is fetched offline" in body) == (404, True)


def test_a_client_that_only_speaks_is_not_heard_forever(proxy: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "IDLE_S", 0.2)
    assert b"400 no whole request" in proxy.raw(b"GET /a HT")
    assert b"400 a head of more than" in proxy.raw(b"GET /" + b"a" * 20_000)
    assert b"400 no HTTP/1.1 request line" in proxy.raw(b"\x00\x01\x02\r\n\r\n")
    assert [line.status for line in proxy.lines(3)] == [400, 400, 400]


def test_too_many_open_files_are_waited_out(proxy: Serving, caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as first, socket.socket() as second:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            for client in (first, second):
                client.connect(("127.0.0.1", proxy.port))
            until = time.monotonic() + 60
            while "Too many open files" not in caplog.text and time.monotonic() < until:
                time.sleep(0.01)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert "a connection was not accepted" in caplog.text
        second.sendall(b"GET http://snapshot-proxy.invalid/ HTTP/1.1\r\nHost: snapshot-proxy.invalid\r\n\r\n")
        assert second.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")


def test_an_error_in_the_lookup_is_a_refusal(proxy: Serving, source: Origin) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    object.__setattr__(proxy.service, "lookup", broken)
    status, body, _ = proxy.get(source.address + SMALL)
    assert (status, body) == (404, b"the proxy failed: ZeroDivisionError\n")


@pytest.mark.parametrize("offline", [False, True])
def test_what_a_killed_proxy_had_whole_is_not_fetched_again(
    offline: bool, frozen: Frozen, source: Origin, files: dict[str, bytes], tmp_path: Path
) -> None:
    part = frozen.store.part_path(hashlib.sha256(files[LARGE]).hexdigest())
    part.parent.mkdir(exist_ok=True)
    part.write_bytes(files[LARGE])
    with serving(frozen, tmp_path / "requests.log", offline=offline) as proxy:
        assert proxy.get(source.address + LARGE)[:2] == (200, files[LARGE])
        assert proxy.lines()[0].source == "store"
        proxy.service.fetches.close()
    assert source.counts[LARGE] == 0
    assert frozen.store.read(part.stem) == files[LARGE]
