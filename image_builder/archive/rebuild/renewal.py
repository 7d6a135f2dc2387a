"""A pass whose toolchain is another one than it was begun with: all that it has built is wanted again."""

from __future__ import annotations

from image_builder.archive.configuration import ArchiveConfig
from image_builder.archive.database.records import Run
from image_builder.archive.database.store import Database
from image_builder.archive.requests import Action, Moved, Request
from image_builder.archive.states import State

WHO = "toolchain"
# In the queue already, or not to be built with any toolchain.
_LEFT_ALONE = frozenset({State.NEEDS_BUILD, State.BD_UNINSTALLABLE, State.NOT_FOR_US, State.AUTO_NOT_FOR_US})


def renewed(database: Database, run: Run, config: ArchiveConfig, now: float) -> tuple[Run, int]:
    """The run with the configuration's toolchain, and how many packages are to be built again for it.

    What is being built is begun anew; what has failed may succeed now. Killed half-way, the next call goes on.
    """
    toolchain = config.toolchain.digest()
    if run.toolchain == toolchain:
        return run, 0
    keys = [row.key for row in database.packages(run.identity) if row.state not in _LEFT_ALONE]
    request = Request(Action.WANT, user=WHO, override=True, message=f"another toolchain: {toolchain[:12]}")
    answers = database.move_many(run.identity, keys, request, now)
    # Last: until it is written down, the moves are made again.
    run = database.renew_run(run.identity, toolchain=toolchain, configuration=config.model_dump_json())
    return run, sum(isinstance(answer, Moved) for _, answer in answers)
