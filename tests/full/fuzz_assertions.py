"""A target for atheris: what is read is printed the same, what cannot be is refused, and nothing else happens.

python fuzz_assertions.py CORPUS -max_total_time=60    CORPUS: a folder to begin with, which the fuzzer writes into
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import atheris

with atheris.instrument_imports(include=["snaps.assertions"]):
    from snaps.assertions import keys, openpgp, rules, trust
    from snaps.assertions.database import Database
    from snaps.assertions.parse import encode, parse_stream
    from snaps.assertions.refused import RefusedError

DATABASE = Database(trust.canonical(), datetime(2026, 3, 1, tzinfo=UTC))
KNOWN = len(list(DATABASE))


def one_input(data: bytes) -> None:
    try:
        found = parse_stream(data)
    except RefusedError:
        return
    assert b"\n".join(encode(one) for one in found).removesuffix(b"\n") == data.removesuffix(b"\n")
    for one in found:
        steps: list[tuple[Callable[..., object], tuple[object, ...]]] = [
            (partial(openpgp.read_signature, where=one.where), (one.signature,)),
            (rules.prerequisites, (one,)),
            (rules.check, (one, DATABASE)),
            (keys.read, (one,)),
            (DATABASE.add, (one,)),
        ]
        for step, arguments in steps:
            with suppress(RefusedError):
                step(*arguments)
    assert len(list(DATABASE)) == KNOWN, "something got in"


atheris.Setup(sys.argv, one_input)
atheris.Fuzz()
