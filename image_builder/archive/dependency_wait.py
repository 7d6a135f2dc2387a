"""The list of dependencies a package in Dep-Wait waits for: `a, b (>= 2)`."""

from __future__ import annotations

import re

# As strict as wanna-build: no alternatives, and only relations that a newer version fulfils.
_WAIT = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9+.-]+(?::[a-z0-9-]+)?)\s*(?:\(\s*(?P<relation>>>|>=|>)\s*(?P<version>[A-Za-z0-9][A-Za-z0-9.+~:-]*)\s*\))?"
)


def parse_waits(text: str) -> dict[str, str]:
    """Read a list: package → its relation as written back, "" or ">= 2". Raises ValueError saying what is wrong.

    A bare ">" means ">>". The package named last counts when one stands there twice.
    """
    waits: dict[str, str] = {}
    for part in text.split(","):
        entry = part.strip()
        match = _WAIT.fullmatch(entry)
        if match is None:
            wrong = "no alternatives (|)" if "|" in entry else "only `PACKAGE` and `PACKAGE (>= VERSION)` or `(>> …)`"
            raise ValueError(f"{entry!r} cannot be waited for: {wrong}")
        relation = {">": ">>"}.get(match["relation"], match["relation"])
        waits[match["name"]] = f"{relation} {match['version']}" if relation else ""
    return waits


def merge_waits(old: str, new: str) -> str:
    """Add a list to the one there is; the new entry of a package replaces its old one. Raises ValueError."""
    waits = (parse_waits(old) if old.strip() else {}) | parse_waits(new)
    return ", ".join(f"{name} ({relation})" if relation else name for name, relation in waits.items())
