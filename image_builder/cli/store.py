"""image-builder store: what is kept, whether it is sound, and how to make it smaller."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import click

from image_builder.errors import SurroundingsError
from image_builder.files import in_bytes
from image_builder.layers import DEFAULT_ROOT, Item, Layer, Store


def _bytes(ctx: click.Context, param: click.Parameter, text: str) -> int:
    try:
        return in_bytes(text)
    except ValueError as e:
        raise click.BadParameter(str(e), ctx, param) from e


def readable(size_bytes: int) -> str:
    """Return a size for people: "1.4 GiB"."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


@click.group()
@click.option(
    "--store",
    "root",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="IMAGE_BUILDER_STORE",
    default=DEFAULT_ROOT,
    show_default=True,
    metavar="DIR",
    help="The layer store.",
)
@click.pass_context
def store(ctx: click.Context, root: Path) -> None:
    """List, verify and prune the layer store: what finished steps made, for builds to come."""
    if os.geteuid() != 0:
        raise SurroundingsError("the layer store is root's", where=root, hint="run it with sudo")
    ctx.obj = ctx.with_resource(Store(root))


@store.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with all that is known of each layer.")
@click.pass_obj
def list_layers(kept: Store, as_json: bool) -> None:
    """List the layers, least recently used first."""
    layers = kept.list()
    if as_json:
        click.echo(json.dumps([_described(layer) for layer in layers], indent=1))
        return
    for layer in layers:
        name = layer.meta.get("name") or layer.meta.get("kind") or ""
        click.echo(f"{layer.key[:16]}  {readable(layer.size_bytes):>10}  {_date(layer.last_used)}  {name}")
    total = sum(layer.size_bytes for layer in layers)
    click.echo(f"{len(layers)} layers, {readable(total)}, in {kept.root}", err=True)


@store.command()
@click.option("--deep", is_flag=True, help="Read every byte, of downloads too, instead of names, sizes and times.")
@click.option("--json", "as_json", is_flag=True, help="Print the problems as a JSON list.")
@click.pass_obj
def verify(kept: Store, deep: bool, as_json: bool) -> None:
    """Compare what is kept with what was put in. Exit status 1 if something differs."""
    found = kept.verify(deep)
    if as_json:
        click.echo(json.dumps([{"key": p.key, "path": str(p.path), "what": p.what} for p in found], indent=1))
    else:
        for problem in found:
            click.echo(f"{problem.path}: {problem.what}")
    if found:
        count = len({problem.path for problem in found})
        hint = f"rm -r the director{'y' if count == 1 else 'ies'} named above; the next build makes them anew"
        click.echo(f"{count} damaged\n  hint: {hint}", err=True)
        sys.exit(1)
    click.echo(f"{len(kept.list())} layers are sound", err=True)


@store.command()
@click.option(
    "--max-size", "max_bytes", callback=_bytes, required=True, metavar="SIZE", help="What may stay: 20G, 512M, 0."
)
@click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print what went as a JSON list.")
@click.pass_obj
def prune(kept: Store, max_bytes: int, dry_run: bool, as_json: bool) -> None:
    """Remove the least recently used until the rest fits. What a running build uses stays."""
    gone = kept.prune(max_bytes, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps([vars(item) for item in gone], indent=1))
    else:
        for item in gone:
            click.echo(_line(item))
    verb = "would be freed" if dry_run else "freed"
    click.echo(f"{readable(sum(item.size_bytes for item in gone))} {verb}", err=True)


def _described(layer: Layer) -> dict[str, object]:
    return {
        "key": layer.key,
        "diff": str(layer.diff),
        "size_bytes": layer.size_bytes,
        "created": layer.created,
        "last_used": layer.last_used,
        "digest": layer.digest,
        "meta": dict(layer.meta),
    }


def _line(item: Item) -> str:
    return f"{item.key[:16]}  {readable(item.size_bytes):>10}  {_date(item.last_used)}  {item.kind}: {item.what}"


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
