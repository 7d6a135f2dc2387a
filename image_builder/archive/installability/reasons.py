"""Why something cannot be installed: the chain of dependencies that ends in what is missing, or two that exclude."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """One link: a package, and which of its relations leads on."""

    package: str
    version: str
    needs: str  # "b (>= 2) | c", as written, without architecture


@dataclass(frozen=True, slots=True)
class Missing:
    """Nothing satisfies the last relation of the path; the first step is what was asked about."""

    path: tuple[Step, ...]
    present: tuple[str, ...] = ()  # what there is under that name: "g 1:2~rc1", "v1 provided by v1p"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two that are needed exclude each other. A path ends with the step that needs the package; none: asked about."""

    first: Step  # needs: what it does not go with
    second: Step
    first_path: tuple[Step, ...] = ()
    second_path: tuple[Step, ...] = ()


Reason = Missing | Conflict


def words(reasons: Iterable[Reason], verb: str = "needs") -> str:
    """Reasons as a packager would say them, one per line. verb: what the one asked about does: "needs", "waits for"."""
    return "\n".join(_missing(r, verb) if isinstance(r, Missing) else _conflict(r, verb) for r in reasons)


def to_json(reasons: Sequence[Reason]) -> str:
    """Reasons for programs; "" for none."""
    if not reasons:
        return ""
    return json.dumps([{"kind": type(reason).__name__.lower(), **asdict(reason)} for reason in reasons])


def from_json(text: str) -> tuple[Reason, ...]:
    """What to_json wrote. Raises ValueError for what it did not."""
    try:
        return tuple(_read(entry) for entry in json.loads(text)) if text else ()
    except (KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"no reasons: {text[:80]!r}") from e


def _missing(reason: Missing, verb: str) -> str:
    relation = reason.path[-1].needs
    if not reason.present:
        end = ", which no package provides" if "|" not in relation else ", none of which any package provides"
    else:
        end = f", but there is only {', '.join(reason.present)}"
    return _chain(reason.path, verb) + end


def _conflict(reason: Conflict, verb: str) -> str:
    first, second = reason.first, reason.second
    if not reason.first_path or not reason.second_path:  # a Build-Conflicts
        own, path = (first, reason.second_path) if not reason.first_path else (second, reason.first_path)
        avoided = own.needs or (second if own is first else first).package
        return f"must not meet {avoided}, " + (f"but {_chain(path, verb)}" if path else "which is always there")
    heads = [path[0].needs for path in (reason.first_path, reason.second_path)]
    through = [_chain(path[1:], "needs") for path in (reason.first_path, reason.second_path)]
    detail = "; ".join(text for text in through if text)
    quarrel = f"{first.package} {first.version} conflicts with {first.needs or second.package}"
    return f"{verb} {heads[0]} and {heads[1]}, which conflict: {detail + '; ' if detail else ''}{quarrel}"


def _chain(path: Sequence[Step], verb: str) -> str:
    """'needs a; a 1 needs b | c; c 1 needs d'. The first step of a question says its verb alone."""
    parts = []
    for step in path:
        asked = "---" in step.package
        parts.append(f"{verb} {step.needs}" if asked else f"{step.package} {step.version} needs {step.needs}")
    return "; ".join(parts)


def _read(entry: dict[str, Any]) -> Reason:
    kind = entry.pop("kind")
    if kind == "missing":
        return Missing(tuple(Step(**step) for step in entry["path"]), tuple(entry["present"]))
    if kind != "conflict":
        raise KeyError(kind)
    first_path, second_path = (tuple(Step(**step) for step in entry[name]) for name in ("first_path", "second_path"))
    return Conflict(Step(**entry["first"]), Step(**entry["second"]), first_path, second_path)
