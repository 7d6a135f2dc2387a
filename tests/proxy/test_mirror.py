from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import local_archive
import pytest
from small_archive import packages, packed, publish, sha256, sources, write

from image_builder.errors import PipelineError
from image_builder.lock import ArchivePin
from proxy import http
from proxy.archive.freeze import freeze
from proxy.archive.sources import Source
from proxy.mirror import Report, State, Want, mirror

UPDATE = Want()  # what `apt-get update` reads


class Ground:
    """A served archive, pinned by another machine; the mirror's own cache is empty."""

    def __init__(self, archive: Path, address: str, key: Any, top: Path, now: datetime) -> None:
        self.archive, self.address, self.key, self.top = archive, address, key, top
        self.cache, self.folder, self.drop = top / "cache", top / "mirror", top / "drop"
        self.source = Source(address, "stable", ("main",), ("amd64",))
        self.pins = freeze([self.source], keyring=key.keyring, cache=top / "elsewhere", now=now)

    def mirror(self, want: Want = UPDATE, **options: Any) -> Report:
        options.setdefault("sources", [self.source])
        found = mirror(self.pins, options.pop("sources"), want, keyring=self.key.keyring, cache=self.cache, **options)
        assert not list(self.cache.glob("coming/*.part"))
        return found

    @property
    def top_of_mirror(self) -> Path:
        return self.folder / self.address.removeprefix("http://")


@pytest.fixture
def real(served: str, archive: Any, key: Any, tmp_path: Path, now: datetime) -> Ground:
    """The archive of real packages: program depends on library."""
    archive.add("alone")
    archive.publish(date=now)
    return Ground(archive.folder, served, key, tmp_path / "ground", now)


DEBS = {"pool/main/a/a_1_amd64.deb": b"a", "pool/main/a/a_2_amd64.deb": b"a2", "pool/main/b/b_1_all.deb": b"b",
        "pool/main/v/v_1_amd64.deb": b"v", "pool/main/w/w_1_amd64.deb": b"w"}  # fmt: skip
FIELDS = {
    "a_1": {"Depends": "b (>= 1) [amd64] | missing, virtual"},
    "a_2": {"Pre-Depends": "missing | b:any"},
    "v_1": {"Provides": "virtual (= 1), other", "Depends": "a, nowhere"},
    "w_1": {"Provides": "virtual"},
}
INDEX = b"\n".join(packages({p: d}, **FIELDS.get(p.rpartition("/")[2][:3], {})) for p, d in DEBS.items())
FILES = {
    **packed("main/binary-amd64/Packages", INDEX),
    **packed("main/source/Sources", sources("pool/main/a", {"a_1.dsc": b"dsc"})),
    "main/i18n/Translation-en.xz": b"en",
    "main/i18n/Translation-de.xz": b"de",
    "main/Contents-amd64.gz": b"contents",
    "main/dep11/Components-amd64.yml.xz": b"yml",
}


