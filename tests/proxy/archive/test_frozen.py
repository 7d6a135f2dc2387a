from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import local_archive
import pytest
from small_archive import packages, packed, publish, sha256, sources

from image_builder.errors import ConfigError, PipelineError, SurroundingsError
from image_builder.lock import ArchivePin
from proxy.archive.assemble import assemble
from proxy.archive.freeze import freeze
from proxy.archive.frozen import Entry, FrozenSet, Refusal
from proxy.archive.sources import Source
from proxy.blobs import Blobs
from proxy.http import close_idle

MAIN = {"pool/main/a/a_1_amd64.deb": b"a", "pool/main/b/b_1_all.deb": b"b"}
CONTRIB = {"pool/contrib/c/c_1_amd64.deb": b"c"}
FOREIGN = {"pool/main/a/a_1_i386.deb": b"i"}
UDEB = {"pool/main/u/u_1_amd64.udeb": b"u"}
SOURCE = {"a_1.dsc": b"dsc", "a_1.tar.xz": b"tar"}
IMAGES = "main/installer-amd64/current/images/"
FILES = {
    **packed("main/binary-amd64/Packages", packages(MAIN)),
    **packed("main/binary-i386/Packages", packages(FOREIGN)),
    **packed("contrib/binary-amd64/Packages", packages(CONTRIB)),
    **packed("main/debian-installer/binary-amd64/Packages", packages(UDEB)),
    **packed("main/source/Sources", sources("pool/main/a", SOURCE)),
    f"{IMAGES}SHA256SUMS": f"{sha256(b'iso')}  ./netboot/mini.iso\n".encode(),
    "main/i18n/Translation-en.xz": b"words",
}


class Ground:
    """An archive that is served, its cache here, and the frozen set of what was asked for."""

    def __init__(self, folder: Path, address: str, key: Any, cache: Path, now: datetime) -> None:
        self.folder, self.address, self.key, self.cache, self.now = folder, address, key, cache, now
        self.store = Blobs(cache / "sha256", shared=())
        self.host = address.removeprefix("http://")
        self.fetched: list[str] = []

    def source(self, suite: str = "stable", *, components: tuple[str, ...] = ("main",)) -> Source:
        return Source(self.address, suite, components, ("amd64",))

    def pins(self, *wanted: Source) -> list[ArchivePin]:
        return freeze(wanted, keyring=self.key.keyring, cache=self.cache, now=self.now)

    def frozen(self, *wanted: Source, fetch: bool = False, **options: Any) -> FrozenSet:
        wanted = wanted or (self.source(),)
        path = assemble(self.pins(*wanted), wanted, keyring=self.key.keyring, cache=self.cache, **options)
        return FrozenSet(path, self.cache, self._fetch if fetch else None)

    def _fetch(self, entry: Entry) -> bool:
        self.fetched.append(entry.path)
        self.store.fetch(entry.urls, entry.sha256, entry.size_bytes)
        return True


@pytest.fixture
def ground(key: Any, tmp_path: Path, now: datetime) -> Iterator[Ground]:
    folder = tmp_path / "archive"
    publish(folder, key, FILES, date=now)
    with local_archive.served(folder) as address:
        yield Ground(folder, address, key, tmp_path / "cache", now)
    close_idle()


def found(answer: Entry | Refusal) -> Entry:
    assert isinstance(answer, Entry), answer
    return answer


def refused(answer: Entry | Refusal) -> Refusal:
    assert isinstance(answer, Refusal), answer
    assert answer.reason and "\n" not in answer.reason
    return answer


