"""resolve, lock and record as commands, without a build."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from image_builder.lock import Lock
from proxy.cli import COMMANDS, main

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Said:
    returncode: int
    stdout: str
    stderr: str


@dataclass
class Shell:
    """Runs the program as a user does, in this process."""

    folder: Path
    line: str  # of sources.list
    capsys: pytest.CaptureFixture[str]

    def environ(self, env: dict[str, str] | None) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "SNAPSHOT_PROXY_STORE": str(self.folder / "store"), **(env or {})}

    def __call__(self, *words: str, env: dict[str, str] | None = None) -> Said:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr("os.environ", self.environ(env))
            patch.setattr("sys.argv", ["snapshot-proxy", *words])
            patch.setattr("signal.signal", lambda *_: None)  # the test runner's stay as they are
            patch.setattr("proxy.http.PAUSE_S", 0.0)
            with pytest.raises(SystemExit) as caught:
                main()
        assert isinstance(caught.value.code, int)
        return Said(caught.value.code, *self.capsys.readouterr())

    def process(self, *words: str, env: dict[str, str] | None = None) -> Said:
        """The same as a process of its own, with its own log."""
        environ = self.environ(env) | {"PYTHONPATH": str(Path(__file__).parents[3])}
        command = [sys.executable, "-m", "proxy", *words]
        done = subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)
        return Said(done.returncode, done.stdout, done.stderr)

    def lock(self) -> Lock:
        found = Lock.read(self.folder / "image-builder.lock")
        assert found is not None
        return found


@pytest.fixture
def today() -> datetime:
    """These are programs of their own, which have the machine's clock."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def shell(
    served: str, archive: Any, key: Any, tmp_path: Path, today: datetime, capsys: pytest.CaptureFixture[str]
) -> Shell:
    archive.publish(date=today - 48 * HOUR, history=True)
    archive.publish(date=today - 24 * HOUR, history=True)
    folder = tmp_path / "user"
    folder.mkdir()
    return Shell(folder, f"deb [arch=amd64 signed-by={key.keyring}] {served} stable main", capsys)


def stamp(at: datetime) -> str:
    return f"{at:%Y%m%dT%H%M%SZ}"


def test_resolve_in_words(shell: Shell, archive: Any, key: Any, today: datetime) -> None:
    said = shell("resolve", shell.line)
    sha256 = hashlib.sha256((archive.folder / "dists/stable/InRelease").read_bytes()).hexdigest()
    assert said.returncode == 0, said.stderr
    assert f"stable  {today - 24 * HOUR:%Y-%m-%dT%H:%M:%SZ}  {sha256}  by {key.fingerprint}" in said.stdout
    assert "mirror: has it" in said.stdout


def test_resolve_for_programs(shell: Shell, today: datetime) -> None:
    said = shell("resolve", "--json", "--snapshot", stamp(today - 30 * HOUR), shell.line)
    assert said.returncode == 0, said.stderr
    (suite,) = json.loads(said.stdout)["suites"]
    assert suite["pin"]["date"] == f"{today - 48 * HOUR:%Y-%m-%dT%H:%M:%SZ}"
    assert suite["provider"] == "by-hash"
    assert [one["provider"] for one in suite["asked"]] == ["store", "mirror", "by-hash"]
    again = shell("resolve", "--json", shell.line, env={"REPO_SNAPSHOT_STAMP": str(int(today.timestamp()) - 108000)})
    assert json.loads(again.stdout)["suites"][0]["provider"] == "store"


def test_resolve_says_why_not(shell: Shell, today: datetime) -> None:
    said = shell("resolve", "--snapshot", stamp(today - 72 * HOUR), shell.line)
    assert (said.returncode, said.stdout) == (1, "")
    for reason in ("store: nothing of this suite", "mirror: has the one of", "by-hash: no", "snapshot service: none"):
        assert reason in said.stderr
    as_json = shell("resolve", "--json", "--snapshot", stamp(today - 72 * HOUR), shell.line)
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["suites"][0]["pin"] is None


