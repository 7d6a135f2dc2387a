"""The files of a lock: fetched by revision when they are not there, and never others than the lock names."""

from __future__ import annotations

from collections.abc import Sequence

from image_builder.errors import PipelineError
from image_builder.lock import SnapPin
from snaps.download import Progress, Wanted, download
from snaps.files import SnapFiles
from snaps.store.answers import Question
from snaps.store.client import StoreClient


def have(pins: Sequence[SnapPin], client: StoreClient, files: SnapFiles, progress: Progress, *, jobs: int = 4) -> int:
    """Have the file of every pin in the folder; returns the bytes fetched. The store is asked only for what is missing.

    Raises PipelineError when the store gives other bytes for a revision than it did when the lock was made.
    """
    missing = [pin for pin in pins if not files.has(pin.sha3_384, pin.size_bytes)]
    offers = client.offers([Question(pin.name, revision=pin.revision) for pin in missing])
    for pin, offer in zip(missing, offers, strict=True):
        said = (offer.snap_id, offer.sha3_384, offer.size_bytes)
        if said != (pin.snap_id, pin.sha3_384, pin.size_bytes):
            raise PipelineError(
                f"the store has another file for revision {pin.revision} than the lock: SHA3-384 {offer.sha3_384}, "
                f"{offer.size_bytes} bytes, snap-id {offer.snap_id}; not fetched",
                where=pin.name,
                hint="is it the store the lock was made with? else make a new lock with --update",
            )
    wanted = [
        Wanted(pin.name, pin.revision, pin.sha3_384, pin.size_bytes, offer.url)
        for pin, offer in zip(missing, offers, strict=True)
    ]
    return download(client, wanted, files, progress, jobs=jobs)
