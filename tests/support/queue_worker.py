"""A program that builds what is in the queue until it is empty: ADDRESS NAME. Prints what it has built."""

from __future__ import annotations

import sys
import time

from rebuild_rows import ARCHITECTURE, SUITE

from image_builder.archive.database.open import open_database
from image_builder.archive.database.records import Result
from image_builder.archive.model import Outcome
from image_builder.archive.requests import Action, Moved, Refusal, Request


def main(address: str, name: str) -> None:
    with open_database(address, durable=False) as db:
        run = db.runs()[-1].identity
        built, handed = Request(Action.BUILT, user=name), Request(Action.UPLOADED, user=name)
        moves = [built, handed, Request(Action.INSTALLED, user="repository")]
        while jobs := db.next_jobs(run, SUITE, ARCHITECTURE, time.time()):
            key = jobs[0].key
            attempt = db.start(run, key, name, time.time(), lease_seconds=600, time_limit_seconds=60)
            if isinstance(attempt, Refusal):  # somebody was quicker
                continue
            result = Result(Outcome.SUCCEEDED, attempt.version, 1.0)
            answer = db.finish(attempt.identity, attempt.token, result, moves, time.time())
            assert isinstance(answer, Moved), answer
            print(key.source, flush=True)


main(*sys.argv[1:])
