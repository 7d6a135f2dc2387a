"""Two machines with a store each build half of the targets from one lock; their results are joined."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest
from building import Project, copy_releases, copy_without_layers

pytestmark = pytest.mark.root
Make = Callable[[], Project]
FOR_TWO = """
[ -d chroot ] || cd ..
cp chroot/etc/marked livecd.$PROJECT.{0}
# every byte of the root, made on both machines
find chroot -type f | LC_ALL=C sort | xargs -d '\n' sha256sum >livecd.$PROJECT.both
"""


def machine(project: Project, name: str, *, empty: bool) -> Project:
    """A copy of the project, and a store of its own: with the tools and the packages of the first, or without."""
    top = project.folder.with_name(f"{project.folder.name}-{name}")
    shutil.copytree(project.folder, top, ignore=shutil.ignore_patterns("builds"))
    made = Project(top, project.store.with_name(f"{top.name}-store"))
    if empty:
        copy_releases(project, made.store)
    else:
        copy_without_layers(project.store, made.store)
    return made


@pytest.fixture
def project(small: Make) -> Project:
    project = small()
    project.hook("base/mark.chroot", "echo marked >/etc/marked")
    for name in ("one", "two"):
        project.hook(f"base/{name}.binary", FOR_TWO.replace("{0}", name))
        provides = f"provides livecd.$PROJECT.{name}\nprovides livecd.$PROJECT.both\n"
        project.series(name, f"# {name}\nbase/mark.chroot\nbase/{name}.binary\n{provides}")
    project.run("lock")
    return project


@pytest.mark.parametrize(
    "empty", [pytest.param(True, marks=pytest.mark.full), False], ids=["empty stores", "tools there"]
)
def test_one_lock_two_machines_one_result(project: Project, empty: bool) -> None:
    matrix = project.run("ci-matrix", "one", "two").stdout
    jobs = json.loads(matrix)["include"]
    assert sorted(job["targets"] for job in jobs) == ["one", "two"]
    assert [j["targets"] for j in json.loads(project.run("ci-matrix", "one", "two", "--by-branch").stdout)["include"]]
    (project.folder / "matrix.json").write_text(matrix)

    first, second = (machine(project, name, empty=empty) for name in ("first", "second"))
    one, two = first.build("one"), second.build("two")
    shared = {layer["name"]: layer["key"] for layer in one["layers"]}
    assert {layer["name"]: layer["key"] for layer in two["layers"] if layer["name"] in shared} == {
        name: key for name, key in shared.items() if name != "binary base/one.binary"
    }
    words = ["--matrix", str(project.folder / "matrix.json"), str(first.folder), str(second.folder)]
    collected(project, *words)
    joined = json.loads((project.folder / "collected/build-record.json").read_text())
    assert joined["status"] == "done"
    assert [job["targets"] for job in joined["jobs"]] == [["one"], ["two"]]
    sums = (project.folder / "collected/SHA256SUMS").read_text().split()[1::2]
    assert sums == ["livecd.debian.both", "livecd.debian.one", "livecd.debian.two"]

    shutil.rmtree(project.folder / "collected")
    missing = collected(project, *words[:-1], status=1)
    assert "no job has built two" in missing

    # one hook is another one on the second machine
    second.hook("base/mark.chroot", "echo another mark >/etc/marked")
    second.build("two")
    refused = collected(project, *words, status=1)
    assert "differ in hooks.d: base/mark.chroot" in refused
    assert "differ in the step chroot base/mark.chroot: hook" in refused
    assert "livecd.debian.both: " in refused
    assert str(first.folder) in refused
    assert str(second.folder) in refused
    assert not (project.folder / "collected").exists()


def collected(project: Project, *words: str, status: int = 0) -> str:
    """What `collect` complains of; it needs no store."""
    with project.start_plain("collect", *words) as child:
        _, stderr = child.communicate()
    assert child.returncode == status, stderr
    return stderr
