"""The tool root of a lock: pinned, kept while its packages are the same, made of nothing but what is pinned."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from archive_fixtures import NOW
from local_archive import LocalArchive

from image_builder.build.progress import Progress
from image_builder.build.tools import Maker, tools_for
from image_builder.config import BuildConfig
from image_builder.errors import CommandError, PipelineError
from image_builder.layers import Construction, Store
from image_builder.live_build import tool_root
from image_builder.lock import Lock

pytestmark = pytest.mark.root


class Ground:
    """A store with a tool root of small packages, and the archive they are from. said: what the user was told."""

    def __init__(self, folder: Path, archive: LocalArchive, uri: str) -> None:
        self.archive, self.path, self._said = archive, folder / "image-builder.lock", io.StringIO()
        self.config = BuildConfig(
            suite="stable", tool_suite="stable", mirror=uri, security=False, updates=False,
            keyring=archive.key.keyring, store=folder / "store",
        )  # fmt: skip
        self.store = Store(self.config.store)
        self.progress = Progress(stream=self._said)
        names = {"base-files", "apt", *tool_root.packages(self.config)}
        for name in sorted(names):
            archive.add(name, **({"Essential": "yes"} if name == "base-files" else {}))
        archive.publish(date=NOW)
        with self.store.building(tool_root.recipe_key(self.config)) as place:
            assert isinstance(place, Construction)
            admin = place.diff / "var/lib/dpkg"
            for part in ("info", "updates"):
                (admin / part).mkdir(parents=True)
            (admin / "status").write_text("\n".join(
                f"Package: {name}\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0\nMaintainer: x\n"
                "Description: x\n" for name in sorted(names)
            ))  # fmt: skip
            place.commit({"name": "tool root", "packages_digest": "small", "live_build": "1.0"})

    def tools(self, *, update: bool = False) -> tool_root.ToolRoot:
        return tools_for(self.store, self.config, self.path, self.progress, update=update)

    def write_lock(self, tools: tool_root.ToolRoot) -> None:
        Lock(
            created=NOW, archives=tools.pins, tools={"tool-root": tools.digest}, tool_archives=tools.pins
        ).write(self.path)  # fmt: skip

    @property
    def said(self) -> str:
        return self._said.getvalue()


@pytest.fixture
def ground(served: str, archive: LocalArchive, tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, archive, served)
    with made.store:
        yield made


def test_one_whose_packages_are_the_same_is_kept(ground: Ground) -> None:
    """However often the archive is published anew; and after the first time apt is not asked again."""
    first = ground.tools()
    assert (first.digest, [pin.date for pin in first.pins]) == ("small", [NOW])
    ground.write_lock(first)
    ground.archive.add("other")
    ground.archive.publish(date=NOW + timedelta(hours=1))
    assert ground.tools() == first, "the lock's"
    second = ground.tools(update=True)
    assert (second.path, [pin.date for pin in second.pins]) == (first.path, [NOW + timedelta(hours=1)])
    assert "making" not in ground.said


def test_other_packages_are_another_tool_root(ground: Ground) -> None:
    """Which is begun with packages of the pinned state, and cannot be ended: they are not real ones."""
    ground.write_lock(ground.tools())
    ground.archive.add("live-build", "2.0")
    ground.archive.publish(date=NOW + timedelta(hours=1))
    assert ground.tools().digest == "small", "the lock's"
    with pytest.raises(CommandError, match="mmdebstrap"):
        ground.tools(update=True)
    assert "making the tool root" in ground.said
    maker = Maker(ground.store, ground.config, ground.progress)
    chosen = {package.name: package for package in maker.solution(maker.resolved(None)).packages}
    assert chosen["live-build"].version == "2.0"
    assert all((ground.store.root / "archive/sha256" / package.sha256).exists() for package in chosen.values())
    assert ground.tools().digest == "small"


def test_what_the_lock_names_and_nobody_has_is_an_error(ground: Ground, tmp_path: Path) -> None:
    ground.write_lock(ground.tools())
    ground.archive.publish(date=NOW + timedelta(hours=1))
    with Store(tmp_path / "new") as store, pytest.raises(PipelineError, match="the archive has moved on"):
        tools_for(store, ground.config, ground.path, ground.progress, update=False)


def test_an_old_lock_and_an_archive_without_tools_take_the_stored_one(ground: Ground) -> None:
    first = ground.tools()
    Lock(created=NOW, archives=first.pins).write(ground.path)
    assert ground.tools() == first._replace(pins=())
    ground.path.unlink()
    ground.config = ground.config.model_copy(update={"snapshot": "20200101T000000Z"})
    assert ground.tools() == first._replace(pins=())
    assert "warning: the tool root is not pinned" in ground.said


def test_another_tool_root_than_the_locks_is_said(ground: Ground) -> None:
    ground.write_lock(ground.tools()._replace(digest="0" * 64))
    assert ground.tools().digest == "small"
    assert "made with another tool root, 000000000000" in ground.said


@pytest.mark.full
def test_the_real_one_is_made_again_from_its_lock_alone_and_offline(tmp_path: Path) -> None:
    """In a second store that has what was fetched, in a network namespace without a way out."""
    config, path = BuildConfig(store=tmp_path / "first"), tmp_path / "image-builder.lock"
    with Store(config.store) as store:
        made = tools_for(store, config, path, Progress(quiet=True), update=False)
        Lock(
            created=NOW, archives=made.pins, tools={"tool-root": made.digest}, tool_archives=made.pins
        ).write(path)  # fmt: skip
        assert not list((made.path / "var/cache/apt/archives").glob("*.deb"))
        (tmp_path / "second").mkdir()
        subprocess.run(["cp", "-a", "--link", store.downloads(), tmp_path / "second"], check=True)
    script = (
        "import sys; from pathlib import Path\n"
        "from image_builder.build.progress import Progress\n"
        "from image_builder.build.tools import tools_for\n"
        "from image_builder.config import BuildConfig\n"
        "from image_builder.layers import Store\n"
        "config = BuildConfig(store=Path(sys.argv[1]))\n"
        "with Store(config.store) as store:\n"
        "    print(tools_for(store, config, Path(sys.argv[2]), Progress(quiet=True), update=False).digest)\n"
    )
    project = Path(__file__).parents[2]
    again = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", script, tmp_path / "second", path],
        cwd=project, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert again.stdout.strip() == made.digest
