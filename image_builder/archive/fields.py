"""Kinds of values in the configuration of a rebuild, as YAML has them and as the code wants them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic import BeforeValidator as Before

WORD = r"^[A-Za-z0-9][A-Za-z0-9+.~_-]*$"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def in_folder(path: Path, info: ValidationInfo) -> Path:
    """Paths are meant from the folder of the file they stand in."""
    folder = info.context["folder"] if info.context else Path.cwd()
    return Path(os.path.normpath(folder / path.expanduser()))


def there(path: Path) -> Path:
    if not path.exists():
        raise ValueError("is not there")
    return path


def _in_bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", value, re.IGNORECASE)
    return value if match is None else int(float(match[1]) * _UNITS[match[2].upper()])


def _words(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


FilePath = Annotated[Path, AfterValidator(in_folder)]
Words = Annotated[tuple[str, ...], Before(_words)]  # a list, or words with blanks between
Size = Annotated[int, Before(_in_bytes), Field(gt=0)]  # bytes; "8G" in the file
Seconds = Annotated[float, Field(gt=0)]
Name = Annotated[str, Field(pattern=WORD)]