def test_release_files(ground: Ground) -> None:
    (pin,) = ground.pins(ground.source())
    alone = pin.model_copy(update={"release_sha256": None, "release_gpg_sha256": None})
    path = assemble([alone], [ground.source()], keyring=ground.key.keyring, cache=ground.cache)
    frozen = FrozenSet(path, ground.cache)
    inrelease = (ground.folder / "dists/stable/InRelease").read_bytes()
    entry = found(frozen.lookup(ground.host, "/dists/stable/InRelease"))
    assert (entry.sha256, entry.size_bytes, entry.kind) == (sha256(inrelease), len(inrelease), "release")
    assert entry.last_modified == ground.now.timestamp()
    for name in ("Release", "Release.gpg"):
        assert refused(frozen.lookup(ground.host, f"/dists/stable/{name}")).status == 404
    by_hash = found(frozen.lookup(ground.host, f"/dists/stable/by-hash/SHA256/{entry.sha256}"))  # Ubuntu has it so
    assert (by_hash.path, by_hash.immutable) == (entry.path, True)


def test_the_pair_is_there_when_the_lock_has_both(ground: Ground) -> None:
    (pin,) = ground.pins(ground.source())
    both = {"release_sha256": ground.store.add(b"Release"), "release_gpg_sha256": ground.store.add(b"signature")}
    options = {"keyring": ground.key.keyring, "cache": ground.cache}
    frozen = FrozenSet(assemble([pin.model_copy(update=both)], [ground.source()], **options), ground.cache)
    assert found(frozen.lookup(ground.host, "/dists/stable/Release")).sha256 == sha256(b"Release")
    assert found(frozen.lookup(ground.host, "/dists/stable/Release.gpg")).size_bytes == 9
    half = pin.model_copy(update={**both, "release_gpg_sha256": None})
    frozen = FrozenSet(assemble([half], [ground.source()], **options), ground.cache)
    assert refused(frozen.lookup(ground.host, "/dists/stable/Release")).status == 404


@pytest.mark.parametrize(
    "name", ["main/binary-amd64/Packages.xz", "main/i18n/Translation-en.xz", f"{IMAGES}SHA256SUMS"]
)
def test_indices_by_both_names(ground: Ground, name: str) -> None:
    frozen = ground.frozen()
    folder = f"dists/stable/{name.rpartition('/')[0]}"
    digest = sha256(FILES[name])
    plain = found(frozen.lookup(ground.host, f"/dists/stable/{name}"))
    hashed = found(frozen.lookup(ground.host, f"/{folder}/by-hash/SHA256/{digest}"))
    assert (plain.path, plain.sha256, plain.size_bytes, plain.kind) == (
        f"dists/stable/{name}", digest, len(FILES[name]), "index")  # fmt: skip
    assert (hashed.path, hashed.sha256) == (plain.path, plain.sha256)
    assert (plain.immutable, hashed.immutable) == (False, True)
    assert plain.urls == (f"{ground.address}/{folder}/by-hash/SHA256/{digest}", f"{ground.address}/dists/stable/{name}")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            f"main/binary-i386/by-hash/SHA256/{sha256(FILES['main/binary-amd64/Packages.xz'])}", id="elsewhere"
        ),
        pytest.param(f"main/binary-amd64/by-hash/SHA256/{sha256(b'other')}", id="another hash"),
        pytest.param(f"main/binary-amd64/by-hash/SHA512/{'0' * 128}", id="SHA512"),
        pytest.param(f"main/binary-amd64/by-hash/MD5Sum/{'0' * 32}", id="MD5"),
        pytest.param("main/binary-amd64/by-hash/SHA256/0", id="no hash"),
        pytest.param("main/binary-amd64/Packages.zst", id="not in the Release"),
        pytest.param("main/binary-amd64/", id="a folder"),
        pytest.param("../stable/InRelease", id="up and down"),
    ],
)
def test_what_the_release_does_not_name(ground: Ground, path: str) -> None:
    assert refused(ground.frozen().lookup(ground.host, f"/dists/stable/{path}")).status == 404


