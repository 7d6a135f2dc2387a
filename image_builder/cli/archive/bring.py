"""image-builder archive import: what a rebuild reads of the source archive, copied beforehand."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from image_builder.archive.bring import addresses, hand_over
from image_builder.archive.bring import bring as bring_all
from image_builder.archive.configuration import ArchiveConfig
from image_builder.archive.publish.place import place_at
from image_builder.archive.rebuild.ground import laid, utc
from image_builder.cli.archive.context import Opened, archive_options
from proxy.cli.mirror import Progress, show_report


@click.command("import")
@click.option("--to", metavar="PLACE", help="A folder, or s3://BUCKET/PREFIX. Default: where this rebuild publishes.")
@click.option("--endpoint-url", metavar="URL", help="Of a service that speaks S3 and is not Amazon's.")
@click.option("--update", is_flag=True, help="Pin the archives anew.")
@click.option("--sources-only", is_flag=True, help="Without the packages that builds install.")
@click.option("-j", "--jobs", type=click.IntRange(1, 64), default=4, show_default=True, help="Files at once.")
@archive_options
def bring(
    opened: Opened, to: str | None, endpoint_url: str | None, update: bool, sources_only: bool, jobs: int
) -> None:
    """Copy the chosen sources, and what their builds install, to PLACE, as HOST/PATH/{dists,pool}.

    Builders near that place then read from there, by its address in `sources`; the signatures are the archive's own.
    The same call goes on where one was stopped. Exit status 1 when something is missing or has failed.
    """
    config = opened.config
    ground = laid(config, update=update, now=utc(time.time()))
    chosen = set().union(*(ground.chosen(one) for one in config.passes))
    profiles = config.toolchain.build_profiles
    files = addresses(ground.pinned, chosen, () if sources_only else config.architectures, profiles)
    target = config.publish.to if to is None else to
    folder, in_a_bucket = _folder(config, target)
    show = Progress()
    report = bring_all(ground.pinned, files, folder, jobs=jobs, progress=show)
    show.end()
    show_report(report, as_json=opened.as_json)
    if in_a_bucket:
        address = config.publish.endpoint_url if endpoint_url is None else endpoint_url
        place = place_at(target, endpoint_url=address, state=config.work / "publish")
        click.echo(f"{hand_over(folder, place)} files written to {place.where}", err=True)
    if not report.complete:
        sys.exit(1)  # an Exit of click would be lost on the way up


def _folder(config: ArchiveConfig, target: str) -> tuple[Path, bool]:
    """Where files are laid out: in the place itself, or beside, to be handed over to a bucket."""
    if target.startswith("s3://"):
        return config.work / "import", True
    return Path(target.removeprefix("file://")), False


setattr(sys.modules[__name__], "import", bring)  # the command's name, by which it is looked for
