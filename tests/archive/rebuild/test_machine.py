"""What this machine's own architecture needs no word for."""

from __future__ import annotations

import pytest

from image_builder.architectures import native_architecture
from image_builder.archive.rebuild.machine import emulated_all
from image_builder.errors import SurroundingsError


def test_nothing_is_said_of_what_runs_here() -> None:
    said: list[str] = []
    with emulated_all([native_architecture()], said.append):
        pass
    assert said == []


def test_what_cannot_be_emulated_is_refused_before_anything_is_built() -> None:
    with pytest.raises(SurroundingsError, match="cannot be emulated"), emulated_all(["m68k"], print):
        pytest.fail("nothing is to be built")
