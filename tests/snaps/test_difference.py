from __future__ import annotations

from typing import Any

from image_builder.lock import SnapPin
from snaps.difference import difference


def pin(name: str, revision: int, **more: Any) -> SnapPin:
    fields = {"name": name, "snap_id": "a" * 32, "revision": revision, "sha3_384": f"{revision:096x}", "size_bytes": 1}
    return SnapPin.model_validate({**fields, "channel": "latest/stable", **more})


def test_what_a_new_lock_changes() -> None:
    old = [pin("a", 1), pin("b", 1), pin("c", 1), pin("e", 1)]
    new = [pin("b", 2, channel="latest/edge"), pin("c", 1, sha3_384="f" * 96), pin("d", 4), pin("e", 1, classic=True)]
    assert difference(old, new) == [
        "- a 1  latest/stable",
        "  b: revision 1 → 2, channel latest/stable → latest/edge",
        "  c: other bytes for the same revision: 000000000000… → ffffffffffff…",
        "+ d 4  latest/stable",
        "  e: confinement strict → classic",
    ]


def test_another_cohort_is_no_change() -> None:
    assert difference([pin("a", 1, cohort="x")], [pin("a", 1, cohort="y")]) == []
