"""A YAML file with the line of everything in it, so that an error can say where to look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from image_builder.errors import ConfigError

Place = tuple[str | int, ...]  # ("passes", 0, "base")


def read(path: Path) -> tuple[dict[str, Any], dict[Place, int]]:
    """Return the file's mapping, and the line (from 1) of each key and list entry in it, however deep.

    Raises ConfigError for a file that cannot be read, is no YAML or no mapping, or has a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        hint = "--config names another file" if isinstance(e, FileNotFoundError) else ""
        raise ConfigError(f"cannot be read: {e}", where=path, hint=hint) from e
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
        lines = {} if node is None else dict(_lines(node, (), path, set()))
    except yaml.YAMLError as e:
        raise ConfigError(f"is not YAML: {e}", where=path) from e
    except RecursionError as e:
        raise ConfigError("is nested too deeply", where=path) from e
    except (ValueError, LookupError, AttributeError) as e:  # PyYAML's own, for `2026-02-31` and `!!int ''`
        raise ConfigError(f"is not YAML: a value cannot be read: {e}", where=path) from e
    if not isinstance(values, dict):
        raise ConfigError("holds no mapping", where=path, hint="write lines of the form `suite: trixie`")
    return {str(key): value for key, value in values.items()}, lines


def _lines(node: yaml.Node, place: Place, path: Path, above: set[int]) -> Iterator[tuple[Place, int]]:
    yield place, node.start_mark.line + 1
    if id(node) in above:  # an anchor that holds itself
        raise ConfigError("an entry contains itself", where=f"{path}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.SequenceNode):
        for number, entry in enumerate(node.value):
            yield from _lines(entry, (*place, number), path, above | {id(node)})
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ConfigError(f"{key.value!r} stands twice", where=f"{path}:{line}")
            seen.add(key.value)
            yield from _lines(value, (*place, key.value), path, above | {id(node)})
            yield (*place, key.value), line  # the line of the key, where its value begins below it