@pytest.mark.parametrize(
    ("host", "path", "status", "reason"),
    [
        ("", "/dists/testing/InRelease", 404, "testing is not pinned; of this archive stable is"),
        ("", "/project/trace/master", 404, "a mirror says of itself"),
        ("", "/pool/main/n/new_1_amd64.deb", 404, "no frozen index names it"),
        ("", "/", 404, "a folder"),
        ("other.example", "/dists/stable/InRelease", 403, "other.example is not frozen; 127.0.0.1:"),
        ("127.0.0.1", "/dists/stable/InRelease", 403, "is not frozen"),
    ],
)
def test_refusals_say_why(ground: Ground, host: str, path: str, status: int, reason: str) -> None:
    answer = refused(ground.frozen().lookup(host or ground.host, path))
    assert answer.status == status
    assert reason in answer.reason


def test_packages(ground: Ground) -> None:
    frozen = ground.frozen(services={ground.address: ["http://snapshot.example/20260301"]})
    entry = found(frozen.lookup(ground.host, "/pool/main/a/a_1_amd64.deb"))
    assert (entry.sha256, entry.size_bytes, entry.kind, entry.immutable) == (sha256(b"a"), 1, "package", True)
    assert entry.urls == (
        f"{ground.address}/pool/main/a/a_1_amd64.deb",
        "http://snapshot.example/20260301/pool/main/a/a_1_amd64.deb",
    )


LAZY = [
    pytest.param("pool/contrib/c/c_1_amd64.deb", b"c", "dists/stable/contrib/binary-amd64/Packages.xz", id="component"),
    pytest.param("pool/main/a/a_1_i386.deb", b"i", "dists/stable/main/binary-i386/Packages.xz", id="architecture"),
    pytest.param("pool/main/u/u_1_amd64.udeb", b"u", "dists/stable/main/debian-installer/binary-amd64/Packages.xz",
                 id="installer's packages"),
    pytest.param("pool/main/a/a_1.dsc", b"dsc", "dists/stable/main/source/Sources.xz", id="source"),
    pytest.param("pool/main/a/a_1.tar.xz", b"tar", "dists/stable/main/source/Sources.xz", id="source's tar"),
    pytest.param(f"dists/stable/{IMAGES}netboot/mini.iso", b"iso", f"dists/stable/{IMAGES}SHA256SUMS", id="image"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "data", "index"), LAZY)
def test_what_was_not_pinned_for_is_known_once_its_index_came(
    ground: Ground, path: str, data: bytes, index: str
) -> None:
    frozen = ground.frozen()
    assert refused(frozen.lookup(ground.host, f"/{path}")).status == 404
    entry = found(frozen.lookup(ground.host, f"/{index}"))  # as a client does before it asks for the file
    ground.store.fetch(entry.urls, entry.sha256, entry.size_bytes)
    assert found(frozen.lookup(ground.host, f"/{path}")).sha256 == sha256(data)


@pytest.mark.parametrize(("path", "data", "index"), LAZY)
def test_such_an_index_is_fetched_when_it_is_needed(ground: Ground, path: str, data: bytes, index: str) -> None:
    frozen = ground.frozen(fetch=True)
    assert found(frozen.lookup(ground.host, f"/{path}")).sha256 == sha256(data)
    assert ground.fetched == [index]  # and none of the others
    assert found(frozen.lookup(ground.host, f"/{path}")).size_bytes in (len(data), None)
    assert len(ground.fetched) == 1


def test_an_index_that_cannot_be_had_just_now(ground: Ground) -> None:
    """It is asked for again the next time: what lacks for a moment is no lasting 404."""
    frozen = ground.frozen(fetch=True)
    moved = ground.folder.rename(ground.folder.with_name("away"))

    def fails(entry: Entry) -> bool:
        if not ground.folder.exists():
            raise SurroundingsError("no network", where=entry.urls[0])
        return ground._fetch(entry)

    frozen._fetch = fails
    answer = refused(frozen.lookup(ground.host, "/pool/contrib/c/c_1_amd64.deb"))
    assert (answer.status, "no network" in answer.reason) == (503, True)
    moved.rename(ground.folder)
    assert found(frozen.lookup(ground.host, "/pool/contrib/c/c_1_amd64.deb"))


