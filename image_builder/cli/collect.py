"""`image-builder collect`: the builds of several jobs, joined into one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from image_builder.build import join
from image_builder.errors import ConfigError
from image_builder.files import give_to_caller
from image_builder.series.resolve import split_targets


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("collected"), show_default=True,
              help="The new folder.")  # fmt: skip
@click.option("--expect", "expected", multiple=True, envvar="IMAGE_TARGETS",
              help="Targets that must be there (default: IMAGE_TARGETS).")  # fmt: skip
@click.option("--matrix", type=click.Path(path_type=Path), help="Expect the targets of this output of ci-matrix.")
@click.option("--json", "as_json", is_flag=True, help="The joined build record on stdout.")
def collect(
    folders: tuple[Path, ...], output: Path, expected: tuple[str, ...], matrix: Path | None, as_json: bool
) -> None:
    """Join the builds in FOLDERS: their artefacts, one SHA256SUMS, one build record.

    A folder is that of a build, or one that holds several. Builds of another lock, configuration or hooks.d are
    refused, as are different files of one name; a target that failed or is missing is named (exit status 1).
    """
    parts = join.find(folders)
    wanted = split_targets(list(expected)) + (_of_matrix(matrix) if matrix else [])
    record = join.join(parts, output, expected=list(dict.fromkeys(wanted)))
    give_to_caller(output)
    if as_json:
        print(record.text(), end="")
    else:
        for target in record.targets:
            for artefact in target.artefacts:
                print(f"{artefact.sha256[:16]:16}  {artefact.file}")
    bad = [target.name for target in record.targets if target.status != "done"]
    print(f"{output}: {len(record.targets)} targets of {len(parts)} jobs", file=sys.stderr)
    if bad:
        print(f"error: not done: {', '.join(bad)}", file=sys.stderr)
        sys.exit(1)


def _of_matrix(path: Path) -> list[str]:
    try:
        value = json.loads(path.read_text())
        jobs = [j["targets"] for j in value.get("include", ()) if "targets" in j]
        jobs += [j["variables"]["IMAGE_TARGETS"] for n, j in value.items() if n.startswith("image ")]
    except OSError as e:
        raise ConfigError(e.strerror or str(e), where=path) from e
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise ConfigError("is no output of ci-matrix", where=path, hint="image-builder ci-matrix >FILE") from e
    return split_targets(list(map(str, jobs)))
