"""`image-builder diff`: two builds held against each other."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from image_builder import config as configuration
from image_builder.artifacts.compare import Changes
from image_builder.build.compare import Difference, TargetDifference, as_json, compare
from image_builder.build.join import find
from image_builder.errors import ConfigError
from image_builder.layers import Store

SHOWN = 40  # lines of one kind, unless all are asked for


@click.command()
@click.argument("one", type=click.Path(path_type=Path))
@click.argument("two", type=click.Path(path_type=Path), default=Path("latest"))
@click.option("-t", "--target", "targets", multiple=True, help="Only this target; may be given again.")
@click.option("-C", "--directory", "project_dir", type=click.Path(path_type=Path), default=Path(),
              help="The project folder (default: this one).")  # fmt: skip
@click.option("--store", type=click.Path(path_type=Path), help="Layer store (default /var/lib/image-builder).")
@click.option("--all", "everything", is_flag=True, help=f"All lines, not the first {SHOWN} of a kind.")
@click.option("--json", "as_text", flag_value=False, default=True, help="JSON on stdout.")
def diff(
    one: Path, two: Path, targets: tuple[str, ...], project_dir: Path, store: Path | None, everything: bool,
    as_text: bool,
) -> None:  # fmt: skip
    """Say in what build TWO (default: latest) differs from build ONE: packages, files, modes, sizes, hooks.

    A build is a folder, or the name of one in builds/. Where the layer store still has the layers, bytes are
    compared too, and each change is shown with the step that brought it.

    Exit status 0: the same; 1: different.
    """
    config = configuration.load(project_dir, options={"store": store})
    builds = project_dir / config.output
    parts = [find([path if path.is_dir() else builds / path])[0] for path in (one, two)]
    layers = Store(config.store)

    def folder(key: str) -> Path | None:
        layer = layers.get(key)
        return layer.diff if layer else None

    found = compare(parts[0], parts[1], folder if config.store.is_dir() else lambda _: None, targets=targets)
    if not (found.targets or found.only_one or found.only_two):
        raise ConfigError(f"neither build has the target {', '.join(targets)}", where="diff")
    if as_text:
        for line in lines(found, shown=10**9 if everything else SHOWN):
            print(line)
    else:
        print(json.dumps(as_json(found), indent=2))
    sys.exit(1 if found else 0)


def lines(found: Difference, *, shown: int) -> Iterator[str]:
    """The difference as text, a section for each target."""
    yield from _section("lock", found.lock, {}, shown)
    yield from _section("hooks.d", found.hooks, {}, shown, values=False)
    for name in found.only_one:
        yield f"{name}: only in the first build"
    for name in found.only_two:
        yield f"{name}: only in the second build"
    for target in found.targets:
        yield from _of_target(target, shown)


def _of_target(target: TargetDifference, shown: int) -> Iterator[str]:
    if not target:
        same = "the same" if target.bytes_compared or not target.layers else "the same as far as can be seen"
        yield f"{target.name}: {same}"
        return
    yield f"{target.name}:"
    for line in target.layers:
        yield f"  step {line}"
    yield from _section("  artefacts", target.artefacts, {}, shown, values=False)
    yield from _section("  packages", target.packages, target.brought, shown)
    yield from _section("  files", target.files, target.brought, shown)
    if target.content:
        yield f"  content ({len(target.content)}):"
        yield from (f"    ~ {path}{_by(path, target)}" for path in target.content[:shown])
        yield from _more(len(target.content), shown)
    if not target.bytes_compared:
        yield "  (layers are no longer stored: files of one size were taken to be the same)"


def _by(path: str, target: TargetDifference) -> str:
    return f"  [{target.brought[path]}]" if path in target.brought else ""


def _section(title: str, found: Changes[Any], brought: Any, shown: int, *, values: bool = True) -> Iterator[str]:
    if not found:
        return
    told = [(n, "-", str(v)) for n, v in found.removed.items()]
    told += [(n, "+", str(v)) for n, v in found.added.items()]
    told += [(n, "~", f"{a} => {b}") for n, (a, b) in found.changed.items()]
    yield f"{title} ({len(told)}):"
    indent = " " * (len(title) - len(title.lstrip()) + 2)
    for name, mark, value in sorted(told)[:shown]:
        by = f"  [{brought[name]}]" if name in brought else ""
        yield f"{indent}{mark} {name}{'  ' + value if values else ''}{by}"
    yield from _more(len(told), shown, indent)


def _more(count: int, shown: int, indent: str = "    ") -> Iterator[str]:
    if count > shown:
        yield f"{indent}... {count - shown} more: --all"
