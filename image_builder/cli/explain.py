"""`image-builder explain`: what a layer is made of, and why it was built again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from image_builder import config as configuration
from image_builder.build.history import Explained, records
from image_builder.build.history import explain as explained
from image_builder.build.progress import human


@click.command()
@click.argument("layer")
@click.option("-C", "--directory", "project_dir", type=click.Path(path_type=Path), default=Path(),
              help="The project folder (default: this one).")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
def explain(layer: str, project_dir: Path, as_json: bool) -> None:
    """Say what LAYER of the newest build is made of, and which input was another one before, from what to what.

    LAYER is a key, its first characters, or (part of) a step's name, as `plan` prints them. What is told comes from
    the build records in builds/; what a coming build would do says `plan`.
    """
    config = configuration.load(project_dir, options={})
    found = explained(layer, records(project_dir / config.output))
    if as_json:
        print(json.dumps(_told(found), indent=2))
        return
    one = found.layer
    print(f"{one.name}  {one.key}")
    print(f"  of {', '.join(one.targets)}; {one.kind}; {human(one.size_bytes)}")
    print(f"  on {' / '.join(found.place[:-1]) or 'nothing'}")
    print(f"  in the newest build: {one.action} ({one.reason})")
    if found.before is None:
        print("  no earlier build had another one in its place")
    else:
        print(f"  against {found.before[0]} ({found.before[1].key[:12]}):")
        if found.below_changed:
            print("    ~ the step below is another one")
        for name, value in found.inputs.removed.items():
            print(f"    - {name}: {value}")
        for name, value in found.inputs.added.items():
            print(f"    + {name}: {value}")
        for name, (old, new) in found.inputs.changed.items():
            print(f"    ~ {name}: {old} => {new}")
    print("  its key is made of the key below it and")
    for name, value in sorted(one.inputs.items()):
        print(f"    {name}: {value}")


def _told(found: Explained) -> dict[str, Any]:
    build, layer = found.before or ("", None)
    return {
        "layer": found.layer.model_dump(mode="json"),
        "place": list(found.place),
        "before": {"build": build, "layer": layer.model_dump(mode="json")} if layer else None,
        "below_changed": found.below_changed,
        "inputs": {
            "added": dict(found.inputs.added),
            "removed": dict(found.inputs.removed),
            "changed": {name: list(pair) for name, pair in found.inputs.changed.items()},
        },
    }
