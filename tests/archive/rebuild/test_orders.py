"""What a build is told: which packages it may install, as of now."""

from __future__ import annotations

from pathlib import Path

from rebuilt import deliver
from small_ground import ground

from image_builder.archive.database.open import open_database
from image_builder.archive.importing import Found, Status, Verdict
from image_builder.archive.model import Attempt, Base, Key
from image_builder.archive.rebuild.machine import Machine
from image_builder.archive.rebuild.orders import Orders
from image_builder.archive.repository.useforbuild import Flag, Flags

PASSES = [{"stage": 1, "base": "both", "packages": "all"}]
TOOL = Key("stable", "amd64", "tool")


def test_a_flag_holds_from_the_next_build_on(tmp_path: Path) -> None:
    made = ground(tmp_path, passes=PASSES)
    deliver(made.stages.results(1), "water", "amd64", ["libwater-dev_1_amd64.deb"], 7)
    with open_database(made.config.database) as database:
        run = database.add_run("small", 1, Base.BOTH, 0.0)
        database.merge(run.identity, "stable", "amd64", [Found("tool", "2-1", Status.UNCOMPILED)], 0.0)
        database.judge(run.identity, "stable", "amd64", {"tool": Verdict()}, {}, 0.0)
        attempt = database.start(run.identity, TOOL, "me", 0.0, lease_seconds=9, time_limit_seconds=9)
        assert isinstance(attempt, Attempt)
        orders = Orders(made, database, run, tmp_path / "assignments", Machine(1, 1, 1 << 30, 1 << 30), lambda: 0.0)

        def offered() -> str:
            told = orders.assignment(attempt).repository
            assert told is not None
            return (told.folder / "Packages").read_text()

        assert "Package: libwater-dev\n" in offered()
        made.stages.newest.set_flags("stable", Flags(packages={"water": (Flag(False),)}))
        assert offered() == ""
        made.stages.newest.set_flags("stable", Flags())
        assert "Package: libwater-dev\n" in offered()
