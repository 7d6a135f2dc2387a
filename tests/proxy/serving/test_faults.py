"""What an upstream may do wrong, and what a client gets then: right bytes, or no whole answer at all."""

from __future__ import annotations

import hashlib
import http.client
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import local_archive
import pytest
from fault_origin import FAULTS, Origin, fault_origin
from frozen_archive import NOW, Frozen, Serving, frozen_archive, serving

from proxy import connections
from proxy import http as upstream
from proxy.serving import fetches

SMALL, LARGE, OTHER = "/pool/small_1.0_all.deb", "/pool/large_1.0_all.deb", "/pool/other_1.0_all.deb"
# The bytes are right, whatever they are wrapped in.
HARMLESS = {"chunked", "no length", "redirect to the same elsewhere"}
# A 503, after which apt asks again: it may be over by then. The others are final.
MAY_HEAL = {
    "truncated", "stall", "silent", "trickle", "chunked, cut", "304", "429", "500", "503", "206 to a plain GET",
    "reset", "refused", "closed", "not HTTP", "endless head", "redirect to nowhere",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(key: local_archive.Key, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a package that is checked before its first byte leaves, and one that is shown as it comes."""
    made = local_archive.LocalArchive(tmp_path_factory.mktemp("faults") / "archive", key)
    made.add("small")
    made.add("other")
    made.add("large", content=random.Random(4).randbytes(3 << 20))
    made.publish(date=NOW)
    return made.folder


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[Origin]:
    with fault_origin(folder) as made:
        yield made


@pytest.fixture(scope="module")
def template(shared: Origin, key: local_archive.Key, tmp_path_factory: pytest.TempPathFactory) -> Frozen:
    return frozen_archive(shared.address, key, tmp_path_factory.mktemp("frozen") / "cache")


@pytest.fixture
def origin(shared: Origin, monkeypatch: pytest.MonkeyPatch) -> Iterator[Origin]:
    monkeypatch.setattr(upstream, "PAUSE_S", 0.0)
    monkeypatch.setattr(upstream, "TRIES", 2)
    monkeypatch.setattr(upstream, "SLOW_S", 0.3)
    monkeypatch.setattr(connections, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(fetches, "AT_ONCE_S", 0.2)
    yield shared
    shared.faults.clear()
    shared.counts.clear()
    connections.close_idle()


@pytest.fixture
def frozen(template: Frozen, tmp_path: Path) -> Frozen:
    """With a store of its own, that has the indices and no package."""
    shutil.copytree(template.cache, tmp_path / "cache")
    return Frozen(tmp_path / "cache" / template.path.relative_to(template.cache), tmp_path / "cache", template.uri)


@pytest.fixture
def proxy(frozen: Frozen, tmp_path: Path) -> Iterator[Serving]:
    with serving(frozen, tmp_path / "requests.log") as made:
        yield made


def ask(proxy: Serving, url: str) -> tuple[int, bytes]:
    """Status and body; 0 for an answer that ends before it is whole."""
    try:
        status, body, headers = proxy.get(url)
    except (http.client.IncompleteRead, OSError):
        return 0, b""
    assert headers["X-Snapshot"].startswith("20260301T120000Z ")
    return status, body


@pytest.mark.parametrize(
    ("path", "connected"),
    [(SMALL, False), (SMALL, True), (LARGE, False)],
    ids=["held back", "held back, fetched at once", "shown"],
)
@pytest.mark.parametrize("fault", FAULTS)
def test_never_a_whole_answer_with_other_bytes(
    fault: str, path: str, connected: bool, origin: Origin, folder: Path, proxy: Serving, frozen: Frozen
) -> None:
    right = (folder / path[1:]).read_bytes()
    if connected:
        assert ask(proxy, origin.address + OTHER)[0] == 200
    origin.faults[path] = fault
    status, body = ask(proxy, origin.address + path)
    if fault in HARMLESS or (fault == "wrong Content-Range" and path == SMALL):
        assert (status, body) == (200, right)
    elif status == 200:
        assert body == right
    else:
        # Of a file that is shown as it comes, the client may have the beginning: then the answer is cut.
        assert status in ((503 if fault in MAY_HEAL else 404,) if path == SMALL else (0, 404, 503))
    origin.faults.clear()
    # What went wrong leaves nothing behind that would go wrong again.
    assert ask(proxy, origin.address + path) == (200, right)
    proxy.service.fetches.close()  # waits for the disk
    assert frozen.store.read(hashlib.sha256(right).hexdigest()) == right


def test_over_an_open_connection_a_small_file_needs_no_other_thread(
    proxy: Serving, origin: Origin, folder: Path, frozen: Frozen, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(proxy, origin.address + OTHER)[0] == 200
    monkeypatch.delattr(upstream, "stream")  # how the threads that fetch do it
    right = (folder / SMALL[1:]).read_bytes()
    for _ in range(2):
        assert ask(proxy, origin.address + SMALL) == (200, right)
    proxy.service.fetches.close()
    assert frozen.store.read(hashlib.sha256(right).hexdigest()) == right
    assert origin.counts[SMALL] == 1


def test_a_bug_in_what_is_had_at_once_wedges_nobody(
    proxy: Serving, origin: Origin, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_once(*_: object) -> bytes:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(upstream, "at_once", at_once)
    for _ in range(2):
        assert ask(proxy, origin.address + SMALL) == (200, (folder / SMALL[1:]).read_bytes())


def test_what_is_too_slow_to_be_had_at_once_is_gone_on_with(proxy: Serving, origin: Origin, folder: Path) -> None:
    assert ask(proxy, origin.address + OTHER)[0] == 200
    right = (folder / SMALL[1:]).read_bytes()
    origin.first[SMALL] = "stall"
    origin.starts.clear()
    assert ask(proxy, origin.address + SMALL) == (200, right)
    assert origin.starts == [(SMALL, 0), (SMALL, len(right) // 2)]


def test_a_second_address_is_tried_when_the_first_one_gives_other_bytes(
    origin: Origin, folder: Path, key: local_archive.Key, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    frozen_archive(origin.address, key, cache)
    service = f"{origin.address}/elsewhere/"
    frozen = frozen_archive(origin.address, key, cache, services={origin.address: [service]})
    origin.faults[SMALL] = "flipped"
    with serving(frozen, tmp_path / "requests.log") as proxy:
        assert ask(proxy, origin.address + SMALL) == (200, (folder / SMALL[1:]).read_bytes())


def test_after_a_wrong_beginning_the_rest_is_not_given(proxy: Serving, origin: Origin, folder: Path) -> None:
    """A client that got the beginning of a wrong file asks for the rest: it would put together what nobody signed."""
    right = (folder / LARGE[1:]).read_bytes()
    origin.first[LARGE] = "flipped"
    assert ask(proxy, origin.address + LARGE) == (0, b"")
    status, body, _ = proxy.get(origin.address + LARGE, Range="bytes=1000-")
    assert (status, body) == (200, right)


def test_a_fetch_goes_on_where_the_connection_was_lost(proxy: Serving, origin: Origin, folder: Path) -> None:
    origin.first[LARGE] = "truncated"
    assert ask(proxy, origin.address + LARGE) == (200, (folder / LARGE[1:]).read_bytes())
    assert origin.counts[LARGE] == 2


@pytest.mark.parametrize("fault", ["refused", "404", "flipped", "stall"])
def test_one_of_ten_sent_ahead_fails_and_the_others_are_right(
    fault: str, proxy: Serving, origin: Origin, folder: Path
) -> None:
    host = origin.address.removeprefix("http://")
    paths = [SMALL, LARGE] * 4 + ["/pool/none.deb", "/dists/stable/InRelease"]
    origin.faults[SMALL] = fault
    heads = b"".join(f"GET {origin.address}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() for path in paths)
    got = proxy.raw(heads)
    assert got.count((folder / LARGE[1:]).read_bytes()) == 4
    assert (folder / SMALL[1:]).read_bytes() not in got
    assert got.endswith((folder / "dists/stable/InRelease").read_bytes())
    assert [line.status for line in proxy.lines(10)] == [404 if fault in ("404", "flipped") else 503, 200] * 4 + [
        404,
        200,
    ]


def test_a_name_that_cannot_be_found_is_trouble_that_may_heal(
    origin: Origin, key: local_archive.Key, tmp_path: Path
) -> None:
    frozen = frozen_archive(origin.address, key, tmp_path / "cache", known_as="http://archive.invalid/debian")
    with serving(frozen, tmp_path / "requests.log") as proxy:
        status, body = ask(proxy, f"http://archive.invalid/debian{SMALL}")
    assert (status, b"archive.invalid" in body) == (503, True)
