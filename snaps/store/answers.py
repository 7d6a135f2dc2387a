"""What the store's JSON means: offers, errors among them, and all that cannot be meant refused. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snaps.channels import Channel
from snaps.store.errors import NotFoundError, StoreError
from snaps.wishes import is_name

_SNAP_ID = re.compile(r"[A-Za-z0-9]{32}")
_SHA3 = re.compile(r"[0-9a-f]{96}")
_NOT_FOUND = {"revision-not-found", "name-not-found", "id-not-found"}


@dataclass(frozen=True)
class Question:
    """One snap of one channel (and cohort), or one revision, which excludes both."""

    name: str
    channel: Channel | None = None
    cohort: str | None = None
    revision: int | None = None


@dataclass(frozen=True)
class Offer:
    """The revision the store gives for a question. channel: the effective one, as the store writes it ("stable")."""

    name: str
    snap_id: str
    revision: int
    sha3_384: str
    size_bytes: int
    url: str
    channel: str
    redirect: str  # the channel of the default track, when that took over
    kind: str  # type: app, base, snapd, os, gadget, kernel
    confinement: str
    publisher: str  # account id
    publisher_name: str
    version: str


def actions(questions: Sequence[Question]) -> list[dict[str, Any]]:
    """The actions of a request to /v2/snaps/refresh."""
    found = []
    for number, question in enumerate(questions, 1):
        action: dict[str, Any] = {
            "action": "download", "instance-key": f"download-{number}", "name": question.name, "epoch": None,
        }  # fmt: skip
        if question.revision is not None:
            action["revision"] = question.revision
        else:
            action["channel"] = str(question.channel or Channel())
            if question.cohort:
                action["cohort-key"] = question.cohort
        found.append(action)
    return found


def offers(questions: Sequence[Question], value: Any, *, where: str) -> list[Offer]:
    """The answer, an offer for each question in their order.

    Raises StoreError with everything that was refused, NotFoundError when it is only that snaps, channels or revisions
    are not there. A question without an answer and an answer without a question are refused, too.
    """
    results = value.get("results") if isinstance(value, dict) else None
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        raise StoreError("answers without results", where=where)
    asked = {f"download-{number}": question for number, question in enumerate(questions, 1)}
    found: dict[str, Offer] = {}
    refused: list[tuple[str, str]] = []
    for result in results:
        key = result.get("instance-key")
        question = asked.get(key) if isinstance(key, str) else None
        if question is None or key in found:
            raise StoreError(
                f"answers for {result.get('name') or key!r}, which was not asked for",
                where=where,
                hint="is it a mirror?",
            )
        if result.get("result") == "error":
            refused.append(_refusal(question, result.get("error")))
            asked.pop(str(key))
            continue
        found[str(key)] = _offer(question, result, where)
    if refused:
        kind = NotFoundError if all(code in _NOT_FOUND for code, _ in refused) else StoreError
        raise kind("\n".join(text for _, text in refused), where=where)
    if missing := [question.name for key, question in asked.items() if key not in found]:
        raise StoreError(f"says nothing of {', '.join(missing)}", where=where)
    return [found[key] for key in asked]


def _refusal(question: Question, error: Any) -> tuple[str, str]:
    error = error if isinstance(error, dict) else {}
    code, message = str(error.get("code") or "unknown"), str(error.get("message") or "no reason given")
    of = f"revision {question.revision}" if question.revision else f"channel {question.channel or Channel()}"
    text = f"{question.name}, {of}: {message} ({code})"
    extra = error.get("extra")
    releases = extra.get("releases") if isinstance(extra, dict) else None
    if isinstance(releases, list):
        there = sorted({f"{r.get('channel')} ({r.get('architecture')})" for r in releases if isinstance(r, dict)})
        text += f"; released are {', '.join(there[:20])}" if there else "; nothing is released"
    return code, text


def _offer(question: Question, result: Mapping[str, Any], where: str) -> Offer:
    """One result, every field looked at: it decides what is downloaded."""
    snap = result.get("snap")
    snap = snap if isinstance(snap, dict) else {}
    download = snap.get("download")
    download = download if isinstance(download, dict) else {}
    publisher = snap.get("publisher")
    publisher = publisher if isinstance(publisher, dict) else {}
    name = snap.get("name") or result.get("name")
    offer = Offer(
        name=str(name),
        snap_id=str(result.get("snap-id") or snap.get("snap-id")),
        revision=_number(snap.get("revision")),
        sha3_384=str(download.get("sha3-384")),
        size_bytes=_number(download.get("size")),
        url=str(download.get("url") or ""),
        channel=str(result.get("effective-channel") or ""),
        redirect=str(result.get("redirect-channel") or ""),
        kind=str(snap.get("type") or "app"),
        confinement=str(snap.get("confinement") or "strict"),
        publisher=str(publisher.get("id") or ""),
        publisher_name=str(publisher.get("username") or ""),
        version=str(snap.get("version") or ""),
    )
    for good, what in (
        (name == question.name and is_name(offer.name), f"the name {name!r}"),
        (_SNAP_ID.fullmatch(offer.snap_id), f"the snap-id {offer.snap_id!r}"),
        (offer.revision >= 1, f"the revision {snap.get('revision')!r}"),
        (question.revision in (None, offer.revision), f"revision {offer.revision}, not the one asked for"),
        (_SHA3.fullmatch(offer.sha3_384), f"the SHA3-384 {offer.sha3_384!r}"),
        (offer.size_bytes >= 1, f"the size {download.get('size')!r}"),
        (offer.url.startswith(("https://", "http://")), f"the address {offer.url!r}"),
    ):
        if not good:
            raise StoreError(f"answers for {question.name} with {what}", where=where)
    return offer


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def cohort_keys(names: Sequence[str], value: Any, *, where: str) -> dict[str, str]:
    """snap -> cohort key, for exactly the snaps asked for. Raises StoreError."""
    keys = value.get("cohort-keys") if isinstance(value, dict) else None
    if not isinstance(keys, dict) or not all(isinstance(key, str) and key for key in keys.values()):
        raise StoreError("answers without cohort keys", where=where)
    if set(keys) != set(names):
        odd = sorted(set(keys) ^ set(names))
        raise StoreError(f"answers with other cohorts than asked for: {', '.join(odd)}", where=where)
    return {name: keys[name] for name in names}


def check_info(name: str, value: Any, *, where: str) -> dict[str, Any]:
    """The answer of /v2/snaps/info, if it is one and of this snap. Raises StoreError."""
    if not isinstance(value, dict) or value.get("name") != name or not isinstance(value.get("channel-map"), list):
        raise StoreError(f"answers with something else than what it knows of {name}", where=where)
    return value