@pytest.fixture
def small(key: Any, tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    """An archive of a few bytes with versions, virtual packages and more indices."""
    monkeypatch.setattr(http, "PAUSE_S", 0.0)
    folder = tmp_path / "archive"
    publish(folder, key, FILES, date=now)
    for path, data in DEBS.items():
        write(folder / path, data)
    with local_archive.served(folder) as address:
        yield Ground(folder, address, key, tmp_path / "ground", now)
    http.close_idle()


def laid_out(ground: Ground) -> set[str]:
    """Names in the mirror's folder, by-hash ones left out."""
    top = ground.top_of_mirror
    found = {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}
    return {name for name in found if "by-hash" not in name}


METADATA = {"dists/stable/InRelease", "dists/stable/Release", "dists/stable/Release.gpg",
            "dists/stable/main/binary-amd64/Packages.xz", "dists/stable/main/i18n/Translation-en.xz"}  # fmt: skip


@pytest.mark.parametrize(
    ("want", "more"),
    [
        pytest.param(Want(), set(), id="what an update reads"),
        pytest.param(Want(languages=("de",)), {"dists/stable/main/i18n/Translation-de.xz"}, id="another language"),
        pytest.param(Want(source_indices=True), {"dists/stable/main/source/Sources.xz"}, id="sources"),
        pytest.param(Want(extra=["/Contents-amd64"]), {"dists/stable/main/Contents-amd64.gz"}, id="more"),
        pytest.param(Want(everything=True), set(DEBS), id="everything"),
        pytest.param(Want(names=["w"]), {"pool/main/w/w_1_amd64.deb"}, id="a package"),
        pytest.param(Want(names=["a"]), set(DEBS), id="with all it may need"),
        pytest.param(Want(names=["a"], needs=False), {"pool/main/a/a_1_amd64.deb", "pool/main/a/a_2_amd64.deb"},
                     id="every version"),
        pytest.param(Want(names=["a=2"]), {"pool/main/a/a_2_amd64.deb", "pool/main/b/b_1_all.deb"}, id="one version"),
        pytest.param(Want(names=["b:all"]), {"pool/main/b/b_1_all.deb"}, id="one architecture"),
        pytest.param(Want(names=["virtual"], needs=False), {"pool/main/v/v_1_amd64.deb", "pool/main/w/w_1_amd64.deb"},
                     id="a virtual package"),
    ],
)  # fmt: skip
def test_what_is_fetched(small: Ground, want: Want, more: set[str]) -> None:
    report = small.mirror(want, folder=small.folder)
    assert (report.missing, report.failed) == ([], [])
    expected = METADATA | more
    if want.languages == ("de",):
        expected -= {"dists/stable/main/i18n/Translation-en.xz"}
    assert laid_out(small) == expected


def test_a_plan(small: Ground) -> None:
    path = "pool/main/a/a_1_amd64.deb"
    files = [(f"{small.address}/{path}", sha256(b"a")), (f"{small.address}/{path}", sha256(b"other")),
             ("http://elsewhere.example/x.deb", sha256(b"x"))]  # fmt: skip
    report = small.mirror(Want(files=files), folder=small.folder)
    assert laid_out(small) == METADATA | {path}
    assert [(p.what, p.why.split()[0]) for p in report.missing] == [
        (f"{small.address}/{path}", "the"), ("http://elsewhere.example/x.deb", "elsewhere.example")]  # fmt: skip


def test_what_is_missing_and_what_failed(small: Ground) -> None:
    """All the rest is fetched, and the next run fetches only that."""
    (small.archive / "pool/main/v/v_1_amd64.deb").unlink()
    (small.archive / "pool/main/w/w_1_amd64.deb").write_bytes(b"x")
    report = small.mirror(Want(names=["a", "v", "w", "unknown"]))
    assert [problem.what for problem in report.missing] == [f"{small.address}/pool/main/v/v_1_amd64.deb", "unknown"]
    ((failed),) = report.failed
    assert (failed.what, "signed index says" in failed.why) == (f"{small.address}/pool/main/w/w_1_amd64.deb", True)
    assert not report.complete
    assert (report.files, report.fetched) == (11, 5)
    write(small.archive / "pool/main/v/v_1_amd64.deb", b"v")
    write(small.archive / "pool/main/w/w_1_amd64.deb", b"w")
    again = small.mirror(Want(names=["a", "v", "w"]))
    assert (again.complete, again.fetched) == (True, 2)


def test_what_was_fetched_by_hand(small: Ground) -> None:
    """The archive is gone; what the lock names was brought on a stick, under any names."""
    for number, data in enumerate(
        [(small.archive / "dists/stable/InRelease").read_bytes(), *FILES.values(), *DEBS.values(), b"a stranger"]
    ):
        write(small.drop / f"folder/{number}", data)
    small.archive.rename(small.archive.with_name("gone"))
    report = small.mirror(Want(names=["a"]), drop=small.drop, folder=small.folder)
    assert (report.missing, report.failed, report.fetched) == ([], [], 0)
    assert "folder/" + str(len(FILES) + len(DEBS) + 1) in report.strangers
    assert laid_out(small) == METADATA | set(DEBS)


def test_a_wrong_file_by_hand_is_not_taken(small: Ground) -> None:
    (small.archive / "pool/main/w/w_1_amd64.deb").unlink()
    write(small.drop / "w_1_amd64.deb", b"x")  # of the right size
    report = small.mirror(Want(names=["w"]), drop=small.drop)
    assert ([p.what for p in report.missing], report.strangers) == (
        [f"{small.address}/pool/main/w/w_1_amd64.deb"], ["w_1_amd64.deb"])  # fmt: skip


def test_no_such_drop_folder(small: Ground) -> None:
    with pytest.raises(PipelineError, match="no such folder"):
        small.mirror(drop=small.drop)


def test_an_archive_that_moved_on(small: Ground, now: datetime) -> None:
    publish(small.archive, small.key, packed("main/binary-amd64/Packages", b""), date=now)
    report = small.mirror(Want(names=["a"]))
    assert (len(report.missing), report.failed) == (1, [])
    assert "moved on" in report.missing[0].why


def test_no_network(small: Ground) -> None:
    pin: ArchivePin = small.pins[0]
    with local_archive.served(small.archive) as address:
        pass
    small.pins = [pin.model_copy(update={"uri": address, "from_": f"{address}/dists/stable/InRelease"})]
    report = small.mirror(sources=[Source(address, "stable", ("main",), ("amd64",))])
    assert (report.missing, len(report.failed)) == ([], 1)


def test_an_index_that_nobody_has(small: Ground) -> None:
    for path in (small.archive / "dists/stable/main/binary-amd64").rglob("*"):
        path.unlink() if path.is_file() else None
    report = small.mirror(Want(names=["a"]))
    assert [p.what.rpartition("/")[2] for p in report.missing] == [sha256(FILES["main/binary-amd64/Packages.xz"])]
    assert [p.why for p in report.failed] == ["this index is not in the store, so it is not known what it names"]


def test_a_stranger_signed_it(small: Ground, stranger: Any) -> None:
    small.key = stranger
    with pytest.raises(PipelineError, match="no good signature"):
        small.mirror()
    assert not small.folder.exists()


def test_progress(small: Ground) -> None:
    states: list[State] = []
    small.mirror(Want(everything=True), progress=states.append)
    last = states[-1]
    assert (last.files_done, last.bytes_done) == (last.files, last.bytes) == (5, 6)


def test_it_goes_on_where_it_stopped(small: Ground) -> None:
    """Stopped after the first package, as by ^C; what came is there."""
    pool, away = small.archive / "pool", small.archive / "away"

    def stop(state: State) -> None:
        if state.files == len(DEBS) and state.files_done == 1:
            pool.rename(away)  # a busy machine gets to the next ones before it gets to the end
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.mirror(Want(everything=True), progress=stop, jobs=1)
    away.rename(pool)
    report = small.mirror(Want(everything=True))
    assert report.complete
    assert report.fetched == len(DEBS) - 1


APT = {
    "Acquire::Languages": "en",
    "Acquire::Retries": "0",
    "APT::Architecture": "amd64",
    "APT::Architectures": "amd64",
    "APT::Sandbox::User": "root",
    "APT::Update::Error-Mode": "any",
    "Debug::NoLocking": "true",
}


def apt(folder: Path, uri: str, keyring: Path, *arguments: str) -> str:
    """The real apt with nothing but this archive and this key."""
    for name in ("lists/partial", "cache/archives/partial", "etc/preferences.d"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "sources.list").write_text(f"deb [signed-by={keyring}] {uri} stable main\n")
    (folder / "status").touch()
    (folder / "apt.conf").touch()  # nothing of this machine's
    settings = {
        **APT,
        "Dir::Etc": f"{folder}/etc",
        "Dir::Etc::sourcelist": f"{folder}/sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::trusted": "/nonexistent",
        "Dir::Etc::trustedparts": "/nonexistent",
        "Dir::State": str(folder),
        "Dir::State::status": f"{folder}/status",
        "Dir::Cache": f"{folder}/cache",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    done = subprocess.run(
        ["apt-get", "-q", *options, *arguments], capture_output=True, text=True, check=False, cwd=folder,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "APT_CONFIG": f"{folder}/apt.conf", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("by", ["file", "http"])
def test_a_real_apt_takes_the_folder_for_the_archive(real: Ground, by: str, tmp_path: Path) -> None:
    """With the original keyring, and with the archive itself gone."""
    assert real.mirror(Want(names=["program"]), folder=real.folder).complete
    real.archive.rename(real.archive.with_name("gone"))
    with local_archive.served(real.top_of_mirror) as address:
        uri = address if by == "http" else f"file:{real.top_of_mirror}"
        said = apt(tmp_path / "apt", uri, real.key.keyring, "update")
        assert "Err" not in said and "W:" not in said, said
        apt(tmp_path / "apt", uri, real.key.keyring, "download", "program", "library")
    names = sorted(path.name for path in (tmp_path / "apt").glob("*.deb"))
    assert names == ["library_1%3a2.0-1_all.deb", "program_1.0_all.deb"]
    for name in names:
        theirs = real.archive.with_name("gone") / "pool" / name
        assert (tmp_path / "apt" / name).read_bytes() == theirs.read_bytes()


def test_the_folder_costs_no_room(real: Ground) -> None:
    real.mirror(Want(names=["program"]), folder=real.folder)
    (deb,) = (real.top_of_mirror / "pool").glob("program*")
    assert deb.samefile(real.cache / "sha256" / sha256(deb.read_bytes()))


def test_a_newer_lock_replaces_the_older(real: Ground, archive: Any, now: datetime) -> None:
    real.mirror(folder=real.folder)
    before = (real.top_of_mirror / "dists/stable/InRelease").read_bytes()
    archive.add("news")
    archive.publish(date=now)
    real.pins = freeze([real.source], keyring=real.key.keyring, cache=real.top / "third", now=now)
    assert real.mirror(Want(names=["news"]), folder=real.folder).complete
    assert (real.top_of_mirror / "dists/stable/InRelease").read_bytes() != before
