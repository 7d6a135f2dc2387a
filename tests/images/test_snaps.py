"""Images with snaps, from a store on the loopback interface, built by the real command."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from assertion_signer import Authority
from building import TOP, Project, built
from snap_store import SnapStore

pytestmark = pytest.mark.root
Make = Callable[[], Project]
SECRET = "not-for-any-log"
SHIPPED = ("snap-packages.chroot", "snap-seed.chroot", "squashfs.binary", "series/base", "series/snaps")


@pytest.fixture
def project(small: Make, signed_store: SnapStore, snap_authority: Authority) -> Callable[[], Project]:
    """Projects that want hello and editor, with the shipped hooks for snaps and two targets."""

    def make() -> Project:
        made = small()
        (made.folder / "hooks.d/base/series").mkdir(parents=True)
        shutil.copytree(TOP / "hooks.d/lib", made.folder / "hooks.d/lib")
        for name in SHIPPED:
            shutil.copy(TOP / "hooks.d/base" / name, made.folder / "hooks.d/base" / name)
        (made.folder / "trust").write_bytes(snap_authority.trust)
        (made.folder / "model").write_bytes(snap_authority.model_file())
        (made.folder / "image-builder.yaml").write_text(
            "snaps: [hello, editor=stable]\nextra_snaps: []\ntarget_snaps: {small: [hello]}\n"
            "snap_trust: trust\nsnap_model: model\nenvironment: {SQUASHFS_COMP: lz4}\n"
        )
        for name in ("large", "small"):
            script = f"[ -d chroot ] || cd ..\ncp -R chroot/var/lib/snapd/seed livecd.$PROJECT.{name}"
            made.hook(f"base/{name}.binary", script)
            made.series(name, f"# {name}\ndepends snaps\nbase/{name}.binary\nprovides livecd.$PROJECT.{name}\n")
        credentials = base64.b64encode(json.dumps({"t": "bearer", "v": SECRET}).encode()).decode()
        made.environment |= {"UBUNTU_STORE_URL": signed_store.address, "UBUNTU_STORE_AUTH": credentials}
        return made

    return make


def seed_of(project: Project, target: str) -> dict[str, int]:
    """The revisions of the seed in an image, as snap-tool finds them: verified down to the root."""
    command = [Path(sys.executable).with_name("snap-tool"), "verify", project.artefact(f"livecd.debian.{target}"),
               "--trust", project.folder / "trust", "--model", project.folder / "model"]  # fmt: skip
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {name: int(revision) for name, revision in (line.split() for line in said.splitlines())}


def told(project: Project) -> str:
    """Everything a build leaves to read."""
    texts = [path.read_text(errors="replace") for path in (project.folder / "builds").glob("*/logs/**/*.log")]
    record = (project.folder / "builds/latest/build-record.json").read_text()
    return "\n".join([*texts, record, (project.folder / "image-builder.lock").read_text()])


def test_one_set_of_snaps_for_all_targets_and_jobs(project: Make, signed_store: SnapStore) -> None:
    signed_store.token = f"Bearer {SECRET}"
    first = project()
    said = first.run("build", "large", "small")
    record = first.record()
    assert seed_of(first, "large") == {"snapd": 1, "core22": 22, "editor": 3, "hello": 29, "theme": 5}
    assert seed_of(first, "small") == {"snapd": 1, "core22": 22, "hello": 29}
    assert {t["name"]: t["snaps"] for t in record["targets"]} == {
        "large": {"core22": 22, "editor": 3, "hello": 29, "snapd": 1, "theme": 5},
        "small": {"core22": 22, "hello": 29, "snapd": 1},
    }
    pins = {pin["name"]: pin for pin in record["lock"]["snaps"]}
    assert pins["hello"]["cohort"] in signed_store.cohorts
    assert SECRET not in said.stdout + said.stderr + told(first)
    notes = [note for layer in record["layers"] for note in layer["notes"]]
    assert notes and all("not preseeded: the snapd of the root has no snap-preseed" in note for note in notes)
    # the layers below the seed are the same for both
    assert [name for name in built(record) if "snap" in name] == [
        "chroot base/snap-packages.chroot", "chroot base/snap-seed.chroot", "chroot base/snap-seed.chroot",
    ]  # fmt: skip

    # the store goes on; two jobs on the same lock do not
    signed_store.add_snap(30, {"name": "hello", "base": "core22"}, payload=b"hello 30")
    jobs = [project(), project()]
    for number, job in enumerate(jobs):
        shutil.copy(first.folder / "image-builder.lock", job.folder)
        job.hook("base/other.chroot", f"echo {number} >/etc/job")  # so that nobody reuses another's seed
        job.series("large", "base/snap-packages.chroot\nbase/other.chroot\nbase/snap-seed.chroot\nbase/large.binary\n")
    with jobs[0].start("build", "large") as one, jobs[1].start("build", "large") as two:
        assert [child.communicate() and child.returncode for child in (one, two)] == [0, 0]
    trees = [tree(job.artefact("livecd.debian.large")) for job in (first, *jobs)]
    assert trees[0] == trees[1] == trees[2]
    assert seed_of(jobs[1], "large")["hello"] == 29

    # a new lock says what changes, and only what is affected is built
    said = first.run("build", "--update", "large", "small")
    assert "hello: revision 29 → 30" in said.stderr
    assert "core22: revision" not in said.stderr
    assert seed_of(first, "small")["hello"] == 30
    assert "chroot base/snap-packages.chroot" not in built(first.record())


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_a_build_refuses(project: Make, signed_store: SnapStore) -> None:
    made = project()
    config = (made.folder / "image-builder.yaml").read_text()

    def with_config(text: str, *words: str, **environment: str) -> Any:
        (made.folder / "image-builder.yaml").write_text(text)
        made.environment |= {"EXTRA_SNAPS": "", **environment}
        return made.run("build", "--dry-run", *(words or ("small",)), status=2).stderr

    said = with_config(config, EXTRA_SNAPS="hello=edge")
    assert "hello: snaps asks for hello=latest/stable, EXTRA_SNAPS for hello=latest/edge" in said
    said = with_config(config.replace("[hello, editor=stable]", "[editor]"))
    assert "small takes hello, which `snaps` does not have" in said
    said = with_config(config.replace("{small: ", "{smal: "))
    assert "there is no target smal" in said
    said = with_config(config.replace("snaps: [hello, editor=stable]", "snaps: []").replace("small: [hello]", ""))
    assert "base/snap-seed.chroot (of small): seeds snaps, and none are asked for" in said
    made.series("plain", "base/large.binary\n")
    said = with_config(config, "plain", EXTRA_SNAPS="theme")
    assert "EXTRA_SNAPS: snaps are asked for, but none of these targets seeds any" in said
    assert signed_store.paths("cohorts")  # the last one came as far as the store
