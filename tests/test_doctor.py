"""What the machine lacks."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from click.testing import CliRunner

from image_builder import doctor
from image_builder.cli.doctor import doctor as command
from image_builder.config import BuildConfig
from image_builder.doctor import CLOCK_SKEW_S, Finding, at_once, clock, disk, examine, programs


class Clock(http.server.BaseHTTPRequestHandler):
    """An archive whose clock is an hour behind 2020."""

    def do_HEAD(self) -> None:
        self.send_response_only(200 if self.path.endswith("/InRelease") else 404)
        self.send_header("Date", formatdate(1577836800, usegmt=True))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def archive() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Clock)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def config(**values: object) -> BuildConfig:
    return BuildConfig.model_validate({"architecture": "amd64", "security": False, **values})


def by_name(found: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in found}


def test_a_missing_program_is_named_with_the_package_that_has_it() -> None:
    found = programs("tools", {"sh": "dash", "no-such-program": "some-package"}, "lacking")
    assert found == Finding("tools", "lacking", "no-such-program missing", "apt-get install some-package")
    assert programs("tools", {"sh": "dash"}, "lacking").verdict == "ok"


@pytest.mark.parametrize(
    ("skews", "verdict", "said"),
    [
        ([], "warning", "nobody was there"),
        ([1.0, -CLOCK_SKEW_S], "ok", "within 10 minutes"),
        ([CLOCK_SKEW_S + 61], "lacking", "11 minutes ahead of"),
        ([-3600.0, -3601.0], "lacking", "60 minutes behind"),
    ],
)
def test_the_clock(skews: list[float], verdict: str, said: str) -> None:
    found = clock(skews)
    assert (found.verdict, said in found.what) == (verdict, True)
    assert bool(found.mend) == (verdict == "lacking")


def test_the_disk_of_a_folder_that_is_not_made_yet(tmp_path: Path) -> None:
    assert disk("disk", tmp_path / "not/there").what.endswith(f"GiB free at {tmp_path}")


def test_little_memory_is_said() -> None:
    found = doctor._memory("MemTotal: 4000000 kB\nMemAvailable:     900000 kB\n")
    assert (found.verdict, found.mend) == ("warning", "image-builder build --jobs 1")
    assert doctor._memory("MemAvailable: 9000000 kB\n").verdict == "ok"


def test_an_archive_that_answers_and_has_another_time(archive: str, tmp_path: Path) -> None:
    found = by_name(examine(config(mirror=archive, store=tmp_path / "store"), tmp_path))
    assert found["archive"].verdict == "ok"
    assert found["clock"].verdict == "lacking"
    assert "ahead of the archive" in found["clock"].what


def test_an_archive_that_does_not_answer(archive: str, tmp_path: Path) -> None:
    found = by_name(examine(config(mirror=archive.replace("127.0.0.1", "127.0.0.2"), store=tmp_path / "s"), tmp_path))
    assert found["archive"].verdict == "lacking"
    assert "refused" in found["archive"].what


def test_keys_that_are_not_there(tmp_path: Path) -> None:
    found = at_once(config(keyring=tmp_path / "none.gpg", store=tmp_path / "store"), tmp_path)
    assert "keyring" in {finding.name for finding in found}
    assert all(finding.verdict == "lacking" for finding in found)


def test_the_command_tells_it_as_lines_and_as_json(tmp_path: Path) -> None:
    (tmp_path / "image-builder.yaml").write_text(f"architecture: amd64\nkeyring: {tmp_path}/none.gpg\n")
    words = ["-C", str(tmp_path), "--offline", "--store", str(tmp_path / "store")]
    said = CliRunner().invoke(command, words, catch_exceptions=False)
    assert said.exit_code == 3
    assert "LACKING  keyring: " in said.stdout
    told = json.loads(CliRunner().invoke(command, [*words, "--json"], catch_exceptions=False).stdout)
    assert {"name": "keyring", "verdict": "lacking"}.items() <= next(f for f in told if f["name"] == "keyring").items()
    assert "archive" not in {finding["name"] for finding in told}


def test_ubuntus_keys_are_in_the_tool_root(tmp_path: Path) -> None:
    found = by_name(examine(config(suite="noble", store=tmp_path), tmp_path, network=False))["keyring"]
    assert (found.verdict, found.what) == ("ok", "ubuntu's, in the tool root")


def test_bounds_of_a_step() -> None:
    assert doctor._bounds([]).verdict == "ok"
    found = doctor._bounds(["its memory is not bounded"])
    assert (found.verdict, found.what) == ("warning", "its memory is not bounded")
    assert "docs/security.md" in found.mend
