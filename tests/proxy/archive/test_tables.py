from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from image_builder.errors import PipelineError
from proxy.archive import tables

PROJECT = Path(__file__).parents[3]
STANZA = "Filename: pool/{0}\nSize: {0}\nSHA256: {0:064x}\n\n"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    path = tmp_path / "sha256" / ("a" * 64)
    path.parent.mkdir()
    path.write_text("".join(STANZA.format(number) for number in range(1000)))
    return path


def test_a_table_answers_as_the_index(tmp_path: Path, index: Path) -> None:
    made = tables.Table(tables.table(tmp_path, index, "Packages", ""))
    assert made.get("pool/10") == (f"{10:064x}", 10)
    assert made.get("pool/1000") is None
    assert len(made.rows()) == 1000


def test_it_is_made_once_and_outlives_the_index(tmp_path: Path, index: Path) -> None:
    path = tables.table(tmp_path, index, "Packages", "")
    made = path.stat().st_mtime_ns
    index.unlink()
    assert tables.table(tmp_path, index, "Packages", "") == path
    assert path.stat().st_mtime_ns == made


def test_processes_make_it_once(tmp_path: Path, index: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from proxy.archive import tables; "
        "path = tables.table(Path(sys.argv[1]), Path(sys.argv[2]), 'Packages', ''); "
        "print(tables.Table(path).get('pool/7')[1], path.stat().st_ino)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path, index], cwd=PROJECT, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    said = {one.communicate(timeout=60)[0] for one in running}
    assert [one.returncode for one in running] == [0, 0, 0]
    assert len(said) == 1


def test_a_name_with_two_hashes_is_left_out(tmp_path: Path, index: Path) -> None:
    index.write_text(STANZA.format(1) + STANZA.format(1) + STANZA.format(2) + STANZA.format(2).replace("0002", "0003"))
    made = tables.Table(tables.table(tmp_path, index, "Packages", ""))
    assert (made.get("pool/1") is None, made.get("pool/2") is None) == (False, True)


def test_an_index_that_cannot_be_read_leaves_nothing(tmp_path: Path, index: Path) -> None:
    with pytest.raises(PipelineError, match="cannot be unpacked"):
        tables.table(tmp_path, index, "Packages.xz", "")
    assert [path.name for path in (tmp_path / "tables").iterdir()] == [".lock"]


def test_what_is_of_no_use_any_more_goes(tmp_path: Path, index: Path) -> None:
    """What a killed process began, and tables of indices that were pruned."""
    folder = tmp_path / "tables"
    folder.mkdir()
    pruned = folder / f"{'b' * 64}.{tables.VERSION}.sqlite"
    for path in (folder / ".x.sqlite.1-2.part", folder / ".x.sqlite.1-2.part-journal", pruned):
        path.touch()
    path = tables.table(tmp_path, index, "Packages", "")
    assert {p.name for p in folder.iterdir()} == {".lock", path.name}


def test_checksum_lists_are_told_apart_by_folder(tmp_path: Path, index: Path) -> None:
    index.write_text(f"{1:064x}  ./image\n")
    one, two = (
        tables.Table(tables.table(tmp_path, index, "x/SHA256SUMS", folder)) for folder in ("a/images/", "b/images/")
    )
    assert one.get("a/images/image") == two.get("b/images/image") == (f"{1:064x}", None)
    assert one.get("b/images/image") is None
