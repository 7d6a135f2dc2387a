"""image-builder archive repository, publish: from the command line."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from published import broken
from rebuilt import changes, deb, source_package

from image_builder.archive.publish.folder import FolderPlace
from image_builder.archive.results import Result, Results
from image_builder.cli import cli
from image_builder.cli.archive.bring import bring
from image_builder.cli.archive.table import TABLE
from image_builder.commands import Commands
from image_builder.errors import ConfigError, PipelineError

Archive = Callable[..., str]
CONFIG = """\
sources: [deb http://deb.debian.org/debian trixie main]
suite: trixie
architectures: [amd64]
publish: {to: published, origin: Rebuilt}
"""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Archive:
    """Run `image-builder archive` in a folder where two sources gave foo: what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    Path("archive.yaml").write_text(CONFIG)
    results = Results(tmp_path / "results/stage-1")
    for attempt, source in enumerate(("b-pkg", "a-pkg"), 1):
        with tempfile.TemporaryDirectory() as temporary:
            deb(Path(temporary), "foo", Source=source, content=source)
            changes(Path(temporary), source)
            asked = Result("trixie", source, "1-1", "1-1", "amd64", attempt=attempt, token=str(attempt))
            results.accept(asked, Path(temporary))
    with tempfile.TemporaryDirectory() as temporary:
        results.accept_source("trixie", "main", source_package(Path(temporary), "a-pkg"))

    def archive(*arguments: str) -> str:
        capsys.readouterr()
        cli.main(["archive", *arguments], standalone_mode=False)
        return capsys.readouterr().out

    return archive


def test_show_and_useforbuild(archive: Archive) -> None:
    assert archive("repository", "show") == "amd64  foo  a-pkg  foo_1-1_amd64.deb\n"
    rows = json.loads(archive("repository", "show", "foo", "--json"))
    assert [(row["source"], row["offered"]) for row in rows] == [("a-pkg", True), ("b-pkg", False)]
    archive("repository", "useforbuild", "a-pkg", "off")
    assert "b-pkg" in archive("repository", "show")
    assert archive("repository", "useforbuild") == "a-pkg  off  \n"
    archive("repository", "useforbuild", "--project", "off")
    assert archive("repository", "show") == ""
    archive("repository", "useforbuild", "a-pkg", "default", "--project", "default")
    assert "a-pkg" in archive("repository", "show")
    with pytest.raises(PipelineError, match="nothing that was built is called so"):
        archive("repository", "show", "bar")


def test_verify_tells_and_rebuild_mends(archive: Archive, tmp_path: Path) -> None:
    archive("repository", "update")
    assert archive("repository", "verify") == ""
    (tmp_path / "repository/trixie/amd64/:full/foo.deb").unlink()
    with pytest.raises(PipelineError, match="1 names are not as they should be"):
        archive("repository", "verify")
    assert json.loads(archive("repository", "rebuild", "--json")) == {"linked": 1, "removed": 0}
    assert archive("repository", "verify") == ""


def test_publish(archive: Archive, tmp_path: Path) -> None:
    said = archive("publish", "--date", "1750000000", "--valid-for", "7")
    assert said.startswith(f"{tmp_path}/published trixie: 1 packages, 1 sources; ")
    place = FolderPlace(tmp_path / "published")
    assert broken(place.read, "trixie") == []
    release = (place.read("dists/trixie/InRelease") or b"").decode()
    assert "Origin: Rebuilt\n" in release
    assert "Valid-Until: Sun, 22 Jun 2025" in release
    again = json.loads(archive("publish", "--date", "1750000001", "--json"))
    assert [(one["suite"], one["uploaded"], one["removed"]) for one in again] == [("trixie", 0, 0)]
    with pytest.raises(ConfigError, match="a folder, or s3://"):
        archive("publish", "--to", "ftp://somewhere")


def test_import_is_found_by_its_name() -> None:
    group = Commands(table={"import": TABLE["import"]})
    assert group.get_command(None, "import") is bring  # type: ignore[arg-type]