def test_an_index_nobody_has_any_more(ground: Ground) -> None:
    asked = []
    frozen = ground.frozen()
    frozen._fetch = lambda entry: bool(asked.append(entry.path))
    for _ in range(2):
        assert refused(frozen.lookup(ground.host, "/pool/contrib/c/c_1_amd64.deb")).status == 404
    assert len(asked) == 3  # each of its forms, once


def test_a_pinned_index_that_is_gone_refuses_all_that_it_may_name(ground: Ground) -> None:
    frozen = ground.frozen()
    for path in ground.store.folder.iterdir():
        path.unlink()
    answer = refused(frozen.lookup(ground.host, "/pool/main/a/a_1_amd64.deb"))
    assert (answer.status, "not in the store" in answer.reason) == (503, True)


def test_a_damaged_index_names_nothing(ground: Ground) -> None:
    frozen = ground.frozen()
    ground.store.path(sha256(FILES["main/binary-amd64/Packages.xz"])).write_bytes(b"x")
    assert refused(frozen.lookup(ground.host, "/pool/main/a/a_1_amd64.deb")).status == 404


def test_indices_that_disagree(ground: Ground) -> None:
    """One name with two hashes, in two suites of one instant: nobody can say which one is meant."""
    other = {"pool/main/a/a_1_amd64.deb": b"not a"}
    publish(ground.folder, ground.key, packed("main/binary-amd64/Packages", packages(other)), date=ground.now,
            suite="other")  # fmt: skip
    frozen = ground.frozen(ground.source(), ground.source("other"))
    assert "different hashes" in refused(frozen.lookup(ground.host, "/pool/main/a/a_1_amd64.deb")).reason
    assert found(frozen.lookup(ground.host, "/pool/main/b/b_1_all.deb"))


def test_suites_with_slashes_and_flat_archives(ground: Ground) -> None:
    index = packed("main/binary-amd64/Packages", packages(MAIN))
    publish(ground.folder, ground.key, index, date=ground.now, suite="stable/updates")
    flat = packed("Packages", packages({"./f_1_amd64.deb": b"f"}))
    publish(ground.folder, ground.key, flat, date=ground.now, suite="./")
    frozen = ground.frozen(ground.source(), ground.source("stable/updates"), ground.source("./", components=()))
    updates = found(frozen.lookup(ground.host, "/dists/stable/updates/InRelease"))
    assert updates.sha256 != found(frozen.lookup(ground.host, "/dists/stable/InRelease")).sha256
    assert found(frozen.lookup(ground.host, "/./InRelease")).path == "InRelease"
    assert found(frozen.lookup(ground.host, "/./Packages.xz")).sha256 == sha256(flat["Packages.xz"])
    digest = sha256(flat["Packages.xz"])
    assert (
        found(frozen.lookup(ground.host, f"/./by-hash/SHA256/{digest}")).urls[0].endswith(f"/by-hash/SHA256/{digest}")
    )
    assert found(frozen.lookup(ground.host, "/./f_1_amd64.deb")).sha256 == sha256(b"f")


def test_names_with_percent_signs(served: str, archive: Any, key: Any, tmp_path: Path, now: datetime) -> None:
    """The archive fixture has library_1%3a2.0-1_all.deb, which apt asks for as %253a and others as %3a."""
    ground = Ground(archive.folder, served, key, tmp_path / "cache", now)
    frozen = ground.frozen()
    for written in ("%253a", "%3a"):
        entry = found(frozen.lookup(ground.host, f"/pool/library_1{written}2.0-1_all.deb"))
        assert ground.store.fetch(entry.urls, entry.sha256, entry.size_bytes)


def test_other_addresses_of_an_archive(ground: Ground) -> None:
    frozen = ground.frozen(aliases={ground.address: ["http://mirror.example/debian", "https://mirror.example:8443/"]})
    for host, path in (("mirror.example", "/debian"), ("mirror.example:8443", "")):
        entry = found(frozen.lookup(host, f"{path}/pool/main/a/a_1_amd64.deb"))
        assert entry.urls == (f"{ground.address}/pool/main/a/a_1_amd64.deb",)
    assert refused(frozen.lookup("mirror.example", "/ubuntu/pool/main/a/a_1_amd64.deb")).status == 404
    assert found(frozen.lookup("mirror.example", "/debian/dists/stable/InRelease", scheme="https", port=443))


