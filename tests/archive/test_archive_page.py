"""docs/archive.md says what there is: every key of the configuration, every command, every state."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from image_builder.archive.configuration import (
    ArchiveConfig,
    Blacklisted,
    Choice,
    Cycles,
    Pass,
    Publish,
    Schedule,
    Toolchain,
)
from image_builder.archive.states import State
from image_builder.cli.archive.table import TABLE

MODELS: tuple[type[BaseModel], ...] = (
    ArchiveConfig,
    Choice,
    Blacklisted,
    Toolchain,
    Pass,
    Cycles,
    Schedule,
    Publish,
)
PAGE = (Path(__file__).parents[2] / "docs" / "archive.md").read_text()
CODE = {word for code in re.findall(r"`([^`\n]+)`", PAGE) for word in re.split(r"[ ,]+", code)}


def test_every_key() -> None:
    assert {key for model in MODELS for key in model.model_fields} - CODE == set()


def test_every_state() -> None:
    rows = [line.split("|")[1].strip() for line in PAGE.splitlines() if line.startswith("|")]
    assert [state for state in State if state not in rows] == []


def test_every_command() -> None:
    said = CODE | set(re.findall(r"image-builder archive ([a-z-]+)", PAGE))
    assert [name for name in TABLE if name not in said] == []
