"""Packages of a rebuild as rows, for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from image_builder.archive.model import Key
from image_builder.archive.states import NOT_TESTED, Package, State

HELLO = Key("trixie", "amd64", "hello")
_AS_IT_COMES: dict[State, dict[str, Any]] = {
    State.BD_UNINSTALLABLE: {"bd_problem": NOT_TESTED},
    State.BUILDING: {"builder": "me"},
    State.BUILT: {"builder": "me"},
    State.BUILD_ATTEMPTED: {"builder": "me"},
    State.UPLOADED: {"builder": "me"},
    State.INSTALLED: {"installed_version": "2.10-3"},
    State.DEP_WAIT: {"builder": "me", "depends": "libfoo-dev"},
    State.FAILED: {"builder": "me", "failed": "does not compile"},
}


def package(state: State = State.NEEDS_BUILD, **fields: Any) -> Package:
    """hello 2.10-3, taken by "me" where somebody has to have taken it, since second 100."""
    row = Package(key=HELLO, version="2.10-3", state=state, state_change=100.0, notes="uncompiled")
    return replace(row, **{**_AS_IT_COMES.get(state, {}), **fields})
