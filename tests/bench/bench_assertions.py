"""Snaps: assertions parsed and verified to the root of trust, on one core."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from command import main
from ground import Ground
from report import Cost, Report, Row

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from assertion_signer import Authority, SigningKey, stream

from snaps.assertions import trust
from snaps.assertions.database import Database
from snaps.assertions.parse import parse_stream

SNAPS = 1000
PER_SECOND = 1000
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def bench(ground: Ground, quick: bool) -> Report:  # noqa: ARG001
    return compare(50 if quick else SNAPS)


def compare(snaps: int) -> Report:
    """snaps: how many, each with a declaration and a revision."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = [_row(snaps, bits, root_bits) for bits, root_bits in ((4096, 8192), (2048, 2048))]
    notes = [
        "a declaration and a revision for each snap, as one text that is parsed and verified; one core",
        "4096 bits sign in the public store, under a root of 8192 bits",
        f"the bound is {PER_SECOND} assertions a second",
    ]
    return Report("Snaps: assertions verified", rows, notes)


def _row(snaps: int, bits: int, root_bits: int) -> Row:
    by = Authority(bits=bits)
    if root_bits != bits:
        by.root = SigningKey(root_bits)
        by.root_account = by.account("test-root", "test-root", key=by.root)
        by.root_account_key = by.account_key("test-root", by.root, "root")
        by.store_account_key = by.account_key("test-root", by.store, "store")
    texts = [by.store_account_key, by.account("dev", "dev")]
    for number in range(snaps):
        name = hashlib.sha384(str(number).encode()).hexdigest()
        texts.append(by.snap_declaration(name[:32], f"snap-{number}", "dev"))
        texts.append(by.snap_revision(name, 1 << 20, name[:32], number + 1, "dev"))
    text = stream(*texts)
    root = trust.from_text(by.trust, where="bench", now=NOW)
    began, cpu = time.perf_counter(), time.process_time()
    database = Database(root, NOW)
    database.add_all(parse_stream(text))
    cost = Cost(time.perf_counter() - began, time.process_time() - cpu)
    assert len(list(database)) == len(texts) + 2
    count = len(texts)
    return Row(
        f"{count} assertions, keys of {bits} bits: {count / cost.wall_s:.0f} a second", cost, bound=count / PER_SECOND
    )


if __name__ == "__main__":
    sys.exit(main(__doc__, bench))
