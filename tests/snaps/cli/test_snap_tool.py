"""snap-tool as its users call it: a process, its exit status, what it prints, the files it leaves."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from assertion_signer import Authority
from snap_store import SnapStore, snap_id, status

from image_builder.lock import Lock
from snaps.cli import main
from snaps.store.cohorts import read

SECRET = "not-for-any-log"
CREDENTIALS = base64.b64encode(json.dumps({"t": "bearer", "v": SECRET}).encode()).decode()
PROJECT = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-c", "from snaps.cli import main; main()"]


@dataclass
class Tool:
    """Calls snap-tool in a folder of its own: most times in this process, which starts faster."""

    folder: Path
    environment: dict[str, str]
    capture: pytest.CaptureFixture[str]

    def start(self, *words: str | Path, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*PROGRAM, *map(str, words)], cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(PROJECT), **self.environment, **environment}, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def __call__(self, *words: str | Path, exit_status: int = 0, **environment: str) -> tuple[str, str]:
        """(stdout, stderr)"""
        kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        self.capture.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["snap-tool", *map(str, words)])
            for name, value in {**self.environment, **environment}.items():
                patch.setenv(name, value)
            try:
                main()
                ended: object = 0
            except SystemExit as e:
                ended = e.code or 0
        for number, handler in kept.items():
            signal.signal(number, handler)
        said = self.capture.readouterr()
        assert ended == exit_status, said
        return said.out, said.err


@pytest.fixture
def tool(
    signed_store: SnapStore, snap_authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Tool:
    (tmp_path / "trust").write_bytes(snap_authority.trust)
    (tmp_path / "model").write_bytes(snap_authority.model_file())
    environment = {"UBUNTU_STORE_URL": signed_store.address, "SNAP_TOOL_CACHE": str(tmp_path / "cache"), "CI": "1"}
    return Tool(tmp_path, environment, capsys)


def revisions(folder: Path) -> dict[str, int]:
    lock = Lock.read(folder / "image-builder.lock")
    assert lock is not None
    return {pin.name: pin.revision for pin in lock.snaps}


def test_cohorts(tool: Tool, signed_store: SnapStore) -> None:
    (key,) = tool("cohort-create", "hello")[0].split()
    found = read(key)
    assert found is not None
    assert found.snap_id == snap_id("hello")
    lines = tool("cohort-create", "hello", "core22", "hello")[0].splitlines()
    assert [line.split()[0] for line in lines] == ["hello", "core22"]
    keys = json.loads(tool("cohort-create", "--json", "go")[0])
    assert keys["go"] in signed_store.cohorts
    assert "No snap named 'nothing'" in tool("cohort-create", "nothing", exit_status=1)[1]
    assert "is no name of a snap" in tool("cohort-create", "No/Thing", exit_status=2)[1]


def test_info(tool: Tool, signed_store: SnapStore) -> None:
    said = tool("info", "hello")[0]
    assert f"snap-id:   {snap_id('hello')}" in said
    assert "latest/stable" in said
    assert "a download gets" not in said
    key = signed_store.cohort_key("hello")
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    assert "a download gets: 30 (30) from stable, no cohort" in tool("info", "hello", "--channel", "edge")[0]
    assert "a download gets: 29 (29) from stable" in tool("info", "hello", "--cohort-key", key)[0]
    assert "a download gets: 29 (29) from stable" in tool("info", "hello", COHORT_KEY=key)[0]
    assert json.loads(tool("info", "hello", "--json", COHORT_KEY="+")[0])["chosen"]["revision"] == 30
    tool("info", "hello", "--arch", "arm64", "--series", "18")
    headers = signed_store.asked[-1].headers
    assert (headers["Snap-Device-Architecture"], headers["Snap-Device-Series"]) == ("arm64", "18")
    assert "No snap named 'nothing' found" in tool("info", "nothing", exit_status=1)[1]


def test_download(tool: Tool, signed_store: SnapStore) -> None:
    out = tool("download", "hello", "go=1.22", "-d", "out", "--trust", "trust")[0]
    assert out.splitlines() == ["out/hello_29.snap", "out/go_7.snap"]
    assert (tool.folder / "out/hello_29.snap").read_bytes() == signed_store.revisions["hello", 29].data
    proofs = (tool.folder / "out/hello_29.assert").read_text()
    assert proofs.count("type: snap-revision") == proofs.count("type: snap-declaration") == 1
    assert snap_id("go") not in proofs
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    assert tool("download", "hello", "--revision", "29", "--trust", "trust")[0] == "hello_29.snap\n"
    assert tool("download", "hello", "--trust", "trust")[0] == "hello_30.snap\n"


def test_a_download_nobody_signed_is_not_handed_over(tool: Tool) -> None:
    said = tool("download", "hello", exit_status=1)[1]  # Canonical's root of trust
    assert "error: " in said
    assert list(tool.folder.glob("*.snap")) == []


def test_lock_and_what_it_is_for(tool: Tool, signed_store: SnapStore) -> None:
    tool("lock", "hello", "go/classic=1.22", "--trust", "trust", "--write-revisions", "seed.manifest")
    assert revisions(tool.folder) == {"core22": 22, "go": 7, "hello": 29, "snapd": 1}
    assert (tool.folder / "seed.manifest").read_text() == "core22 22\ngo 7\nhello 29\nsnapd 1\n"
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    before = len(signed_store.asked)
    shown = tool("lock")[0]
    assert tool("lock", "hello")[0] == shown
    assert [line.split()[:2] for line in shown.splitlines()] == [
        ["core22", "22"], ["go", "7"], ["hello", "29"], ["snapd", "1"],
    ]  # fmt: skip
    assert len(signed_store.asked) == before
    out = tool("download", "--lock", "image-builder.lock", "hello", "-d", "out", "--trust", "trust")[0]
    assert sorted(Path(line).name for line in out.splitlines()) == ["core22_22.snap", "hello_29.snap", "snapd_1.snap"]
    for name in ("one", "two"):
        tool("seed", name, "--trust", "trust", "--model", "model")
        assert "hello 29\n" in tool("verify", name, "--trust", "trust", "--model", "model")[0]


def test_a_seed_on_another_host(tool: Tool, signed_store: SnapStore) -> None:
    tool("lock", "hello", "--trust", "trust")
    tool("seed", "here", "--trust", "trust", "--model", "model")
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    declaration = ("snap-declaration", "16", snap_id("hello"))
    assert signed_store.authority is not None
    newer = signed_store.authority.snap_declaration(snap_id("hello"), "hello", "publisher", revision="9")
    signed_store.assertions[declaration] = newer  # the store has no older one any more; the lock has
    tool("seed", "there", "--trust", "trust", "--model", "model", SNAP_TOOL_CACHE=str(tool.folder / "other"))
    here, there = ({p.name: p.read_bytes() for p in (tool.folder / name).rglob("*") if p.is_file()}
                   for name in ("here", "there"))  # fmt: skip
    assert here == there


def test_update_says_what_changes_first(tool: Tool, signed_store: SnapStore) -> None:
    tool("lock", "hello", "--trust", "trust")
    before = (tool.folder / "image-builder.lock").read_bytes()
    assert "no snap changes" in tool("lock", "hello", "--update", "--trust", "trust")[1]
    assert (tool.folder / "image-builder.lock").read_bytes() == before
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    said = tool("lock", "hello", "theme", "--update", "--dry-run", "--trust", "trust")[1]
    assert "would change:\n    hello: revision 29 → 30\n  + theme 5  latest/stable\n" in said
    assert (tool.folder / "image-builder.lock").read_bytes() == before
    said = tool("lock", "hello", "--update", "--trust", "trust")[1]
    assert "changes:\n    hello: revision 29 → 30\n" in said
    assert revisions(tool.folder)["hello"] == 30


def test_a_lock_keeps_its_other_parts(tool: Tool) -> None:
    path = tool.folder / "image-builder.lock"
    path.write_text(json.dumps({"version": 1, "created": "2026-01-01T00:00:00Z", "tools": {"live-build": "1"}}))
    tool("lock", "hello", "--trust", "trust")
    lock = Lock.read(path)
    assert lock is not None
    assert lock.tools == {"live-build": "1"}


def test_lists_of_snaps_in_files(tool: Tool, signed_store: SnapStore) -> None:
    signed_store.add_snap(30, {"name": "hello", "base": "core22"})
    (tool.folder / "snaps.yaml").write_text("snaps: [hello, {name: go, channel: 1.22, classic: true}]\n")
    assert "put it into quotes" in tool("lock", "--snaps", "snaps.yaml", exit_status=2)[1]
    (tool.folder / "snaps.yaml").write_text("snaps: [hello, {name: go, channel: '1.22', classic: true}]\n")
    (tool.folder / "seed.manifest").write_text("hello 29\n")
    tool("lock", "--snaps", "snaps.yaml", "--revisions", "seed.manifest", "--trust", "trust")
    assert revisions(tool.folder) == {"core22": 22, "go": 7, "hello": 29, "snapd": 1}
    (tool.folder / "seed.manifest").write_text("account/set=1\n")
    assert "cannot be applied" in tool("lock", "hello", "--update", "--revisions", "seed.manifest", exit_status=2)[1]


def test_what_is_wrongly_asked_for(tool: Tool) -> None:
    assert "which snaps?" in tool("lock", exit_status=2)[1]
    assert "which snaps?" in tool("download", exit_status=2)[1]
    assert "pins no snaps" in tool("download", "--lock", "nothing.lock", exit_status=2)[1]
    tool("lock", "hello", "--trust", "trust")
    said = tool("lock", "hello=edge", "theme", exit_status=2)[1]
    assert "hello: SNAP asks for latest/edge, the lock has latest/stable" in said
    assert "theme (SNAP) is not in the lock" in said
    assert "make it anew with --update" in said


def test_a_store_that_is_away(tool: Tool) -> None:
    said = tool("cohort-create", "hello", exit_status=3, UBUNTU_STORE_URL="http://127.0.0.1:1")[1]
    assert "the store cannot be asked: Connection refused" in said


@pytest.mark.parametrize("in_a_file", [False, True], ids=["variable", "file"])
def test_credentials_are_seen_by_the_store_alone(tool: Tool, signed_store: SnapStore, in_a_file: bool) -> None:
    signed_store.token = f"Bearer {SECRET}"
    signed_store.chunk_pause_s = 0.3  # so that there is a process to look at
    name = "UBUNTU_STORE_AUTH"
    if in_a_file:
        (tool.folder / "login").write_text(CREDENTIALS)
    environment = {f"{name}_DATA_FILENAME": "login"} if in_a_file else {name: CREDENTIALS}
    with tool.start("--debug", "lock", "hello", "--trust", "trust", **environment) as child:
        seen = []
        while child.poll() is None:
            seen.append(command_lines())
            time.sleep(0.02)
        said = "".join(child.communicate())
    assert child.returncode == 0, said
    assert any("lock hello" in lines for lines in seen)
    left = "".join(path.read_text() for path in tool.folder.glob("*.lock"))
    for text in (*seen, said, left):
        assert SECRET not in text
        assert CREDENTIALS not in text
    assert all("Authorization" not in asked.headers for asked in signed_store.asked if asked.host == "cdn")
    signed_store.fault(".", answer=status(401, WWW_Authenticate="Macaroon needs_refresh=1"))
    assert "they have expired" in tool("info", "hello", exit_status=1, **environment)[1]


def command_lines() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


@pytest.mark.parametrize("command", ["cohort-create", "info", "download", "lock", "seed", "verify"])
def test_help(tool: Tool, command: str) -> None:
    assert "Usage: snap-tool" in tool(command, "--help")[0]
