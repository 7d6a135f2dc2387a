"""A build as a web page for people: targets, packages, times and the chart. One file, no script, nothing fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from image_builder.build.chart import svg
from image_builder.build.progress import human
from image_builder.build.record import BuildRecord, TargetRecord
from image_builder.files import write_whole

REPORT_NAME, CHART_NAME = "report.html", "chart.svg"


def write(record: BuildRecord, folder: Path) -> None:
    """Put chart.svg and report.html into a build's folder."""
    picture = svg(record)
    write_whole(folder / CHART_NAME, picture)
    write_whole(folder / REPORT_NAME, page(record, picture, folder))


def page(record: BuildRecord, chart: str, folder: Path) -> str:
    """The page's text. folder: where the manifests are, to count packages. All that is not ours is escaped."""
    environment = Environment(
        loader=PackageLoader("image_builder.build", "."), autoescape=True, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["size"] = lambda count: human(count) if count else ""
    text: str = environment.get_template("report.html.j2").render(
        record=record,
        targets=[_target(target, folder) for target in record.targets],
        newest=f"{record.lock.newest_date():%Y-%m-%d %H:%M:%S}" if record.lock.archives else "no archive",
        chart=chart,
    )
    return text


def _target(target: TargetRecord, folder: Path) -> dict[str, Any]:
    manifest = folder / target.manifest
    packages = len(manifest.read_text().splitlines()) if target.manifest and manifest.is_file() else ""
    size = sum(artefact.size_bytes for artefact in target.artefacts)
    return {
        **target.model_dump(),
        "beside": [name for name in (target.manifest, target.files, target.sbom) if name],
        "packages": packages,
        "size": human(size) if size else "",
    }
