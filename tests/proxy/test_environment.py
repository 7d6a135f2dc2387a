"""The environment of mitmproxy: made once, whole or not at all. The packages are small ones made here."""

from __future__ import annotations

import logging
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from image_builder.errors import SurroundingsError
from proxy import environment


def wheel(folder: Path, version: str) -> None:
    """A mitmproxy that can be imported, and nothing else."""
    folder.mkdir(exist_ok=True)
    info = f"mitmproxy-{version}.dist-info"
    with zipfile.ZipFile(folder / f"mitmproxy-{version}-py3-none-any.whl", "w") as made:
        made.writestr("mitmproxy/__init__.py", "")
        made.writestr("mitmproxy/tools/__init__.py", "")
        made.writestr("mitmproxy/tools/dump.py", "")
        made.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: mitmproxy\nVersion: {version}\n")
        made.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        made.writestr(f"{info}/RECORD", "")


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.delenv(environment.VARIABLE, raising=False)


@pytest.mark.parametrize(("version", "pin"), [((3, 11), "11.0.2"), ((3, 12), "12.2.3"), ((3, 14), "12.2.3")])
def test_every_python_has_its_pins(version: tuple[int, int], pin: str) -> None:
    lines = environment.requirements(version).read_text().splitlines()
    assert f"mitmproxy=={pin}" in lines
    assert all(line.startswith("#") or line.count("==") == 1 for line in lines)


def test_made_once_by_all_who_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wheel(tmp_path / "wheels", "11.0.2")
    pins = tmp_path / "pins"
    pins.mkdir()
    for name in ("mitmproxy-11.txt", "mitmproxy-12.txt"):
        (pins / name).write_text("mitmproxy==11.0.2\n")
    monkeypatch.setattr(environment, "_ADDON", pins)
    left = environment.place() / "lib"
    left.mkdir(parents=True)  # of one that was killed
    caplog.set_level(logging.INFO)
    with ThreadPoolExecutor(3) as pool:
        found = set(pool.map(lambda _: environment.ensure(), range(3)))
    assert found == {environment.place() / "bin/python"}
    assert len([record for record in caplog.records if "making the environment" in record.message]) == 1
    subprocess.run([*found, "-I", "-c", "import mitmproxy.tools.dump"], check=True)
    (pins / "mitmproxy-11.txt").write_text("mitmproxy==11.0.3\n")
    (pins / "mitmproxy-12.txt").write_text("mitmproxy==11.0.3\n")
    assert environment.place() / "bin/python" not in found  # other pins, another environment


def test_without_an_index_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    with pytest.raises(SurroundingsError, match="cannot be made") as caught:
        environment.ensure()
    assert "PIP_FIND_LINKS" in caught.value.hint
    assert environment.VARIABLE in caught.value.hint
    assert not environment.place().exists()


def test_a_python_that_has_it_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.VARIABLE, sys.executable)
    assert environment.ensure() == Path(sys.executable)
