"""Carries out one assignment in the current folder, as a job of an executor: `python -m … ASSIGNMENT.json`.

It leaves `log`, `results/` and `ended.json`; the exit status is sbuild's, or 3 when sbuild was never begun.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from image_builder.archive.builder import root
from image_builder.archive.builder.assignment import Assignment
from image_builder.archive.builder.perform import LOG, Builder
from image_builder.archive.builder.report import ENDED, Ended, tidy
from image_builder.errors import PipelineError
from image_builder.files import write_whole
from image_builder.layers import Store


def main(path: Path, folder: Path) -> int:
    cancel = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: cancel.set())
    assignment = Assignment.read(path)
    with Store(assignment.store) as store:
        try:
            made = root.made(store, assignment.tools, folder / LOG)
            outcome = Builder(store, made, _say, cancel).build(assignment, folder)
        except PipelineError as e:
            with (folder / LOG).open("a", encoding="utf-8") as log:
                log.write(f"\n{e}\n")
            ended = Ended(exit_status=3, never_begun=str(e))
        else:
            ended = Ended(
                exit_status=outcome.exit_status,
                timed_out=outcome.timed_out,
                cancelled=outcome.cancelled,
                out_of_memory=outcome.out_of_memory,
            )
    tidy(folder, assignment)
    write_whole(folder / ENDED, json.dumps(asdict(ended), indent=1) + "\n")
    return ended.exit_status


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path.cwd()))
