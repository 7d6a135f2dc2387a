"""Where a repository is published: what a folder and a bucket have in common."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from image_builder.errors import ConfigError


class Place(Protocol):
    """Files by name ("dists/stable/InRelease"), each there whole or not at all. All methods raise SurroundingsError."""

    where: str  # as the user wrote it

    def locked(self) -> AbstractContextManager[None]:
        """Nobody else on this machine publishes there for the length of the block."""

    def read(self, name: str) -> bytes | None:
        """None if there is no such file."""

    def put(self, name: str, data: bytes) -> None:
        """Write a small file whose bytes may change; who reads it asks anew each time."""

    def put_all(self, files: Mapping[str, Path], *, lasting: bool) -> None:
        """Write files, in any order; when this returns all are there.

        lasting: none of these names will ever have other bytes.
        """

    def remove(self, names: Collection[str]) -> None:
        """Remove files; those that are not there are none the less removed."""

    def listing(self, prefix: str) -> dict[str, int]:
        """Names that begin so -> size in bytes."""


def place_at(address: str, *, endpoint_url: str = "", state: Path) -> Place:
    """A folder, or "s3://BUCKET/PREFIX". endpoint_url: of a service that speaks S3; empty: Amazon's.

    state: a folder for what belongs to this place and lies on this machine. Raises ConfigError.
    """
    if address.startswith("s3://"):
        from image_builder.archive.publish.s3 import S3Place

        return S3Place(address, endpoint_url=endpoint_url, state=state)
    if "://" in address and not address.startswith("file://"):
        raise ConfigError("not a place to publish to", where=address, hint="a folder, or s3://BUCKET/PREFIX")
    from image_builder.archive.publish.folder import FolderPlace

    return FolderPlace(Path(address.removeprefix("file://")))
