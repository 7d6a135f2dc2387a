"""Which architectures a wildcard like linux-any means, by dpkg's own tables."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from image_builder.errors import SurroundingsError

TABLES = Path("/usr/share/dpkg")  # of the package dpkg

Tuple4 = tuple[str, str, str, str]  # ABI, C library, operating system, processor


@lru_cache(maxsize=4096)
def matches(architecture: str, wildcard: str) -> bool:
    """Whether an architecture is the one named, or among those a wildcard means.

    >>> matches("amd64", "linux-any"), matches("amd64", "any-arm64"), matches("kfreebsd-amd64", "any-amd64")
    (True, False, True)

    "all" matches only itself: what is built once is no architecture. Raises SurroundingsError without dpkg's tables.
    """
    if architecture == wildcard:
        return True
    if "all" in (architecture, wildcard):
        return False
    if wildcard == "any":
        return True
    real = _tuples().get(architecture)
    meant = _wildcard(wildcard)
    return bool(real and meant and all(m in ("any", r) for r, m in zip(real, meant, strict=True)))


def _wildcard(text: str) -> Tuple4 | None:
    words = text.split("-")
    if "any" not in words:
        return _tuples().get(text)
    # What is left out in front is any: linux-any is any-any-linux-any.
    words = ["any"] * (4 - len(words)) + words
    return (words[0], words[1], words[2], words[3]) if len(words) == 4 else None


@lru_cache(maxsize=1)
def _tuples() -> dict[str, Tuple4]:
    """Debian's name of an architecture -> what it is made of."""
    processors = [line.split()[0] for line in _lines("cputable")]
    known: dict[str, Tuple4] = {}
    for line in _lines("tupletable"):
        made_of, name = line.split()[:2]
        for processor in processors if "<cpu>" in made_of else [""]:
            words = made_of.replace("<cpu>", processor).split("-")
            if len(words) == 4:
                known.setdefault(name.replace("<cpu>", processor), (words[0], words[1], words[2], words[3]))
    for processor in processors:
        if processor in known:  # dpkg takes linux-amd64 for amd64
            known.setdefault(f"linux-{processor}", known[processor])
    return known


def _lines(table: str) -> list[str]:
    try:
        text = (TABLES / table).read_text()
    except OSError as e:
        raise SurroundingsError(
            f"{e.strerror or e}", where=TABLES / table, hint="it is in Debian's package dpkg"
        ) from e
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