@pytest.mark.parametrize(
    ("words", "env", "status", "said"),
    [
        pytest.param(("--snapshot", "tomorrow"), {}, 2, "no instant", id="instant"),
        pytest.param(("--snapshot", "99999999999"), {}, 2, "future", id="future"),
        pytest.param((), {"REPO_SNAPSHOT_STAMP": "1", "SNAPSHOT_SERVICE_TIMESTAMP": "20260101T000000Z"}, 2,
                     "different instants", id="contradiction"),
        pytest.param(("--service", "https://x/"), {}, 2, "not the address of a snapshot service", id="service"),
        pytest.param(("--nosuch",), {}, 2, "No such option", id="option"),
        pytest.param(("nosuch.list",), {}, 2, "is no source", id="source"),
        pytest.param(("deb http://x",), {}, 2, "not a source", id="line"),
    ],
)  # fmt: skip
def test_bad_usage(words: tuple[str, ...], env: dict[str, str], status: int, said: str, shell: Shell) -> None:
    found = shell("resolve", *words, shell.line, env=env)
    assert (found.returncode, found.stdout) == (status, "")
    assert said in found.stderr


def test_nobody_to_ask_may_heal(shell: Shell) -> None:
    assert shell("lock", "deb [trusted=yes] http://127.0.0.1:1/x stable main").returncode == 3
    assert not (shell.folder / "image-builder.lock").exists()


def test_a_lock_is_made_once(shell: Shell, archive: Any, today: datetime) -> None:
    assert shell("lock", shell.line).returncode == 0
    first = shell.lock()
    assert first.archives[0].date == today - 24 * HOUR
    archive.publish(date=today - HOUR)
    again = shell("lock", "--json", shell.line)
    assert Lock.parse(again.stdout, where="x") == first == shell.lock()
    assert shell("lock", "--update", shell.line).returncode == 0
    assert shell.lock().archives[0].date == today - HOUR


def test_a_lock_of_an_instant(shell: Shell, today: datetime) -> None:
    shell("lock", shell.line)
    before = shell.lock().model_copy(update={"tools": {"apt": "3"}})
    before.write(shell.folder / "image-builder.lock")
    at = stamp(today - 40 * HOUR)
    assert shell("lock", "--snapshot", at, shell.line).returncode == 0
    lock = shell.lock()
    assert lock.archives[0].date == today - 48 * HOUR
    assert lock.archives[0].stamp == today - 40 * HOUR
    assert lock.tools == {"apt": "3"}
    assert "as it was" in shell("lock", "--snapshot", at, shell.line).stdout


def test_sources_in_files(shell: Shell, served: str, key: Any, archive: Any, today: datetime) -> None:
    archive.publish("other", date=today - HOUR)
    (shell.folder / "a.list").write_text(shell.line + "\n")
    (shell.folder / "b.sources").write_text(
        f"Types: deb deb-src\nURIs: {served}\nSuites: other\nComponents: main\nArchitectures: amd64\n"
        f"Signed-By: {key.keyring}\n"
    )
    said = shell("lock", "--source-packages", "a.list", "b.sources")
    assert said.returncode == 0, said.stderr
    assert [pin.suite for pin in shell.lock().archives] == ["stable", "other"]


def test_record_once(shell: Shell, served: str) -> None:
    first, again = (shell("record", "--once", "--json", shell.line) for _ in range(2))
    assert [json.loads(one.stdout)["new"] for one in (first, again)] == [True, False]
    failed = shell("record", "--once", f"deb [arch=amd64 trusted=yes] {served}/nothing stable main")
    assert failed.returncode == 3
    assert "error: " in failed.stderr


def test_logins_are_seen_nowhere(shell: Shell, served: str) -> None:
    line = shell.line.replace("http://", "http://me:secret@")
    said = shell.process("--debug", "resolve", line)
    assert said.returncode == 2
    assert "auth.conf" in said.stderr
    private = {"SNAPSHOT_PROXY_AUTH": f"machine {served} login me password secret", "http_proxy": "http://u:secret@"}
    private["no_proxy"] = "127.0.0.1"
    again = shell.process("--debug", "lock", shell.line, env=private)
    assert again.returncode == 0, again.stderr
    texts = [said.stdout, said.stderr, again.stdout, again.stderr, shell.lock().text()]
    texts += [path.read_text() for path in (shell.folder / "store/history").glob("*.json")]
    assert [text for text in texts if "secret" in text] == []


def test_every_command_says_what_it_does() -> None:
    said = subprocess.run([sys.executable, "-m", "proxy", "--help"], capture_output=True, text=True, check=True).stdout
    assert [name for name in COMMANDS if name not in said] == []
