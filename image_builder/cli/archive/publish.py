"""image-builder archive publish: what was built, as an APT repository."""

from __future__ import annotations

from dataclasses import asdict

import click

from image_builder.archive.publish.indices import SuiteDescription
from image_builder.archive.publish.place import place_at
from image_builder.archive.publish.publish import publish as publish_all
from image_builder.archive.publish.signing import Signer
from image_builder.cli.archive.context import Opened, archive_options
from image_builder.cli.archive.repository import opened_repository


@click.command()
@click.option("--to", metavar="PLACE", help="A folder, or s3://BUCKET/PREFIX. Default: that of the configuration.")
@click.option("--endpoint-url", metavar="URL", help="Of a service that speaks S3 and is not Amazon's.")
@click.option("--key", metavar="KEY", help="A file with a secret key, or a key of your keyring. Default: our own.")
@click.option(
    "--date", type=click.IntRange(0), envvar="SOURCE_DATE_EPOCH", metavar="SECONDS",
    help="What the Release says, seconds since 1970. Default: SOURCE_DATE_EPOCH, else now.",
)  # fmt: skip
@click.option("--valid-for", type=click.IntRange(1), metavar="DAYS", help="How long readers may believe it.")
@click.option("--check", is_flag=True, help="Ask the place for all it has, and mend it.")
@archive_options
def publish(
    opened: Opened, to: str | None, endpoint_url: str | None, key: str | None, date: int | None,
    valid_for: int | None, check: bool,
) -> None:  # fmt: skip
    """Publish what was built: components, sources, packages for all, signed; in one step for those who read it.

    Only what is not there yet is written. The same call goes on where one was stopped. Readers install
    archive-key.asc, which lies at the top, and name it by signed-by.
    """
    config = opened.config
    described = config.publish
    at = int(opened.now()) if date is None else date
    place = place_at(
        described.to if to is None else to, state=config.work / "publish",
        endpoint_url=described.endpoint_url if endpoint_url is None else endpoint_url,
    )  # fmt: skip
    signer = Signer.chosen(described.signing_key if key is None else key, config.results.with_name("signing-key"), at)
    suite = SuiteDescription(
        config.suite, codename=described.codename, origin=described.origin, label=described.label or described.origin,
        valid_for_s=None if valid_for is None else valid_for * 86_400,
    )  # fmt: skip
    done = publish_all(
        opened_repository(opened), place, [suite], date=at, signer=signer, cache=config.work / "publish/cache",
        keep=described.keep, check=check, say=lambda line: click.echo(line, err=True),
    )  # fmt: skip
    opened.print(
        [asdict(one) for one in done],
        (
            f"{place.where} {one.suite}: {one.packages} packages, {one.sources} sources;"
            f" {one.uploaded} files written ({one.uploaded_bytes / 1e6:.1f} MB), {one.removed} removed"
            for one in done
        ),
    )
