"""Which files each publication consists of, and which may go when newer ones have taken its place."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterable, Mapping

TOP = ".generations/"


def manifest_name(suite: str, number: int, *, unfinished: bool = False) -> str:
    return f"{TOP}{suite}/{number:08d}{'.part' if unfinished else ''}"


def parse_name(name: str) -> tuple[str, int, bool] | None:
    """Suite, number, and whether it is unfinished; None for any other file.

    >>> parse_name(".generations/stable/updates/00000007.part")
    ('stable/updates', 7, True)
    """
    suite, _, last = name.removeprefix(TOP).rpartition("/")
    number, _, ending = last.partition(".")
    if not name.startswith(TOP) or not suite or not number.isdigit() or ending not in ("", "part"):
        return None
    return suite, int(number), ending == "part"


def to_text(names: Iterable[str]) -> bytes:
    return gzip.compress("".join(f"{name}\n" for name in sorted(names)).encode(), 6, mtime=0)


def from_text(data: bytes) -> frozenset[str]:
    return frozenset(gzip.decompress(data).decode().splitlines())


def dropped(
    generations: Mapping[tuple[str, int], Collection[str]], *, keep: int
) -> tuple[list[tuple[str, int]], set[str]]:
    """Generations beyond the newest `keep` of each suite, and the files that none of the others has.

    generations: (suite, number) -> its files.
    """
    newest: dict[str, list[int]] = {}
    for suite, number in generations:
        newest.setdefault(suite, []).append(number)
    kept = {(suite, n) for suite, numbers in newest.items() for n in sorted(numbers)[-keep:]}
    gone = sorted(set(generations) - kept)
    needed = {name for one in kept for name in generations[one]}
    return gone, {name for one in gone for name in generations[one]} - needed
