"""image-builder archive plan, on an archive that is served: pinned, read, taken in, judged, and nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from local_archive import served
from published import DATE, Rebuilt

from image_builder.archive.publish.folder import FolderPlace
from image_builder.archive.publish.signing import Signer
from image_builder.cli import cli

pytestmark = pytest.mark.root


def test_plan_of_a_served_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rebuilt = Rebuilt(tmp_path, Signer.own(tmp_path / "key", DATE))
    rebuilt.build("build-essential", {"build-essential": "amd64"})
    rebuilt.build("libhello", {"libhello": "amd64"}, Depends="libgone")
    for name in ("hello", "libhello"):
        rebuilt.source(name, "1-1")
    rebuilt.publish(FolderPlace(tmp_path / "published"))
    work = tmp_path / "rebuild"
    work.mkdir()
    tree = work / "hello/debian"
    tree.mkdir(parents=True)
    (tree / "control").write_text("Source: hello\nBuild-Depends: libhello\n\nPackage: hello\nArchitecture: any\n")
    (tree / "changelog").write_text(
        "hello (0.9) stable; urgency=low\n\n  * Mine.\n\n -- Me <me@localhost>  Thu, 01 Jan 2026 00:00:00 +0000\n"
    )
    with served(tmp_path / "published") as address:
        (work / "archive.yaml").write_text(
            f"sources:\n- deb {address} stable main\n- deb-src {address} stable main\n"
            f"keyring: {tmp_path}/published/archive-key.asc\nsuite: stable\narchitectures: [amd64]\nlocal: [hello]\n"
            f"store: {tmp_path}/store\npasses: [{{stage: 1, base: both}}]\n"
        )
        monkeypatch.chdir(work)
        cli.main(["archive", "plan", "--json"], standalone_mode=False)
        (planned,) = json.loads(capsys.readouterr().out)
        assert planned["packages"] == {"amd64": {"BD-Uninstallable": 1, "Needs-Build": 1}}
        assert [(one["source"], one["version"], one["problem"]) for one in planned["blocked"]] == [
            ("hello", "0.9", "needs libhello; libhello 1-1 needs libgone, which no package provides")
        ]
        cli.main(["archive", "plan"], standalone_mode=False)
        assert "  hello 0.9 (amd64) cannot be built:\n    needs libhello; " in capsys.readouterr().out
    assert {path.name for path in work.iterdir()} <= {"archive.yaml", "image-builder.lock", "hello", "work", "results"}
    assert [path for path in (work / "work").rglob("*") if path.is_file() and path.name != ".lock"] == []
