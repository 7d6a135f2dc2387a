"""From wishes to pins: which revision of which snap, chosen by the store at one moment, proved by its assertions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from image_builder.errors import ConfigError, PipelineError
from image_builder.lock import SnapPin
from snaps import meta as metas
from snaps import proofs
from snaps.assertions.crosscheck import check_file
from snaps.assertions.database import Database
from snaps.assertions.trust import TrustRoot
from snaps.channels import Channel
from snaps.channels import parse as channel_of
from snaps.closure import conflicts, lacking
from snaps.download import Progress, Wanted, download
from snaps.files import SnapFiles
from snaps.meta import SnapMeta
from snaps.store import cohorts
from snaps.store.answers import Offer, Question
from snaps.store.client import StoreClient
from snaps.wishes import Wish

ADDED_CHANNEL = Channel()  # bases and providers that nobody asked for by name


@dataclass(frozen=True)
class SnapSet:
    """What a lock holds of snaps. notes: what the user should know, in words."""

    pins: tuple[SnapPin, ...]
    assertions: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Chosen:
    wish: Wish
    offer: Offer
    cohort: str | None
    meta: SnapMeta


def resolve(
    wishes: Sequence[Wish],
    client: StoreClient,
    files: SnapFiles,
    *,
    trust: TrustRoot,
    now: datetime,
    progress: Progress,
    cohort_key: str = "",
    known: Sequence[str] = (),
) -> SnapSet:
    """Choose a revision for every wish and for all they need, fetch the files, verify all of it.

    wishes: each snap once. cohort_key: one for all snaps ("+" too); empty makes new ones, so that all revisions are
    of one view of the store. known: assertions of the lock before; none may come back older. Raises ConfigError for
    sets snapd would refuse, else as the store client, the download and the assertions do.
    """
    wanted = {wish.name: wish for wish in wishes}
    chosen: dict[str, _Chosen] = {}
    notes: list[str] = []
    todo = list(wishes)
    while todo:
        for one in _choose(todo, client, files, cohort_key, progress):
            chosen[one.offer.name] = one
            notes += _notes(one, now)
        todo = []
        for lack in lacking({name: one.meta for name, one in chosen.items()}):
            progress.say(f"{lack.name}: added, {lack.why}")
            todo.append(Wish(lack.name, ADDED_CHANNEL, where=lack.why))
            wanted[lack.name] = todo[-1]
    if problems := conflicts(wanted, {name: one.meta for name, one in chosen.items()}):
        raise ConfigError("\n".join(problems), where="snaps")
    proving = [(one.offer.snap_id, one.offer.sha3_384) for _, one in sorted(chosen.items())]
    proved = proofs.fetched(proving, client, trust, now, known=proofs.read(known))
    database = proofs.database(proved, trust, now)
    pins = [_pin(one, database) for _, one in sorted(chosen.items())]
    return SnapSet(tuple(pins), tuple(one.text for one in proved), tuple(dict.fromkeys(notes)))


def _choose(
    wishes: Sequence[Wish], client: StoreClient, files: SnapFiles, cohort_key: str, progress: Progress
) -> list[_Chosen]:
    by_channel = [wish.name for wish in wishes if wish.revision is None]
    keys = dict.fromkeys(by_channel, cohort_key) if cohort_key else client.cohorts(by_channel) if by_channel else {}
    questions = [Question(wish.name, wish.channel, keys.get(wish.name), wish.revision) for wish in wishes]
    offers = client.offers(questions)
    download(client, [wanted(offer) for offer in offers], files, progress)
    found = []
    for wish, offer in zip(wishes, offers, strict=True):
        meta = metas.read(files.path(offer.sha3_384))
        if meta.name != offer.name:
            raise PipelineError(
                f"revision {offer.revision} is a file that calls itself {meta.name}", where=offer.name,
                hint="the store mixes up snaps; tell its owner",
            )  # fmt: skip
        found.append(_Chosen(wish, offer, keys.get(wish.name), meta))
    return found


def wanted(offer: Offer) -> Wanted:
    """What to download for an offer."""
    return Wanted(offer.name, offer.revision, offer.sha3_384, offer.size_bytes, offer.url)


def _pin(one: _Chosen, database: Database) -> SnapPin:
    offer, meta = one.offer, one.meta
    publisher = check_file(
        database, name=offer.name, snap_id=offer.snap_id, revision=offer.revision, sha3_384=offer.sha3_384,
        size_bytes=offer.size_bytes,
    )  # fmt: skip
    key = cohorts.read(one.cohort) if one.cohort else None
    return SnapPin.model_validate(
        {
            "name": offer.name,
            "snap_id": offer.snap_id,
            "revision": offer.revision,
            "sha3_384": offer.sha3_384,
            "size_bytes": offer.size_bytes,
            "channel": str(one.wish.channel),
            "effective_channel": str(channel_of(offer.channel)) if offer.channel else "",
            "type": meta.kind,
            "base": meta.base,
            "needs": meta.needs,
            "classic": meta.confinement == "classic",
            "publisher": publisher,
            "cohort": one.cohort,
            "cohort_created": key.created if key else None,
        }
    )


def _notes(one: _Chosen, now: datetime) -> list[str]:
    offer, wish = one.offer, one.wish
    said = []
    if one.cohort:
        said += cohorts.doubts(one.cohort, name=offer.name, snap_id=offer.snap_id, now=now)
    if offer.channel and channel_of(offer.channel) != wish.channel:
        why = "the default track" if offer.redirect else "the one asked for is closed"
        said.append(f"{offer.name}: from {channel_of(offer.channel)} in place of {wish.channel} ({why})")
    if wish.classic and one.meta.confinement != "classic":
        said.append(f"{offer.name}: classic confinement was allowed, and is not needed")
    return said


def unmet(wishes: Sequence[Wish], pins: Sequence[SnapPin]) -> list[str]:
    """What is wished for and not pinned so, in words; empty when the lock will do. More than that in it is fine."""
    known: Mapping[str, SnapPin] = {pin.name: pin for pin in pins}
    said = []
    for wish in wishes:
        pin = known.get(wish.name)
        if pin is None:
            said.append(f"{wish.name} ({wish.where}) is not in the lock, which has {', '.join(known) or 'no snap'}")
        elif pin.channel != str(wish.channel):
            said.append(f"{wish.name}: {wish.where} asks for {wish.channel}, the lock has {pin.channel}")
        elif wish.revision not in (None, pin.revision):
            said.append(f"{wish.name}: {wish.where} asks for revision {wish.revision}, the lock has {pin.revision}")
        elif pin.classic and not wish.classic:
            said.append(f"{wish.name} needs classic confinement: ask for {wish.name}/classic ({wish.where})")
    return said
