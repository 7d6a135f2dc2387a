"""The last stage with the real sbuild: built in chroots of results only, those of the stage before."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from real_rebuild import QUICK, Rebuild, log_of, source_tree
from rebuilt import changes

from image_builder.archive.bring import needed
from image_builder.archive.configuration import load_archive_config
from image_builder.archive.database.open import open_database
from image_builder.archive.model import BinaryPackage
from image_builder.archive.rebuild.ground import laid, utc
from image_builder.archive.results import Result
from image_builder.archive.states import State

pytestmark = pytest.mark.full
PASSES = [{"stage": 1, "base": "both", "packages": "all"}, {"stage": 2, "base": "built", "packages": "all"}]


def deliver_base_system(made: Rebuild) -> int:
    """Put what is in every chroot among the results of stage 1: Debian's own packages, as if they had been rebuilt."""
    config = load_archive_config(made.folder / "archive.yaml")
    with open_database(config.database) as database:
        run = database.run("real stage 1")
        ground = laid(config, update=False, now=utc(database.latest()))
    by_source: dict[tuple[str, str, str], list[BinaryPackage]] = defaultdict(list)
    for one in needed([], ground.old_binaries("amd64"), "amd64"):
        by_source[one.source, one.source_version, one.version].append(one)
    for number, ((source, version, binary_version), binaries) in enumerate(sorted(by_source.items())):
        with tempfile.TemporaryDirectory() as temporary:
            delivered = Path(temporary)
            for one in binaries:
                assert one.file is not None
                path = ground.pinned.fetch(one.file.name, one.file.sha256, one.file.size)
                (delivered / Path(one.file.name).name).symlink_to(path)
            for path in delivered.iterdir():
                data = path.read_bytes()
                path.unlink()
                path.write_bytes(data)
            said = source if version == binary_version else f"{source} ({version})"
            changes(delivered, said, binary_version)
            made.results(1).accept(
                Result("trixie", source, version, binary_version, "amd64", run=run.name, stage=1,
                       attempt=1_000_000 + number, token=f"by hand {number}"),
                delivered,
            )  # fmt: skip
    return len(by_source)


def test_everything_is_built_again_with_nothing_but_results(tmp_path: Path) -> None:
    # What `first` makes is another thing each time, so what `user` was built with can be told.
    first = source_tree(tmp_path, "first", "date +%s%N >when", install="cp when $R/usr/share/first")
    user = source_tree(
        tmp_path, "user", "cp /usr/share/first/when seen; cat /etc/apt/sources.list; apt-cache policy dpkg",
        build_depends="first", install="cp seen $R/usr/share/user",
    )  # fmt: skip
    made = Rebuild(tmp_path / "rebuild", tmp_path / f"stage2-{os.urandom(4).hex()}/store", {
        "local": [str(first), str(user)], "packages": {"include": ["first", "user"]}, "passes": PASSES,
        "schedule": {**QUICK, "alone": False},
    })  # fmt: skip
    made.run("run", "--stage", "1")
    one = (made.unpacked("first", "first", tmp_path / "unpacked", stage=1) / "usr/share/first/when").read_text()

    # As long as stage 1 has not built what every chroot has, nothing is tried, and what is missing is named.
    made.run("run", "--stage", "2", status=1)
    for source in ("first", "user"):
        waits = made.package(source, run=2)
        assert waits.state is State.BD_UNINSTALLABLE
        assert "build-essential" in waits.bd_problem
        assert made.attempts(source, run=2) == []

    assert deliver_base_system(made) > 50
    made.run("run", "--stage", "2")
    assert [made.result(source, stage=2).stage for source in ("first", "user")] == [2, 2]
    log = log_of(made.attempts("user", run=2)[-1])
    assert "deb.debian.org" not in log
    assert "deb [trusted=yes] file:/build/repository ./" in log
    two = (made.unpacked("first", "first", tmp_path / "unpacked", stage=2) / "usr/share/first/when").read_text()
    seen = (made.unpacked("user", "user", tmp_path / "unpacked", stage=2) / "usr/share/user/seen").read_text()
    assert (seen == one, seen == two) == (True, False), "built with what stage 1 made, not with stage 2's own"
    said = made.run("diff", "1", "2").stdout
    assert "0 newly failing, 0 fixed" in said