def test_two_archives_cannot_have_one_address(ground: Ground) -> None:
    with pytest.raises(ConfigError, match="two archives have this address"):
        ground.frozen(aliases={ground.address: [f"{ground.address}/"]})


def test_it_is_made_once(ground: Ground) -> None:
    pins = ground.pins(ground.source())
    options = {"keyring": ground.key.keyring, "cache": ground.cache}
    path = assemble(pins, [ground.source()], **options)
    made = path.stat().st_mtime_ns
    assert assemble(pins, [ground.source()], **options) == path
    assert path.stat().st_mtime_ns == made
    assert assemble(pins, [ground.source()], stamp="20300101T000000Z", **options) != path


def test_stamp(ground: Ground) -> None:
    assert ground.frozen().stamp == "20260301T120000Z"
    assert ground.frozen(stamp="20260302T000000Z").stamp == "20260302T000000Z"


def test_the_signature_is_checked_here_too(ground: Ground, stranger: Any) -> None:
    with pytest.raises(PipelineError, match="no good signature"):
        assemble(ground.pins(ground.source()), [ground.source()], keyring=stranger.keyring, cache=ground.cache)
    assert not list(ground.cache.glob("frozen/*"))


def test_a_source_the_lock_lacks(ground: Ground) -> None:
    with pytest.raises(PipelineError, match="not in the lock"):
        assemble(ground.pins(ground.source()), [ground.source("new")], keyring=ground.key.keyring, cache=ground.cache)


def test_the_archive_may_change_meanwhile(ground: Ground) -> None:
    pins = ground.pins(ground.source())
    changed = packed("main/binary-amd64/Packages", packages({"pool/main/a/a_2_amd64.deb": b"new"}))
    publish(ground.folder, ground.key, changed, date=ground.now + timedelta(hours=1))
    frozen = FrozenSet(assemble(pins, [ground.source()], keyring=ground.key.keyring, cache=ground.cache), ground.cache)
    assert found(frozen.lookup(ground.host, "/pool/main/a/a_1_amd64.deb"))
    assert refused(frozen.lookup(ground.host, "/pool/main/a/a_2_amd64.deb"))


def test_another_file_is_no_frozen_set(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"something")
    with pytest.raises(SurroundingsError, match="no frozen set"):
        FrozenSet(tmp_path / "x", tmp_path)


def test_lookups_from_many_threads(ground: Ground) -> None:
    frozen = ground.frozen(fetch=True)
    answers: list[Entry | Refusal] = []

    def ask() -> None:
        for path in ("/pool/main/a/a_1_amd64.deb", "/pool/contrib/c/c_1_amd64.deb", "/dists/stable/InRelease"):
            answers.append(frozen.lookup(ground.host, path))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 36
    assert {found(answer).sha256 for answer in answers} >= {sha256(b"a"), sha256(b"c")}


def test_what_to_keep(ground: Ground) -> None:
    frozen = ground.frozen()
    assert {sha256(b"a"), sha256(b"b"), sha256(FILES["main/binary-amd64/Packages.xz"])} <= frozen.hashes()
    assert sha256(b"c") not in frozen.hashes()  # its index is not here, so nobody could say


def test_reading_needs_the_standard_library_only() -> None:
    """The proxy reads it in an environment that has mitmproxy and nothing of ours."""
    script = (
        "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p] + [sys.argv[1]]; "
        "import proxy.archive.frozen, proxy.blobs; print('pydantic' in sys.modules)"
    )
    project = Path(__file__).parents[3]
    said = subprocess.run(
        [sys.executable, "-S", "-c", script, project], capture_output=True, text=True, check=True, cwd="/"
    )
    assert said.stdout == "False\n"
