from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from image_builder.cli.archive.cycles import cycles
from image_builder.cli.archive.simulate import simulate
from image_builder.errors import ConfigError

SOURCES = """\
Package: a
Version: 1-1
Binary: a
Architecture: any
Build-Depends: b <!nocheck>
Directory: pool/a
Checksums-Sha256:
 {0} 1000 a_1-1.dsc

Package: b
Version: 1-1
Binary: b
Architecture: any
Build-Depends: a
Directory: pool/b
Checksums-Sha256:
 {0} 2000 b_1-1.dsc

Package: c
Version: 1-1
Binary: c
Architecture: any
Build-Depends: a
Directory: pool/c
Checksums-Sha256:
 {0} 3000 c_1-1.dsc
""".format("0" * 64)
PACKAGES = "\n".join(
    f"Package: {name}\nVersion: 1-1\nArchitecture: amd64\nFilename: pool/{name}.deb\nSize: 5000\nSHA256: {'0' * 64}\n"
    for name in "abc"
)


@pytest.fixture
def indices(tmp_path: Path) -> list[str]:
    (tmp_path / "Sources").write_text(SOURCES)
    (tmp_path / "Packages").write_text(PACKAGES)
    return ["--sources", str(tmp_path / "Sources"), "--packages", str(tmp_path / "Packages")]


def test_cycles_in_words(indices: list[str]) -> None:
    done = CliRunner().invoke(cycles, indices, catch_exceptions=False)
    assert done.output.splitlines() == [
        "2 sources: a, b",
        "  for one: a → b → b → a → a",
        "  a can do without b: with build profile nocheck: tests are not run",
        "  older builds of 1 free all of them: a",
    ]


def test_cycles_for_programs(indices: list[str]) -> None:
    (found,) = json.loads(CliRunner().invoke(cycles, [*indices, "--json"], catch_exceptions=False).output)
    assert (found["sources"], found["old"]) == (["a", "b"], ["a"])


def test_no_cycles(tmp_path: Path, indices: list[str]) -> None:
    (tmp_path / "Sources").write_text(SOURCES.partition("\n\n")[0] + "\n")
    assert CliRunner().invoke(cycles, indices, catch_exceptions=False).output == "no cycles\n"


def test_a_simulation_says_time_space_and_what_became_of_all(indices: list[str]) -> None:
    done = CliRunner().invoke(simulate, [*indices, "--calm", "--machines", "2", "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads(done.output)
    assert (found["sources"], found["borrowed"], found["source_bytes"], found["result_bytes"]) == (3, 1, 6000, 15000)
    assert found["simulated"]["states"] == {"Installed": 3}
    assert 1.0 <= found["simulated"]["ratio"] < 2.5


def test_the_same_in_words_with_recorded_times(tmp_path: Path, indices: list[str]) -> None:
    (tmp_path / "times").write_text("a,3600\nb,7200\nc,60\n")
    words = [*indices, "--calm", "--times", str(tmp_path / "times"), "--machines", "1"]
    output = CliRunner().invoke(simulate, words, catch_exceptions=False).output
    assert "3 sources; 1 of them in cycles" in output
    assert "3 Installed" in output
    assert "on 1 machines with 2 builds at once" in output


def test_bounds_alone_simulate_nothing(indices: list[str]) -> None:
    found = json.loads(CliRunner().invoke(simulate, [*indices, "--bounds", "--json"], catch_exceptions=False).output)
    assert "simulated" not in found
    assert [line["slots"] for line in found["bounds"]] == [1, 4, 16, 50, 100, 200, 400]


def test_half_of_the_indices_is_refused(indices: list[str]) -> None:
    done = CliRunner().invoke(simulate, indices[:2])
    assert isinstance(done.exception, ConfigError)
    assert "belong together" in str(done.exception)
